/// The steps of a run that rollouts are of: one cell a step, as high as its mean reward.
import type { StepSummary } from "../../api/client";
import { StepStrip } from "../../components/strip";
import { value } from "../../lib/format";

interface StripProps {
  /** Oldest first. */
  steps: StepSummary[];
  chosen: number;
  choose: (step: number) => void;
}

export function RewardStrip({ steps, ...rest }: StripProps) {
  const cells = steps.map((one) => ({
    step: one.step,
    value: one.mean,
    told: `Step ${one.step}, mean reward ${value(one.mean)}`,
    title: `step ${one.step} · mean ${value(one.mean)} · ${one.mixed} of ${one.groups} groups mixed`,
  }));
  return <StepStrip cells={cells} label="Steps, by mean reward" {...rest} />;
}
