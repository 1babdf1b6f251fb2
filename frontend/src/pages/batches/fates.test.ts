/// What became of examples, and where they stand on the memory map.
import { expect, test } from "vitest";
import type { Example } from "../../api/client";
import { byFate, fateOf, jsonLines, nearest, pointOf, scaleOf } from "./fates";

const example = (first: number | null, last: number | null, datum = 1): Example => ({
  datum,
  step: 9,
  seen: 3,
  first,
  last,
  trained_tokens: 5,
});

test.each([
  [-4, -4, "never"],
  [-4, -3.6, "never"],
  [-4, -3.5, "learnt"],
  [-1, -1.5, "forgotten"],
  [-4, -0.1, "heart"],
  [-0.05, -0.02, "heart"],
  [null, -1, null],
] as const)("from %s to %s is %s", (first, last, fate) => {
  expect(fateOf(example(first, last))).toBe(fate);
});

test("the least known stand first, and what is unknown nowhere", () => {
  const groups = byFate([example(-5, -2, 1), example(-5, -3, 2), example(null, null, 3)]);
  expect(groups.learnt.map((one) => one.datum)).toEqual([2, 1]);
  expect(groups.never).toEqual([]);
});

test("the list is a JSON object a line", () => {
  const lines = jsonLines([example(-5, -2, 1), example(-5, -3, 2)], "learnt").split("\n");
  expect(lines).toHaveLength(3);
  expect(JSON.parse(lines[1] ?? "")).toEqual({ ...example(-5, -3, 2), fate: "learnt" });
});

test("first goes to the right, last upwards, and what is far out lies on the edge", () => {
  const scale = scaleOf([example(-3.2, -1)], 100, 10);
  expect(scale.least).toBe(-4);
  expect(pointOf(scale, 0, 0)).toEqual([90, 10]);
  expect(pointOf(scale, -4, -4)).toEqual([10, 90]);
  expect(pointOf(scale, -99, -2)).toEqual([10, 50]);
  expect(scaleOf([example(-300, -1)], 100, 10).least).toBe(-12);
});

test("a press finds the point beneath it, and none where none is", () => {
  const all = [example(-4, -4, 1), example(0, 0, 2)];
  const scale = scaleOf(all, 100, 10);
  expect(nearest(all, scale, 88, 13)?.datum).toBe(2);
  expect(nearest(all, scale, 50, 50)).toBeNull();
});
