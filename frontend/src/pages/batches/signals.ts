/// What tokens are coloured by. Bins are fixed: a colour means the same in every datum of every run.
import type { Positions } from "../../api/client";

export const SIGNALS = ["surprise", "change", "advantage", "weight", "trained", "plain"] as const;
export type Signal = (typeof SIGNALS)[number];

interface Meaning {
  /** In the choice, and in the legend. */
  title: string;
  legend: string;
  /** From each of them on another colour; those below the first have none. */
  bounds: number[];
  /** Whether numbers below zero have colours of their own. */
  diverging: boolean;
  of: (positions: Positions, place: number) => number | null | undefined;
}

export const MEANINGS: Record<Signal, Meaning> = {
  surprise: {
    title: "Surprise",
    legend: "surprise, −logprob in nats",
    bounds: [0.1, 0.7, 1.6, 3, 5],
    diverging: false,
    of: ({ logprobs }, place) => surprise(logprobs[place]),
  },
  change: {
    title: "Δ logprob",
    legend: "logprob under the run less that of the sampler, in nats",
    bounds: [0.02, 0.1, 0.3, 1],
    diverging: true,
    of: (positions, place) => changeOf(positions, place),
  },
  advantage: {
    title: "Advantage",
    legend: "advantage",
    bounds: [0.1, 0.35, 0.7, 1],
    diverging: true,
    of: ({ advantages }, place) => advantages[place],
  },
  weight: {
    title: "Weight",
    legend: "weight in the loss",
    bounds: [0.001, 0.01, 0.1, 1],
    diverging: true,
    of: ({ weights }, place) => weights[place],
  },
  trained: {
    title: "Trained",
    legend: "trained",
    bounds: [1],
    diverging: true,
    of: ({ trained }, place) => Number(trained[place]),
  },
  plain: { title: "Plain", legend: "", bounds: [], diverging: false, of: () => null },
};

export function surprise(logprob: number | null | undefined): number | null {
  return logprob === null || logprob === undefined ? null : -logprob || 0;
}

/** By how much likelier a token is under the run than when it was sampled. */
export function changeOf({ logprobs, sampled }: Positions, place: number): number | null {
  const [now, then] = [logprobs[place], sampled[place]];
  return typeof now === "number" && typeof then === "number" ? now - then : null;
}

/** The signal that an address names; surprise unless it names another. */
export const signalOf = (name: string | null): Signal =>
  SIGNALS.find((one) => one === name) ?? "surprise";

/** The bin of a number: 0 without colour, from 1 on the more the greater, below 0 likewise. */
export function binOf(signal: Signal, number: number | null | undefined): number {
  if (number === null || number === undefined) return 0;
  const { bounds, diverging } = MEANINGS[signal];
  const size = diverging ? Math.abs(number) : number;
  // float16 rounds: what was written as .1 is in the bin from .1 on
  const bin = bounds.filter((bound) => size >= bound * (1 - 1e-4)).length;
  return number < 0 ? -bin : bin;
}

/** The bin of each position. What was not trained has none. */
export function binsOf(positions: Positions, signal: Signal): number[] {
  const { of } = MEANINGS[signal];
  return positions.trained.map((trained, place) =>
    trained ? binOf(signal, of(positions, place)) : 0,
  );
}

/** How many trained tokens are in each bin, null if none of them has a number. */
export function countsOf(positions: Positions, signal: Signal): Map<number, number> | null {
  const { of } = MEANINGS[signal];
  const counts = new Map<number, number>();
  positions.trained.forEach((trained, place) => {
    const number = trained ? of(positions, place) : null;
    if (number === null || number === undefined) return;
    const bin = binOf(signal, number);
    counts.set(bin, (counts.get(bin) ?? 0) + 1);
  });
  return counts.size ? counts : null;
}

/** The style that a bin is drawn in, as style sheets name it; null for none. */
export function lookOf(signal: Signal, bin: number): string | null {
  if (!bin) return null;
  if (signal === "trained") return "plus-2";
  if (!MEANINGS[signal].diverging) return `surprise-${bin}`;
  return bin > 0 ? `plus-${bin}` : `minus-${-bin}`;
}

export interface LegendRow {
  look: string | null;
  text: string;
  count: number;
}

/** The rows of a legend, from the least number to the greatest. */
export function legendOf(signal: Signal, counts: Map<number, number>): LegendRow[] {
  const { bounds, diverging } = MEANINGS[signal];
  const row = (bin: number, text: string) => ({
    look: lookOf(signal, bin),
    text,
    count: counts.get(bin) ?? 0,
  });
  if (signal === "trained") return [row(1, "trained")];
  const above = bounds.map((bound, place) => row(place + 1, `from ${bound}`));
  const first = bounds[0] ?? 0;
  if (!diverging) return [row(0, `below ${first}`), ...above];
  const below = bounds.map((bound, place) => row(-place - 1, `to −${bound}`)).reverse();
  return [...below, row(0, `within ±${first}`), ...above];
}

export interface Outlier {
  place: number;
  surprise: number;
}

/** The trained tokens that the run expected least. */
export function outliersOf(positions: Positions, most: number): Outlier[] {
  const found: Outlier[] = [];
  positions.trained.forEach((trained, place) => {
    const number = trained ? surprise(positions.logprobs[place]) : null;
    if (number !== null) found.push({ place, surprise: number });
  });
  return found.sort((a, b) => b.surprise - a.surprise || a.place - b.place).slice(0, most);
}
