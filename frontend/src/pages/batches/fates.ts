/// What became of examples that were trained on in several steps. Bounds are fixed, in nats a token.
import type { Example } from "../../api/client";

export const FATES = ["never", "learnt", "forgotten", "heart"] as const;
export type Fate = (typeof FATES)[number];

/** From this mean logprob on, nine of ten tokens are foretold. */
export const BY_HEART = -0.1;
/** A mean logprob that moved less has not moved. */
export const MOVED = 0.5;

export const FATE_NAMES: Record<Fate, string> = {
  never: "Never learnt",
  learnt: "Learnt",
  forgotten: "Forgotten",
  heart: "Known by heart",
};

export const FATE_RULES: Record<Fate, string> = {
  never: `moved less than ${MOVED} nats a token, and is not known by heart`,
  learnt: `rose by ${MOVED} nats a token or more`,
  forgotten: `fell by ${MOVED} nats a token or more`,
  heart: `mean logprob is now −0.1 or above`,
};

/** What became of an example; null if its logprobs are not known. */
export function fateOf({ first, last }: Example): Fate | null {
  if (first === null || last === null) return null;
  if (last >= BY_HEART) return "heart";
  if (last - first >= MOVED) return "learnt";
  return first - last >= MOVED ? "forgotten" : "never";
}

/** The examples by what became of them, the least known first. */
export function byFate(examples: Example[]): Record<Fate, Example[]> {
  const found: Record<Fate, Example[]> = { never: [], learnt: [], forgotten: [], heart: [] };
  for (const one of examples) {
    const fate = fateOf(one);
    if (fate) found[fate].push(one);
  }
  for (const fate of FATES) found[fate].sort((a, b) => (a.last ?? 0) - (b.last ?? 0));
  return found;
}

/** A list of examples for a program that leaves them out: a JSON object a line. */
export function jsonLines(examples: Example[], fate: Fate): string {
  return examples.map((one) => `${JSON.stringify({ ...one, fate })}\n`).join("");
}

export interface Scale {
  /** The least logprob that is drawn; what is below lies on the edge. */
  least: number;
  /** Pixels a side, and of the edge around. */
  size: number;
  edge: number;
}

// below that all is equally unknown
const FLOOR = -12;

export function scaleOf(examples: Example[], size: number, edge: number): Scale {
  const known = examples.flatMap((one) => [one.first ?? 0, one.last ?? 0]);
  const least = known.reduce((a, b) => Math.min(a, b), -1);
  return { least: Math.max(FLOOR, Math.floor(least)), size, edge };
}

/** Where a pair of logprobs is drawn: first to the right, last upwards. */
export function pointOf(scale: Scale, first: number, last: number): [number, number] {
  const { least, size, edge } = scale;
  const part = (one: number) => 1 - Math.min(1, Math.max(0, one / least));
  const room = size - 2 * edge;
  return [edge + room * part(first), edge + room * (1 - part(last))];
}

/** The example that is drawn nearest to a point, if one is near. */
export function nearest(
  examples: Example[],
  scale: Scale,
  x: number,
  y: number,
  within = 12,
): Example | null {
  let [found, least]: [Example | null, number] = [null, within];
  for (const one of examples) {
    if (one.first === null || one.last === null) continue;
    const [px, py] = pointOf(scale, one.first, one.last);
    const far = Math.hypot(px - x, py - y);
    if (far < least) [found, least] = [one, far];
  }
  return found;
}
