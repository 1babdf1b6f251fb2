/// Alarms: each rule with a series that gives one, and with the nearest that gives none.
import { expect, test } from "vitest";
import type { Series } from "../api/client";
import { ALARMING, alarmsOf } from "./alarms";

function curve(key: string, values: (number | null)[]): Series {
  const steps = values.map((_, step) => step);
  return {
    key,
    x: steps,
    steps,
    least: values,
    greatest: values,
    last: values,
    smooth: [],
    total: values.length,
    not_finite: 0,
    cut: false,
  };
}

const flat = (length: number, value: number) => Array.from({ length }, () => value);

const CASES: [string, (number | null)[], (number | null)[], RegExp][] = [
  ["engine/kl_sample_train_v2", [0, 0.02], [0.02, 0.01], /other weights.*KL 0.02/],
  ["engine/mixed_share", [1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.2], /Only 10 %/],
  ["engine/constant_share", [0.9, 0.9, 0.9], [0.9, 0.9], /90 % of the rollouts/],
  ["engine/entropy", [2, ...flat(19, 1), 0.9], flat(30, 1), /halved.*2 → 0.9/],
  ["engine/grad_norm", [...flat(12, 1), 6], [...flat(12, 1), 5], /6 times as large/],
  ["engine/trained_share", [0.5, 0], [0, 0.5], /Not one token/],
];

test.each(CASES)("%s", (key, alarming, calm, said) => {
  const [alarm, ...others] = alarmsOf([curve(key, alarming)]);
  expect(others).toEqual([]);
  expect(alarm?.text).toMatch(said);
  expect(alarm).toMatchObject({ key, step: alarming.length - 1 });
  expect(alarmsOf([curve(key, calm)])).toEqual([]);
});

test("every rule has its case, and nothing is said of what is not there", () => {
  expect(CASES.map(([key]) => key)).toEqual(ALARMING);
  expect(alarmsOf([])).toEqual([]);
  expect(alarmsOf(ALARMING.map((key) => curve(key, [])))).toEqual([]);
  expect(alarmsOf(ALARMING.map((key) => curve(key, [null, null, null])))).toEqual([]);
});

test("values that are not finite are passed over", () => {
  const [alarm] = alarmsOf([curve("engine/kl_sample_train_v2", [0.5, null])]);
  expect(alarm?.step).toBe(0);
});
