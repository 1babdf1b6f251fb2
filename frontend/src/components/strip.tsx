/// The steps of a run as a strip: one cell a step, as high as its number.
import { useEffect, useRef } from "react";

export interface Cell {
  step: number;
  value: number | null;
  /** What it is, in words. */
  told: string;
  title: string;
}

interface StripProps {
  /** Oldest first. */
  cells: Cell[];
  label: string;
  chosen: number;
  choose: (step: number) => void;
}

export function StepStrip({ cells, label, chosen, choose }: StripProps) {
  const cell = useRef<HTMLButtonElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another cell is in view then
  useEffect(() => {
    cell.current?.scrollIntoView?.({ block: "nearest", inline: "nearest" });
  }, [chosen]);
  const known = cells.map((one) => one.value).filter((one): one is number => one !== null);
  const least = Math.min(...known, 0);
  const span = Math.max(...known, 0) - least || 1;
  return (
    <div className="strip" role="toolbar" aria-label={label}>
      {cells.map((one) => (
        <button
          key={one.step}
          type="button"
          ref={one.step === chosen ? cell : undefined}
          aria-pressed={one.step === chosen}
          aria-label={one.told}
          title={one.title}
          onClick={() => choose(one.step)}
        >
          <span
            style={{
              blockSize: `${one.value === null ? 4 : 8 + (92 * (one.value - least)) / span}%`,
            }}
          />
        </button>
      ))}
    </div>
  );
}
