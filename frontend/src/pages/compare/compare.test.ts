/// What a comparison says, and how curves of several runs are laid over each other.
import { expect, test } from "vitest";
import type { Series } from "../../api/client";
import { joined, valueAt } from "../../components/overlay";
import { idsOf, isClear, lacking, letterOf, sentence } from "./words";

const series = (x: number[], last: (number | null)[], smooth: number[] = []): Series => ({
  key: "loss",
  x,
  steps: x,
  least: last,
  greatest: last,
  last,
  smooth,
  total: x.length,
  not_finite: 0,
  cut: false,
});

test("a difference is a sentence, and silent where there are few prompts", () => {
  const found = { place: 1, prompts: 212, mean: 0.06, low: 0.01, high: 0.11 };
  expect(sentence(found)).toBe("B − A = +0.06, 95 % 0.01 … 0.11, 212 prompts");
  expect(isClear(found)).toBe(true);
  expect(isClear({ ...found, low: -0.01 })).toBe(false);
  const silent = { place: 2, prompts: 5, mean: null, low: null, high: null };
  expect(sentence(silent)).toMatch(/^C − A: 5 common prompts with rewards, too few/);
  expect(sentence({ ...silent, prompts: 0 })).toBe("C − A: no common prompt with rewards");
  expect(isClear(silent)).toBe(false);
});

test("runs have letters, and those without a metric are named", () => {
  expect([0, 1, 25, 26].map(letterOf)).toEqual(["A", "B", "Z", "A2"]);
  expect(lacking([true, false, true])).toBe("B has no such metric.");
  expect(lacking([false, true, false])).toBe("A, C have no such metric.");
  expect(lacking([true])).toBe("");
  expect(idsOf("a,b,,a")).toEqual(["a", "b"]);
});

test("curves share one axis, and holes are no gaps", () => {
  const curves = [
    { letter: "A", place: 0, series: series([0, 2, 4], [1, null, 3]) },
    { letter: "B", place: 1, series: series([1, 2], [5, -6]) },
  ];
  const [x, a, b] = joined(curves, "step", false);
  expect([...(x ?? [])]).toEqual([0, 1, 2, 4]);
  expect([...(a ?? [])]).toEqual([1, undefined, null, 3]);
  expect([...(b ?? [])]).toEqual([undefined, 5, -6, undefined]);
  expect(valueAt(a ?? [], 1)).toBe(1);
  expect(valueAt(a ?? [], 2)).toBeNull();
  expect(valueAt(b ?? [], 3)).toBe(-6);
  expect(valueAt(b ?? [], 0)).toBeUndefined();
  expect([...(joined(curves, "step", true)[2] ?? [])]).toEqual([undefined, 5, null, undefined]);
});

test("along time, each run begins at nought; smoothing is drawn where there is some", () => {
  const curves = [{ letter: "A", place: 0, series: series([100, 160], [1, 2], [1, 1.5]) }];
  const [x, a] = joined(curves, "time", false);
  expect([...(x ?? [])]).toEqual([0, 60]);
  expect([...(a ?? [])]).toEqual([1, 1.5]);
  expect(joined([], "step", false)).toEqual([[]]);
});
