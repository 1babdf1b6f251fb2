/// What the page of the cluster says in words, from numbers alone.
import type { ShownPool, ShownWorker, Waiting } from "../../api/client";
import { ago, count, duration, percent } from "../../lib/format";
import type { Tone } from "../../lib/verdict";

/** A worker's state: a tone and a word. */
export function stateOf(worker: ShownWorker): { tone: Tone; text: string } {
  if (!worker.alive) return { tone: "bad", text: "silent" };
  if (worker.restoring > 0) return { tone: "wait", text: "restoring" };
  if (!worker.models.some((one) => one.not_loaded === null)) {
    return worker.models.length
      ? { tone: "bad", text: "nothing loaded" }
      : { tone: "wait", text: "loading" };
  }
  return worker.models.some((one) => one.not_loaded !== null)
    ? { tone: "wait", text: "partly loaded" }
    : { tone: "ok", text: "alive" };
}

/** Since when a worker is as it is. */
export function sinceOf(worker: ShownWorker, now: number): string {
  return worker.alive
    ? `started ${ago(worker.started_at, now)}`
    : `last heard ${ago(worker.heard_at, now)}`;
}

/** How a pool does, in a sentence. */
export function poolSentence(pool: ShownPool): string {
  const alive = pool.workers.filter((one) => one.alive).length;
  const queued = pool.queues.reduce((sum, one) => sum + one.queued, 0);
  const running = pool.queues.reduce((sum, one) => sum + one.running, 0);
  const oldest = Math.max(0, ...pool.queues.map((one) => one.oldest_s ?? 0));
  const who = alive === 1 ? "1 worker" : `${alive} workers`;
  if (!alive) return queued ? `No worker; ${count(queued)} operations wait.` : "No worker.";
  if (!queued) return `${who}, ${running ? `${count(running)} operations at work` : "at rest"}.`;
  const wait = oldest >= 1 ? `, the first for ${duration(oldest)}` : "";
  return `${who}; ${count(queued)} operations wait${wait}.`;
}

export interface ShareBar {
  name: string;
  own: boolean;
  share: number;
  text: string;
}

/** The shares of a pool's work, of one's own teams first. */
export function sharesOf(pool: ShownPool): ShareBar[] {
  const total = pool.shares.reduce((sum, one) => sum + one.tokens, 0);
  if (!total) return [];
  const bars = pool.shares.map((one) => ({
    name: one.team ?? (one.teams === 1 ? "1 other team" : `${one.teams} other teams`),
    own: one.team !== null,
    share: one.tokens / total,
    text: `${percent(one.tokens / total)}, ${count(one.tokens)} tokens`,
  }));
  return bars.sort((a, b) => Number(b.own) - Number(a.own) || b.share - a.share);
}

export const TONE_OF: Record<Waiting["why"], Tone> = {
  unserved: "bad",
  silent: "bad",
  suspect: "bad",
  retrying: "wait",
  restoring: "wait",
  busy: "wait",
  next: "run",
};
