/// Colouring tokens by surprise (−logprob, nats). Bins are fixed: a colour means the same in every
/// rollout of every run.
import type { Piece } from "../../api/client";
import { highlight } from "../../components/highlights";

export const BINS = [0.1, 0.7, 1.6, 3, 5];

/** The bin of a logprob, 1 to 5; 0 for what was expected, or is not known. */
export function binOf(logprob: number | null | undefined): number {
  if (logprob === null || logprob === undefined) return 0;
  return BINS.filter((bound) => -logprob >= bound).length;
}

/** How many tokens are in each bin, of 0 to 5. */
export function countBins(pieces: Piece[]): number[] {
  const counts = [0, 0, 0, 0, 0, 0];
  for (const piece of pieces) {
    for (const logprob of piece.logprobs) {
      if (logprob !== null) counts[binOf(logprob)] = (counts[binOf(logprob)] ?? 0) + 1;
    }
  }
  return counts;
}

export interface Outlier {
  text: string;
  surprise: number;
}

/** The tokens that were least expected, for those who cannot see the colours. */
export function outliers(turn: Piece, most: number): Outlier[] {
  return turn.pieces
    .map((text, place) => ({ text, surprise: -(turn.logprobs[place] ?? 0) }))
    .filter((one) => one.surprise >= (BINS[1] ?? 0))
    .sort((a, b) => b.surprise - a.surprise)
    .slice(0, most);
}

/** Colour the tokens of a text node; returns what takes the colours away again. */
export function colour(node: Text, turn: Piece): () => void {
  let from = 0;
  const parts = turn.pieces.map((text, place) => {
    const part = {
      name: `surprise-${binOf(turn.logprobs[place])}`,
      from,
      to: from + text.length,
    };
    from = part.to;
    return part;
  });
  return highlight(
    node,
    parts.filter((part) => part.name !== "surprise-0"),
  );
}
