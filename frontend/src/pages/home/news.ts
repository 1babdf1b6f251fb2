/// What became of a run since somebody looked, in a sentence with the address of its proof.
import type { Change } from "../../api/client";
import { value } from "../../lib/format";
import { titleOf } from "../../lib/tiles";
import type { Tone } from "../../lib/verdict";

export interface Sentence {
  tone: Tone;
  text: string;
  /** Where it can be seen. */
  proof: string;
}

const TONES: Record<Change["what"], Tone> = {
  failed: "bad",
  waiting: "wait",
  moved: "run",
  finished: "ok",
  stopped: "idle",
  saved: "run",
  new: "run",
};

export function sentenceOf(change: Change): Sentence {
  const tone = change.what === "moved" ? toneOf(change) : TONES[change.what];
  return { tone, text: textOf(change), proof: proofOf(change) };
}

function textOf(change: Change): string {
  switch (change.what) {
    case "failed": {
      const why = change.reason || "its program ended with an error";
      const next = change.sound
        ? `checkpoint ${change.sound} is sound`
        : "it has no checkpoint to go on from";
      return `failed: ${withoutStop(why)}; ${next}`;
    }
    case "waiting":
      return `waits: ${withoutStop(change.reason ?? "for a worker")}`;
    case "moved":
      return listed([movedOf(change), savedOf(change)]);
    case "finished":
      return listed(["finished", movedOf(change), savedOf(change)]);
    case "stopped":
      return listed([
        change.reason === "no heartbeat" ? "stopped, for its program went away" : "stopped",
        movedOf(change),
        savedOf(change),
      ]);
    case "saved":
      return savedOf(change);
    case "new":
      return "is new";
  }
}

/** From where to where, and what was best meanwhile, if that is not where it ended. */
function movedOf({ moved }: Change): string {
  if (!moved) return "";
  const way = `${titleOf(moved.key)} ${value(moved.first)} → ${value(moved.last)}`;
  if (moved.best === null || moved.best_step === null) return way;
  return moved.best_step === moved.step
    ? `${way}, the best so far`
    : `${way}, best ${value(moved.best)} at step ${moved.best_step}`;
}

function savedOf({ saved, newest }: Change): string {
  if (!saved) return "";
  return saved === 1
    ? `saved checkpoint ${newest}`
    : `saved ${saved} checkpoints, the last one ${newest}`;
}

function toneOf({ moved }: Change): Tone {
  if (!moved || moved.better === null || moved.first === null || moved.last === null) return "run";
  if (moved.first === moved.last) return "idle";
  return moved.last > moved.first === (moved.better === "up") ? "ok" : "wait";
}

function proofOf({ run_id: run, what, moved, saved }: Change): string {
  if (what === "waiting") return "/cluster";
  if (what === "failed" || what === "new") return `/runs/${run}`;
  if (moved) return `/runs/${run}/charts?find=${encodeURIComponent(moved.key)}`;
  return saved ? `/runs/${run}/checkpoints` : `/runs/${run}`;
}

const listed = (parts: string[]) => parts.filter(Boolean).join("; ");
const withoutStop = (text: string) => text.replace(/\.$/, "");
