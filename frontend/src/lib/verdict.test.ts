/// The sentence about a run, for every state it can be in.
import { expect, test } from "vitest";
import type { RunDetail } from "../api/client";
import { progress, remaining, trend, verdict } from "./verdict";
import { aRun } from "./verdict.fixture";

const NOW = Date.parse("2026-01-01T12:00:00Z");

test("a run that trains says how far it is and how long it will take", () => {
  expect(progress(aRun())).toBe(0.25);
  expect(remaining(aRun(), NOW)).toBe(3 * 3600);
  expect(verdict(aRun(), NOW).title).toBe("math is training, 25 % done, about 3 h to go");
});

test("nothing is said of what is not known", () => {
  const run = aRun({ planned_steps: null, headline: null });
  expect(progress(run)).toBeNull();
  expect(remaining(run, NOW)).toBeNull();
  expect(verdict(run, NOW)).toEqual({ title: "math is training", more: [] });
});

test.each([
  [
    { state: "waiting", unserved: "the base model big" },
    /no worker is there for the base model big/,
  ],
  [{ state: "waiting" }, /other runs' passes are ahead/],
  [{ state: "idle" }, /Waiting for its program/],
  [{ state: "idle", operations: 1 }, /first operation/],
  [{ state: "finished" }, /Finished after 59 min/],
  [{ state: "failed", ended_because: "out of memory" }, /Failed: out of memory/],
  [{ state: "stopped", ended_because: "no heartbeat" }, /program went away/],
  [{ state: "stopped" }, /Stopped/],
] as [Partial<RunDetail>, RegExp][])("%o", (changes, said) => {
  expect(verdict(aRun(changes), NOW).title).toMatch(said);
});

test("failures are counted, not just the newest", () => {
  const failed = { kind: "forward_backward", state: "failed", count: 7 };
  const failure = {
    seq: 3,
    kind: "forward_backward",
    error: "x",
    category: "user",
    finished_at: "2026-01-01T11:00:00Z",
  };
  const run = aRun({ counts: [failed], failures: [failure] });
  expect(verdict(run, NOW).more).toContain("7 operations failed");
});

test("whether a change is good depends on the metric", () => {
  const head = { key: "loss", value: 1, first_value: 2, spark: [2, 1] };
  expect(trend(aRun({ headline: { ...head, better: "down" } }))?.tone).toBe("ok");
  expect(trend(aRun({ headline: { ...head, better: "up" } }))?.tone).toBe("wait");
  expect(trend(aRun({ headline: { ...head, better: null } }))?.tone).toBe("idle");
});
