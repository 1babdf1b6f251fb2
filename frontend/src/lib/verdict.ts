/// One sentence about a run: is it healthy, what happened, what next. Facts alone, each from a number.
import type { RunDetail, RunRow } from "../api/client";
import { labelOf } from "./engine";
import { ago, duration, percent, runName, value } from "./format";

export type Tone = "ok" | "run" | "wait" | "bad" | "idle";

export const TONES: Record<RunRow["state"], Tone> = {
  training: "run",
  waiting: "wait",
  idle: "idle",
  finished: "ok",
  failed: "bad",
  stopped: "idle",
};

/** How far the run has come: 0 to 1, null if nobody said how far it is to go. */
export function progress(run: RunRow): number | null {
  if (run.planned_steps === null || run.planned_steps === 0) return null;
  if (run.step === null) return 0;
  return Math.min(1, (run.step + 1) / run.planned_steps);
}

/** Seconds until the run is done at the pace so far; null if that cannot be told. */
export function remaining(run: RunRow, now: number = Date.now()): number | null {
  const done = progress(run);
  if (run.state !== "training" || !done || done >= 1) return null;
  const spent = (now - Date.parse(run.created_at)) / 1000;
  return (spent / done) * (1 - done);
}

/** What became of the headline, in words; null if it has not moved yet. */
export function trend(run: RunRow): { text: string; tone: Tone } | null {
  const head = run.headline;
  if (!head || head.spark.length < 2) return null;
  if (head.value === null || head.first_value === null) return null;
  if (head.value === head.first_value) return null;
  const rises = head.value > head.first_value;
  const better = head.better === null ? null : rises === (head.better === "up");
  const text = `${labelOf(head.key)} ${value(head.first_value)} → ${value(head.value)}`;
  return { text, tone: better === null ? "idle" : better ? "ok" : "wait" };
}

/** The sentences of a run's page, the most important one first. */
export function verdict(
  run: RunDetail,
  now: number = Date.now(),
): { title: string; more: string[] } {
  const more: string[] = [];
  const moved = trend(run);
  if (moved) more.push(moved.text);
  if (run.failures.length) {
    const failed = run.counts.filter((one) => one.state === "failed");
    const total = failed.reduce((sum, one) => sum + one.count, 0);
    more.push(`${total} operation${total === 1 ? "" : "s"} failed`);
  }
  return { title: title(run, now), more };
}

function title(run: RunDetail, now: number): string {
  const done = progress(run);
  const left = remaining(run, now);
  switch (run.state) {
    case "training": {
      const part = done === null ? "" : `, ${percent(done)} done`;
      return `${runName(run)} is training${part}${left === null ? "" : `, about ${duration(left)} to go`}`;
    }
    case "waiting":
      return run.unserved
        ? `Waiting: no worker is there for ${run.unserved}`
        : "Waiting for its turn: other runs' passes are ahead";
    case "idle":
      return run.operations <= 1
        ? "Waiting for the first operation of its program"
        : `Waiting for its program: the last operation finished ${ago(run.moved_at, now)}`;
    case "finished":
      return `Finished after ${duration(spent(run))}`;
    case "failed":
      return `Failed: ${run.ended_because || "its program ended with an error"}`;
    case "stopped":
      return run.ended_because === "no heartbeat"
        ? "Its program went away: nothing was heard of it for ten minutes"
        : `Stopped ${ago(run.session?.ended_at ?? run.moved_at, now)}`;
  }
}

/** Seconds from the first to the last thing that happened. */
export function spent(run: RunRow): number {
  return Math.max(0, (Date.parse(run.moved_at) - Date.parse(run.created_at)) / 1000);
}
