/// Where runs and saves stand on the picture of a lineage, and how keys walk through it.
import { expect, test } from "vitest";
import type { Lineage } from "../../api/client";
import { inWords, layOut, next } from "./layout";

const run = (id: string, saves = 0): Lineage["runs"][number] => ({
  id,
  name: id.toUpperCase(),
  base_model: "tiny",
  created_at: "2026-01-01T00:00:00Z",
  saves,
});
const save = (
  run_id: string,
  name: string,
  standing: Lineage["saves"][number]["standing"] = "kept",
): Lineage["saves"][number] => ({
  run_id,
  name,
  segments: ["weights"],
  step: 1,
  public: false,
  created_at: "2026-01-01T00:00:00Z",
  standing,
});
const edge = (
  run_id: string,
  source_run: string,
  source_name: string,
  how = "created",
  seq = 0,
) => ({
  run_id,
  seq,
  how,
  source: `tinker://${source_run}/weights/${source_name}`,
  source_run,
  source_name,
  optimizer: true,
  created_at: "2026-01-01T00:00:00Z",
});
const FORK: Lineage = {
  runs: [run("a", 2), run("b", 1), run("c")],
  saves: [save("a", "s1"), save("a", "s2"), save("b", "t1"), save("z", "x", "foreign")],
  edges: [edge("b", "a", "s2"), edge("c", "z", "x", "copied"), edge("a", "b", "t1", "loaded", 7)],
  folded: false,
  cut: false,
};

test("each run has a lane, right of what it came from", () => {
  const { nodes } = layOut(FORK);
  const at = new Map(nodes.map((one) => [one.id, one]));
  const b = at.get("run b");
  const source = at.get("save a s2");
  expect(b && source && b.x > source.x && b.y !== source.y).toBe(true);
  expect(at.get("save a s1")?.y).toBe(at.get("run a")?.y);
  expect(new Set(nodes.map((one) => `${one.x} ${one.y}`)).size).toBe(nodes.length);
  expect(at.get("save z x")?.title).toContain("of another team");
});

test("every edge leads from a node to a node", () => {
  const { nodes, edges } = layOut(FORK);
  const ids = new Set(nodes.map((one) => one.id));
  for (const one of edges) expect(ids.has(one.from) && ids.has(one.to), one.id).toBe(true);
  expect(edges.filter((one) => one.how === "base").map((one) => one.to)).toEqual([
    "run a",
    "run c",
  ]);
});

test("a circle of loads ends", () => {
  const both = { ...FORK, edges: [edge("a", "b", "t1"), edge("b", "a", "s1")] };
  expect(layOut(both).nodes.filter((one) => one.kind === "run")).toHaveLength(3);
});

test("keys walk along a lane and between lanes to what is nearest", () => {
  const { nodes } = layOut(FORK);
  const of = (id: string) => nodes.find((one) => one.id === id);
  expect(next(nodes, of("run a"), "ArrowRight")?.id).toBe("save a s1");
  expect(next(nodes, of("save a s2"), "ArrowLeft")?.id).toBe("save a s1");
  expect(next(nodes, of("save a s2"), "ArrowDown")?.y).toBe(of("run b")?.y);
  expect(next(nodes, of("save a s2"), "ArrowRight")).toBeUndefined();
  expect(next(nodes, undefined, "ArrowDown")).toBe(nodes[0]);
});

test("what came along is said", () => {
  expect(inWords("created", false)).toBe("made from, without the optimizer's state");
  expect(inWords("loaded", true)).toBe("loaded, with the optimizer's state");
  expect(inWords("created", null)).toBe("made from");
  expect(inWords("copied", true)).toBe("copy");
});

test("500 saves are placed at once", () => {
  const runs = Array.from({ length: 50 }, (_, at) => run(`r${at}`, 10));
  const saves = runs.flatMap(({ id }) => Array.from({ length: 10 }, (_, at) => save(id, `s${at}`)));
  const edges = runs.slice(1).map(({ id }, at) => edge(id, `r${at}`, "s9"));
  const start = performance.now();
  expect(layOut({ ...FORK, runs, saves, edges }).nodes).toHaveLength(551);
  expect(performance.now() - start).toBeLessThan(100);
});
