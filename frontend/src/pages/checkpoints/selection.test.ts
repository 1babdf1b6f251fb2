/// What "keep best 3 + last" chooses, and what is said and copied.
import { expect, test } from "vitest";
import type { Checkpoint } from "../../api/client";
import { inWords } from "./changes";
import { beyondBest, command, lines, sizeOf } from "./selection";

const save = (at: number, score: number | null, changes: Partial<Checkpoint> = {}): Checkpoint => ({
  path: `tinker://a:train:0/weights/s${at}`,
  run_id: "a:train:0",
  segment: "weights",
  name: `s${at}`,
  size_bytes: 100,
  public: false,
  encrypted: false,
  base_model: "tiny",
  user_metadata: {},
  created_at: new Date(at * 1000).toISOString(),
  expires_at: null,
  step: at,
  score: score === null ? null : { key: "reward", value: score, better: "up" },
  ...changes,
});
const names = (paths: string[]) => paths.map((path) => path.split("/").at(-1)).sort();

test("all but the best three and the last are chosen", () => {
  const rows = [0.1, 0.9, 0.3, 0.8, 0.7, 0.2].map((score, at) => save(at, score));
  expect(names(beyondBest(rows))).toEqual(["s0", "s2"]);
});

test("where less is better the least stay", () => {
  const rows = [5, 1, 4, 2, 3, 6].map((value, at) =>
    save(at, null, { score: { key: "loss", value, better: "down" } }),
  );
  expect(names(beyondBest(rows))).toEqual(["s0", "s2"]);
});

test("what has no score stays, and each kind is for itself", () => {
  const sampler = { segment: "sampler_weights" };
  const rows = [
    ...[1, 2, 3, 4, 5].map((at) => save(at, null)),
    ...[6, 7, 8, 9].map((at) => save(at, at, sampler)),
  ];
  expect(names(beyondBest(rows))).toEqual(["s6"]);
  expect(beyondBest(rows, 1).length).toBe(3);
  expect(beyondBest([])).toEqual([]);
});

test("of equals the newer stays", () => {
  const rows = [0, 1, 2, 3, 4].map((at) => save(at, 1));
  expect(names(beyondBest(rows, 2))).toEqual(["s0", "s1", "s2"]);
});

test("sizes add up, and what is copied names the checkpoint", () => {
  const rows = [save(1, 1), save(2, 1), save(3, 1)];
  expect(sizeOf(rows, new Set([save(1, 1).path, save(3, 1).path]))).toBe(200);
  expect(command(save(1, 1))).toBe(`tinsmith checkpoints download ${save(1, 1).path} --output s1`);
  expect(lines(save(1, 1)).split("\n")).toHaveLength(2);
  expect(lines(save(1, 1))).toContain("from_state_with_optimizer");
  expect(lines(save(1, 1, { segment: "sampler_weights" }))).toContain("create_sampling_client");
});

test("what was done is said with its number and its room", () => {
  const done = { done: [1, 2], refused: [], size_bytes: 2 ** 20 };
  expect(inWords("delete", done, [1, 2]).text).toBe(
    "Deleted 2 checkpoints: frees 1.0 MB in 24 hours.",
  );
  const refused = [{ path: "x", detail: "there is none" }];
  expect(inWords("restore", { done: [1], refused, size_bytes: 0 }, [])).toEqual({
    text: "Brought back 1 checkpoint.",
    refused: ["there is none"],
    undo: [],
  });
});
