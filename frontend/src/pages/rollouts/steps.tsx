/// The steps of a run as a strip: one cell a step, as high as its mean reward.
import { useEffect, useRef } from "react";
import type { StepSummary } from "../../api/client";
import { value } from "../../lib/format";

interface StripProps {
  /** Oldest first. */
  steps: StepSummary[];
  chosen: number;
  choose: (step: number) => void;
}

export function StepStrip({ steps, chosen, choose }: StripProps) {
  const cell = useRef<HTMLButtonElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another cell is in view then
  useEffect(() => {
    cell.current?.scrollIntoView?.({ block: "nearest", inline: "nearest" });
  }, [chosen]);
  const means = steps.map((one) => one.mean).filter((one): one is number => one !== null);
  const least = Math.min(...means, 0);
  const span = Math.max(...means, 0) - least || 1;
  return (
    <div className="strip" role="toolbar" aria-label="Steps, by mean reward">
      {steps.map((one) => (
        <button
          key={one.step}
          type="button"
          ref={one.step === chosen ? cell : undefined}
          aria-pressed={one.step === chosen}
          aria-label={`Step ${one.step}, mean reward ${value(one.mean)}`}
          title={`step ${one.step} · mean ${value(one.mean)} · ${one.mixed} of ${one.groups} groups mixed`}
          onClick={() => choose(one.step)}
        >
          <span
            style={{
              blockSize: `${one.mean === null ? 4 : 8 + (92 * (one.mean - least)) / span}%`,
            }}
          />
        </button>
      ))}
    </div>
  );
}
