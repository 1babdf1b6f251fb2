/// Captured metrics have short names, and stand behind what a program records itself.
import { expect, test } from "vitest";
import type { MetricSummary } from "../api/client";
import { sectionsOf } from "../pages/charts/sections";
import { labelOf } from "./engine";
import { tilesOf } from "./tiles";
import { aRun } from "./verdict.fixture";

const metric = (key: string): MetricSummary => ({
  key,
  first_step: 0,
  first_value: 1,
  last_step: 1,
  last_value: 2,
  last_time: "2026-01-01T00:00:00Z",
  better: null,
});

const CAPTURED = ["datums", "grad_norm", "loss", "loss_sum", "tokens", "trained_share"].map(
  (one) => `engine/${one}`,
);

test("captured metrics have short names, others their own", () => {
  expect(labelOf("engine/grad_norm")).toBe("Gradient norm");
  expect(labelOf("engine/of_tomorrow")).toBe("engine/of_tomorrow");
  expect(labelOf("loss")).toBe("loss");
});

test("a run that records nothing has tiles of what was captured", () => {
  const headline = { key: "engine/loss", value: 2, first_value: 1, better: null, spark: [] };
  const tiles = tilesOf(aRun({ metrics: CAPTURED.map(metric), headline }));
  expect(tiles.map((one) => one.title)).toEqual([
    "Loss a trained token",
    "Gradient norm",
    "Trained share",
    "Datums",
    "Tokens",
    "Loss, summed",
  ]);
});

test("what a program records goes before what is captured of the same kind", () => {
  const metrics = [...CAPTURED, "loss", "mine"].map(metric);
  const headline = { key: "loss", value: 2, first_value: 1, better: null, spark: [] };
  const keys = tilesOf(aRun({ metrics, headline })).map((one) => one.metric.key);
  expect(keys.slice(0, 4)).toEqual(["loss", "engine/grad_norm", "engine/trained_share", "mine"]);
  expect(keys).not.toContain("engine/loss");
});

test("captured metrics are a section of their own, in the order of what is asked", () => {
  const found = sectionsOf([...CAPTURED, "env/reward", "zoo/x"].map(metric), "");
  expect(found.map((one) => one.title)).toEqual(["env", "zoo", "Engine"]);
  expect(found.at(-1)?.keys.slice(0, 3)).toEqual([
    "engine/loss",
    "engine/grad_norm",
    "engine/datums",
  ]);
  expect(sectionsOf(CAPTURED.map(metric), "gradient")[0]?.keys).toEqual(["engine/grad_norm"]);
});
