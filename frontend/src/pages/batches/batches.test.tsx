/// Batches: where tokens stand, which colour they have, what is said of a step and of a datum.
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import type { Batch, DatumRow, Positions, ShownDatum, TrainedStep } from "../../api/client";
import { Reader } from "./reader";
import { figuresOf, oddOf, seenOf, trainedOf, warningsOf } from "./sentences";
import { binOf, binsOf, countsOf, legendOf, lookOf, outliersOf, signalOf } from "./signals";
import { isEnd, isSpecial, spanOf, startsOf, stretchesOf, tokenAt } from "./spans";
import { partnerOf, siblingsOf } from "./together";
import { partsOf, sayToken } from "./words";

afterEach(cleanup);

const row = (changes: Partial<DatumRow> = {}): DatumRow => ({
  id: 1,
  seq: 1,
  place: 0,
  tokens: 5,
  trained_tokens: 2,
  loss: 6,
  logprob: -3,
  sampled_logprob: null,
  advantage: null,
  group: 0,
  seen: 1,
  before: null,
  kept: true,
  ...changes,
});

const TEXTS = ["<|im_start|>", "user", "\n", "", "é", "<|im_end|>"];
const positions = (changes: Partial<Positions> = {}): Positions => ({
  tokens: [1, 2, 3, 4, 5, 6],
  trained: [false, false, false, false, true, true],
  logprobs: [null, -1, -9, -2, -4, -0.05],
  sampled: [],
  weights: [null, 0, 0, 0, 1, 1],
  advantages: [],
  cut: 0,
  ...changes,
});

const datum = (
  changes: Partial<Positions> | null = {},
  of: Partial<DatumRow> = {},
  texts = TEXTS,
  lossFn = "cross_entropy",
): ShownDatum => ({
  datum: {
    row: row(of),
    step: 3,
    loss_fn: lossFn,
    positions: changes && positions(changes),
    times: [],
  },
  texts: changes ? texts : [],
});

test("tokens that share a character share its place", () => {
  const starts = startsOf(TEXTS);
  expect(starts).toEqual([0, 12, 16, 17, 17, 18, 28]);
  expect(spanOf(starts, 3)).toEqual([17, 18]);
  expect(spanOf(starts, 4)).toEqual([17, 18]);
  expect([0, 11, 12, 16, 17, 18, 27].map((one) => tokenAt(starts, one))).toEqual([
    0, 0, 1, 2, 3, 5, 5,
  ]);
  expect(tokenAt(startsOf([]), 0)).toBe(0);
});

test("neighbours of the same value are one stretch", () => {
  expect(stretchesOf([0, 0, 2, 0])).toEqual([
    { value: 0, from: 0, to: 2 },
    { value: 2, from: 2, to: 3 },
    { value: 0, from: 3, to: 4 },
  ]);
});

test("special tokens are known by their form, ends by their name", () => {
  expect(["<|im_end|>", "</s>", "<think>", "[INST]"].every(isSpecial)).toBe(true);
  expect(["<div>", "a < b", "<|", ""].some(isSpecial)).toBe(false);
  expect(["<|im_end|>", "<|endoftext|>", "</s>", "<|eot_id|>"].every(isEnd)).toBe(true);
  expect(isEnd("<|im_start|>")).toBe(false);
});

test.each([
  ["surprise", 0.09, 0],
  ["surprise", 0.1, 1],
  ["surprise", 4.9, 4],
  ["surprise", 99, 5],
  ["change", 0.019, 0],
  ["change", -0.02, -1],
  ["change", 0.3, 3],
  ["change", -7, -4],
  ["advantage", -0.5, -2],
  ["weight", 1, 4],
  ["weight", 1 / 200, 1],
  ["trained", 1, 1],
  ["surprise", null, 0],
] as const)("%s %s is in bin %s, whatever the others are", (signal, number, bin) => {
  expect(binOf(signal, number)).toBe(bin);
});

test("what was not trained has no colour and is counted nowhere", () => {
  expect(binsOf(positions(), "surprise")).toEqual([0, 0, 0, 0, 4, 0]);
  expect([...(countsOf(positions(), "surprise") ?? [])]).toEqual([
    [4, 1],
    [0, 1],
  ]);
  expect(countsOf(positions(), "advantage")).toBeNull();
  expect(outliersOf(positions(), 5).map((one) => one.place)).toEqual([4, 5]);
});

test("a legend runs from the least to the greatest", () => {
  const rows = legendOf("change", new Map([[-4, 7]]));
  expect(rows.map((one) => one.text)).toEqual([
    ..."to −1,to −0.3,to −0.1,to −0.02,within ±0.02".split(","),
    ..."from 0.02,from 0.1,from 0.3,from 1".split(","),
  ]);
  expect(rows[0]).toEqual({ look: "minus-4", text: "to −1", count: 7 });
  expect(lookOf("surprise", 5)).toBe("surprise-5");
  expect(signalOf("nonsense")).toBe("surprise");
});

