/// What charts are made of: sections, smoothing's slider, columns, what is taken home.
import { expect, test } from "vitest";
import type { MetricSummary, Series } from "../../api/client";
import { columns, described } from "../../components/chart";
import { csv } from "../../components/export";
import { sparkPath } from "../../components/spark";
import { isStill } from "./page";
import { matcher, placeOf, sectionsOf, weightOf } from "./sections";

const metric = (key: string): MetricSummary => ({
  key,
  first_step: 0,
  first_value: 0,
  last_step: 1,
  last_value: 1,
  last_time: "2026-01-01T00:00:00Z",
  better: null,
});

const series = (changes: Partial<Series> = {}): Series => ({
  key: "loss",
  x: [0, 1, 2],
  steps: [0, 1, 2],
  least: [1, null, -1],
  greatest: [3, null, 2],
  last: [2, null, 1],
  smooth: [],
  total: 9,
  not_finite: 1,
  cut: false,
  ...changes,
});

test("metrics stand in sections by what is before the slash", () => {
  const found = sectionsOf(["optim/lr", "loss", "env/all/reward", "zoo/x"].map(metric), "");
  expect(found.map((one) => [one.title, one.keys])).toEqual([
    ["", ["loss"]],
    ["env", ["env/all/reward"]],
    ["optim", ["optim/lr"]],
    ["zoo", ["zoo/x"]],
  ]);
});

test("the headline is the first of its section, the others keep their places", () => {
  const metrics = ["env/a", "env/b", "env/reward", "env/z"].map(metric);
  expect(sectionsOf(metrics, "", "env/reward")[0]?.keys).toEqual([
    "env/reward",
    "env/a",
    "env/b",
    "env/z",
  ]);
});

test("names are found by regular expressions, and by text that is none", () => {
  expect(matcher("kl|ent")("optim/entropy")).toBe(true);
  expect(matcher("KL")("optim/kl_v1")).toBe(true);
  expect(matcher("loss(")("loss(total)")).toBe(true);
  expect(matcher("loss(")("reward")).toBe(false);
});

test("the slider is finer the nearer smoothing comes to one, and keeps its place", () => {
  expect([0, 50, 100].map(weightOf)).toEqual([0, 0.968, 0.999]);
  for (const place of [0, 10, 33, 66, 90, 100]) {
    expect(Math.abs(placeOf(weightOf(place)) - place)).toBeLessThanOrEqual(1);
  }
});

test("on a log axis there is nothing at and below zero", () => {
  const [x, least, greatest, last] = columns(series(), "step", true, true);
  expect(x).toEqual([1, 2, 3]);
  expect([least, greatest, last]).toEqual([
    [1, null, null],
    [3, null, 2],
    [2, null, 1],
  ]);
});

test("time begins with the first value", () => {
  expect(columns(series({ x: [1e9, 1e9 + 60, 1e9 + 90] }), "time", false, false)[0]).toEqual([
    0, 60, 90,
  ]);
});

test("a curve is told in a sentence", () => {
  expect(described(series())).toBe("loss: 9 values, from 2 to 1, least −1, greatest 3");
  expect(described(series({ last: [null] }))).toBe("loss: no values");
});

test("CSV has a line a bucket, and nothing where there is no finite value", () => {
  expect(csv(series({ smooth: [2, 2, 1.5] }))).toBe(
    "step,least,greatest,last,smooth\n0,1,3,2,2\n1,,,,2\n2,-1,2,1,1.5\n",
  );
});

test("what never changes is a number and no curve", () => {
  expect(isStill(series({ least: [0, 0], greatest: [0, 0], last: [0, 0] }))).toBe(true);
  expect(isStill(series({ least: [0, 0], greatest: [0, 5], last: [0, 0] }))).toBe(false);
  expect(isStill(series({ least: [0], greatest: [0], last: [0], total: 1 }))).toBe(false);
});

test("a spark has a gap where a value is missing", () => {
  expect(sparkPath([0, 1, null, 1, 0]).match(/M/g)).toHaveLength(2);
  expect(sparkPath([1])).toBe("");
});
