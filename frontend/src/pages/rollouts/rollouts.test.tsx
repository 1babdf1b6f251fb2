/// A group side by side, and what the colours mean.
import { cleanup, render, screen, within } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import type { Piece, ShownRollout } from "../../api/client";
import { Group, sharedPrompt } from "./group";
import { askedOf } from "./list";
import { firstMixed } from "./page";
import { binOf, countBins, outliers } from "./surprise";

afterEach(cleanup);

const piece = (text: string, logprob: number | null = null): Piece => ({
  pieces: [text],
  logprobs: [logprob],
  cut: 0,
  kept: true,
});

const rollout = (index: number, reward: number | null, changes: Partial<ShownRollout> = {}) => ({
  index,
  prompt: piece("What is 1 + 1?"),
  turns: [piece("2", -2)],
  tokens: 1,
  reward,
  components: {},
  tags: [],
  data: {},
  time: "2026-01-01T00:00:00Z",
  ...changes,
});

test.each([
  [-0.05, 0],
  [-0.1, 1],
  [-0.7, 2],
  [-2, 3],
  [-3, 4],
  [-17, 5],
  [null, 0],
])("logprob %s is in bin %s, whatever the others are", (logprob, bin) => {
  expect(binOf(logprob)).toBe(bin);
});

test("tokens of unknown logprob are counted in no bin", () => {
  expect(countBins([piece("a", -2), piece("b"), piece("c", -0.01)])).toEqual([1, 0, 0, 1, 0, 0]);
});

test("the least expected tokens are named for those who see no colours", () => {
  const turn: Piece = { pieces: ["a", "b", "c"], logprobs: [-1, -6, -0.2], cut: 0, kept: true };
  expect(outliers(turn, 5).map((one) => one.text)).toEqual(["b", "a"]);
});

test("a prompt that all share is shown once", () => {
  const group = [rollout(0, 1), rollout(1, 0)];
  render(<Group rollouts={group} coloured={false} />);
  expect(screen.getAllByText("What is 1 + 1?")).toHaveLength(1);
  expect(sharedPrompt([rollout(0, 1), rollout(1, 0, { prompt: piece("else") })])).toBeNull();
  expect(sharedPrompt([])).toBeNull();
});

test("a rollout shows its reward and how far it is from the group's mean", () => {
  render(<Group rollouts={[rollout(0, 1), rollout(1, 0), rollout(2, null)]} coloured={false} />);
  const best = screen.getByRole("article", { name: "Rollout 0" });
  expect(within(best).getByText("+0.5")).toBeDefined();
  const worst = screen.getByRole("article", { name: "Rollout 1" });
  expect(within(worst).getByText("−0.5")).toBeDefined();
  expect(screen.getByText("no reward")).toBeDefined();
});

test("texts with HTML are texts", () => {
  const evil = rollout(0, 1, {
    turns: [piece("<img src=x onerror=alert(1)>")],
    tags: ["<b>x</b>"],
  });
  const { container } = render(<Group rollouts={[evil]} coloured={true} />);
  expect(container.querySelector("img, b[onerror]")).toBeNull();
  expect(screen.getByText("<img src=x onerror=alert(1)>")).toBeDefined();
});

test("what is no longer kept is said to be gone", () => {
  const gone: Piece = { pieces: [], logprobs: [], cut: 0, kept: false };
  render(<Group rollouts={[rollout(0, 1, { turns: [gone] })]} coloured={false} />);
  expect(screen.getByText(/no longer kept/)).toBeDefined();
});

test("what is looked at first is a group whose rewards differ", () => {
  const group = { rollouts: 2, mean: 1, tags: [], preview: null };
  const groups = [
    { ...group, group: 3, rewards: [1, 1] },
    { ...group, group: 4, rewards: [1, 0] },
  ];
  expect(firstMixed(groups)?.group).toBe(4);
  expect(firstMixed(groups.slice(0, 1))?.group).toBe(3);
  expect(firstMixed([])).toBeUndefined();
});

test("a group is listed by its question, without the marks of chats", () => {
  const group = { group: 1, rollouts: 8, mean: 1, rewards: [], tags: [], preview: null };
  const asked = "<|im_start|>user\nWhat is 1 + 1?<|im_end|>\n<|im_start|>assistant\n";
  expect(askedOf({ ...group, preview: asked })).toBe("What is 1 + 1?");
  expect(askedOf({ ...group, tags: ["sums"] })).toBe("sums");
  expect(askedOf(group)).toBe("8 rollouts");
});
