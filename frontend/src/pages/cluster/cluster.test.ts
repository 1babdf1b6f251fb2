/// Sentences about workers, pools and shares.
import { expect, test } from "vitest";
import type { ShownPool, ShownWorker } from "../../api/client";
import { poolSentence, sharesOf, sinceOf, stateOf } from "./words";

const NOW = Date.parse("2026-01-01T12:00:00Z");
const model = (not_loaded: string | null = null) => ({
  name: "tiny",
  not_loaded,
  runs: null,
  slots: null,
  sampling: null,
  memory_bytes: null,
});
const worker = (changes: Partial<ShownWorker> = {}): ShownWorker => ({
  id: "w",
  alive: true,
  started_at: "2026-01-01T11:00:00Z",
  heard_at: "2026-01-01T11:59:00Z",
  host: null,
  pid: null,
  runs: 0,
  restoring: 0,
  models: [model()],
  ...changes,
});
const pool = (changes: Partial<ShownPool> = {}): ShownPool => ({
  name: "default",
  workers: [worker()],
  queues: [{ base_model: "tiny", queued: 0, running: 0, oldest_s: null, workers: 1 }],
  shares: [],
  start: "celery",
  ...changes,
});

test.each([
  [worker(), "alive"],
  [worker({ alive: false, restoring: 1 }), "silent"],
  [worker({ restoring: 1 }), "restoring"],
  [worker({ models: [] }), "loading"],
  [worker({ models: [model("out of memory")] }), "nothing loaded"],
  [worker({ models: [model(), model("out of memory")] }), "partly loaded"],
])("%#: a worker's state", (given, text) => {
  expect(stateOf(given).text).toBe(text);
});

test("a silent worker says since when", () => {
  expect(sinceOf(worker(), NOW)).toBe("started 1 h ago");
  expect(sinceOf(worker({ alive: false }), NOW)).toBe("last heard 1 min ago");
});

test("a pool says what waits and for how long", () => {
  const queue = { base_model: "tiny", queued: 3, running: 2, oldest_s: 90, workers: 1 };
  expect(poolSentence(pool())).toBe("1 worker, at rest.");
  expect(poolSentence(pool({ queues: [{ ...queue, queued: 0, oldest_s: null }] }))).toBe(
    "1 worker, 2 operations at work.",
  );
  expect(poolSentence(pool({ queues: [queue] }))).toBe(
    "1 worker; 3 operations wait, the first for 2 min.",
  );
  expect(poolSentence(pool({ queues: [queue], workers: [] }))).toBe(
    "No worker; 3 operations wait.",
  );
  expect(poolSentence(pool({ workers: [worker({ alive: false })] }))).toBe("No worker.");
});

test("shares add up, and other teams are a number", () => {
  const shares = [
    { team: null, teams: 2, tokens: 300 },
    { team: "ours", teams: 1, tokens: 100 },
  ];
  const bars = sharesOf(pool({ shares }));
  expect(bars.map((bar) => [bar.name, bar.own, bar.share])).toEqual([
    ["ours", true, 0.25],
    ["2 other teams", false, 0.75],
  ]);
  expect(sharesOf(pool())).toEqual([]);
});
