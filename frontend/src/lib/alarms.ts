/// What of a run's captured numbers a person should know now: each a sentence with its evidence.
import type { Series } from "../api/client";
import { percent, value } from "./format";

export interface Alarm {
  key: string;
  step: number;
  text: string;
}

/** So many steps are looked at, at least, from the last one back. */
export const LOOKED_AT = 100;

const FAR = 0.01;
const FEW_MIXED = 0.2;
const MANY_CONSTANT = 0.8;
const IN_A_ROW = 3;
const HALVED_WITHIN = 20;
const TALL = 5;
const ENOUGH = 10;

type Points = { step: number; value: number }[];
type Rule = (points: Points) => string | null;

const RULES: Record<string, Rule> = {
  "engine/kl_sample_train_v2": (points) => {
    const now = last(points);
    return now > FAR
      ? `What is sampled comes from other weights than are trained: KL ${value(now)}, above ${FAR}. Sample anew before each step, or take smaller steps.`
      : null;
  },
  "engine/mixed_share": (points) =>
    lasts(points, (one) => one < FEW_MIXED)
      ? `Only ${percent(last(points))} of the groups are mixed, for ${IN_A_ROW} steps: where all rollouts of a prompt earn the same, there is nothing to learn.`
      : null,
  "engine/constant_share": (points) =>
    lasts(points, (one) => one > MANY_CONSTANT)
      ? `${percent(last(points))} of the rollouts have no advantage, for ${IN_A_ROW} steps: they teach nothing.`
      : null,
  "engine/entropy": (points) => {
    const before = points.at(-1 - HALVED_WITHIN)?.value;
    return before !== undefined && before > 0 && last(points) < before / 2
      ? `Entropy has halved within ${HALVED_WITHIN} steps: ${value(before)} → ${value(last(points))}. The policy may stop trying new things.`
      : null;
  },
  "engine/grad_norm": (points) => {
    const usual = median(points.slice(0, -1).map((one) => one.value));
    return points.length > ENOUGH && usual > 0 && last(points) > TALL * usual
      ? `The gradient is ${value(last(points) / usual)} times as large as usual: ${value(last(points))} at step ${points.at(-1)?.step}.`
      : null;
  },
  "engine/trained_share": (points) =>
    points.length > 0 && last(points) === 0
      ? "Not one token of the last step was trained: all its weights are 0."
      : null,
};

/** The metrics that alarms are made of. */
export const ALARMING = Object.keys(RULES);

/** The alarms that curves give, in the order of the rules. */
export function alarmsOf(curves: Series[]): Alarm[] {
  return ALARMING.flatMap((key) => {
    const series = curves.find((one) => one.key === key);
    const points = series ? finite(series) : [];
    const text = RULES[key]?.(points) ?? null;
    const step = points.at(-1)?.step;
    return text === null || step === undefined ? [] : [{ key, step, text }];
  });
}

function finite(series: Series): Points {
  return series.steps.flatMap((step, place) => {
    const found = series.last[place];
    return found === null || found === undefined ? [] : [{ step, value: found }];
  });
}

const last = (points: Points) => points.at(-1)?.value ?? Number.NaN;

function lasts(points: Points, holds: (one: number) => boolean): boolean {
  const newest = points.slice(-IN_A_ROW);
  return newest.length === IN_A_ROW && newest.every((one) => holds(one.value));
}

function median(values: number[]): number {
  const ordered = [...values].sort((a, b) => a - b);
  return ordered[Math.floor(ordered.length / 2)] ?? Number.NaN;
}
