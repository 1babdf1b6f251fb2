/// A run's state: a shape, a colour and a word, so that no one of them is needed to tell it.
import type { RunRow } from "../api/client";
import { TONES, type Tone } from "../lib/verdict";

const SHAPES: Record<Tone, string> = {
  ok: "M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1Z",
  run: "M6 1a5 5 0 0 1 0 10Z M6 1.8a4.2 4.2 0 0 0 0 8.4V9.2a3.2 3.2 0 0 1 0-6.4Z",
  wait: "M6 1a5 5 0 0 1 5 5H6Z M1.8 6a4.2 4.2 0 0 0 8.4 0h-1a3.2 3.2 0 1 1-3.2-3.2v-1A4.2 4.2 0 0 0 1.8 6Z",
  bad: "M1.5 1.5h9v9h-9Z",
  idle: "M6 1a5 5 0 1 1 0 10A5 5 0 0 1 6 1Zm0 1.4a3.6 3.6 0 1 0 0 7.2 3.6 3.6 0 0 0 0-7.2Z",
};

export function Mark({ tone }: { tone: Tone }) {
  return (
    <svg className={`mark ${tone}`} viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
      <path d={SHAPES[tone]} />
    </svg>
  );
}

export function State({ state }: { state: RunRow["state"] }) {
  const tone = TONES[state];
  return (
    <span className={`state ${tone}`}>
      <Mark tone={tone} />
      {state}
    </span>
  );
}
