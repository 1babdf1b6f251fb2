/// Which of a run's metrics stand on its overview: the headline, then what says most about health.
import type { MetricSummary, RunDetail } from "../api/client";
import { isOfEngine, labelOf, placeOfEngine } from "./engine";
import { percent, value } from "./format";

export interface Tile {
  metric: MetricSummary;
  title: string;
  change: string;
}

const MOST = 6;
// in the order of what a researcher asks; of each the first metric that fits
const WANTED: [RegExp, string][] = [
  [/frac_mixed|mixed/, "Mixed groups"],
  [/kl.*(v1|sampl|train)|(^|[/_])kl($|[/_])/, "KL"],
  [/entropy/, "Entropy"],
  [/(^|[/_])(test|eval|held_out).*(nll|loss)([:/]\w+)?$/, "Held-out loss"],
  [/(^|[/_])(nll|loss)([:/]\w+)?$/, "Loss"],
  [/accuracy|exact_match|correct/, "Right answers"],
  [/grad.*norm/, "Gradient norm"],
  [/ac_tokens_per_turn|tokens_per_turn|length/, "Length"],
  [/(^|[/_])lr$|learning_rate/, "Learning rate"],
  [/tokens_per_s|tok_s/, "Speed"],
  [/trained_share/, "Trained share"],
];

export function tilesOf(run: RunDetail): Tile[] {
  const chosen: [MetricSummary, string][] = [];
  const head = run.metrics.find((one) => one.key === run.headline?.key);
  if (head) chosen.push([head, titleOf(head.key)]);
  // what is captured stands where the program records nothing of the kind
  const metrics = [...run.metrics].sort(
    (a, b) =>
      Number(isOfEngine(a.key)) - Number(isOfEngine(b.key)) ||
      placeOfEngine(a.key) - placeOfEngine(b.key),
  );
  const told = new Set<string>();
  for (const [form, title] of WANTED) {
    const [found, ...others] = metrics.filter((one) => form.test(one.key));
    if (found && !chosen.some(([one]) => one.key === found.key)) chosen.push([found, title]);
    if (found && !isOfEngine(found.key)) {
      for (const one of others.filter((other) => isOfEngine(other.key))) told.add(one.key);
    }
  }
  for (const metric of metrics) {
    if (!told.has(metric.key) && !chosen.some(([one]) => one.key === metric.key))
      chosen.push([metric, titleOf(metric.key)]);
  }
  return chosen
    .slice(0, MOST)
    .map(([metric, title]) => ({ metric, title, change: changeOf(metric) }));
}

/** A key as a title: `env/all/reward/total` is "Reward". */
export function titleOf(key: string): string {
  if (/(^|\/)reward(\/(total|mean|all))?$/.test(key)) return "Reward";
  return labelOf(key);
}

function changeOf(metric: MetricSummary): string {
  if (metric.first_step === metric.last_step) return `at step ${metric.last_step}`;
  const { first_value: first, last_value: last } = metric;
  if (first === null) return `at step ${metric.last_step}`;
  if (last === null) return `from ${value(first)}`;
  if (first === last) return `as at step ${metric.first_step}`;
  const relative = first !== 0 && Math.abs(last / first) < 10 && first > 0 && last > 0;
  const change = relative
    ? `${last > first ? "+" : "−"}${percent(Math.abs(last / first - 1))}`
    : "";
  return `from ${value(first)}${change && `, ${change}`}`;
}