test("neighbouring tokens of one look are one mark", () => {
  const all = positions({ trained: TEXTS.map(() => true), logprobs: TEXTS.map(() => -9) });
  const parts = partsOf(TEXTS, all, startsOf(TEXTS), "surprise");
  expect(parts.filter((one) => one.name === "surprise-5")).toEqual([
    { name: "surprise-5", from: 0, to: 28 },
  ]);
  expect(parts.filter((one) => one.name === "special")).toHaveLength(2);
  const plain = partsOf(TEXTS, positions(), startsOf(TEXTS), "plain");
  expect(plain[0]).toEqual({ name: "untrained", from: 0, to: 17 });
});

test("it is said what was trained, where that begins and where it ends", () => {
  expect(trainedOf(datum())).toBe(
    "trained 2 of 5 tokens: begins after «<|im_start|>user\\n», ends with «<|im_end|>»",
  );
  const gaps = { trained: [false, true, false, false, true, true] };
  expect(trainedOf(datum(gaps))).toContain("in 2 parts: begins after «<|im_start|>»");
  expect(trainedOf(datum({ cut: 9 }))).toContain("goes on beyond what is shown");
  expect(trainedOf(datum(null))).toBe("trained 2 of 5 tokens");
});

test("what is odd about a datum is said", () => {
  expect(oddOf(datum())).toEqual([]);
  const open = { trained: [false, false, false, false, true, false] };
  expect(oddOf(datum(open))[0]).toMatch(/No end token is trained/);
  expect(oddOf(datum(open, {}, TEXTS, "ppo"))).toEqual([]);
  expect(oddOf(datum({ ...open, cut: 3 }))).toEqual([]);
  expect(
    oddOf(
      datum(
        open,
        {},
        TEXTS.map((_, place) => `⟨${place}⟩`),
      ),
    ),
  ).toEqual([]);
  expect(oddOf(datum({ trained: TEXTS.map(() => true) }))[0]).toMatch(/begin a turn/);
  expect(oddOf(datum({ weights: [null, 0, 0, 0, -1, 1] }))[0]).toMatch(/negative/);
  expect(oddOf(datum({}, { trained_tokens: 0 }))).toEqual([
    "No token is trained: it taught nothing.",
  ]);
});

const batch = (changes: Partial<Batch>): Batch => ({
  step: 0,
  loss_fn: "ppo",
  total: 8,
  untrained: 0,
  twice: 0,
  constant: 0,
  datums: [],
  ...changes,
});

test("what is odd about a step is said", () => {
  expect(warningsOf(batch({}), undefined)).toEqual([]);
  expect(warningsOf(batch({ untrained: 1 }), undefined)).toEqual([
    "1 of 8 datums has no trained token: it taught nothing.",
  ]);
  expect(warningsOf(batch({ untrained: 8 }), undefined)[0]).toMatch(/^No datum of this step/);
  expect(warningsOf(batch({ twice: 2 }), undefined)[0]).toMatch(/^2 datums repeat/);
  expect(warningsOf(batch({ constant: 8 }), undefined)[0]).toMatch(/this step taught nothing/);
  expect(warningsOf(batch({ constant: 3 }), undefined)[0]).toMatch(
    /advantages of 3 of 8 datums are zero/,
  );
  expect(warningsOf(batch({ total: 0 }), undefined)).toEqual([]);
});

test("a step is told in numbers", () => {
  const step: TrainedStep = {
    step: 0,
    datums: 1,
    tokens: 2000,
    trained_tokens: 500,
    loss_fn: "ppo",
    loss: null,
    groups: null,
    mixed_share: null,
    time: null,
  };
  expect(figuresOf(step)).toEqual(["1 datum", "2.0 k tokens", "25 % trained", "ppo"]);
  expect(figuresOf({ ...step, tokens: 0, loss: 1.5 })).toContain("none trained");
  expect(seenOf(row({ seen: 3, before: 4 }))).toBe("seen 3×, 4 → 3");
});

test("datums of one prompt are siblings, neighbours of an operation are a pair", () => {
  const rows = [0, 0, 1, 1, 1].map((group, place) => row({ id: place, place, group }));
  const at = (index: number) => rows[index];
  expect(siblingsOf(at, 3).map((one) => one.index)).toEqual([2, 3, 4]);
  expect(partnerOf(at, 2)?.place).toBe(3);
  expect(partnerOf(at, 1)?.place).toBe(0);
  expect(partnerOf(at, 4)).toBeUndefined();
  expect(partnerOf(at, 9)).toBeUndefined();
});

test("a token is told to those who listen", () => {
  expect(sayToken(datum(), positions(), 5)).toBe(
    "“<|im_end|>”, special token, trained, surprise 0.05, weight 1, token 5",
  );
  expect(sayToken(datum(), positions(), 2)).toContain("“\\n”, not trained, surprise 9");
});

test("texts with HTML are texts, and there is one element whatever they are", () => {
  const texts = ["", "<img src=x onerror=alert(1)>", "b", "c", "d", "e"];
  const { container } = render(<Reader shown={datum({}, {}, texts)} signal="surprise" />);
  expect(container.querySelector("img")).toBeNull();
  expect(container.querySelector("pre")?.childNodes).toHaveLength(1);
});

test("what is not kept is said, and how often a datum was seen", () => {
  render(<Reader shown={datum(null, { seen: 4, before: 5 })} signal="surprise" />);
  expect(screen.getByText(/are not kept/)).toBeDefined();
  expect(screen.getByText("seen 4×, 5 → 3")).toBeDefined();
});
