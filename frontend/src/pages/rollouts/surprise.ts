/// Colouring tokens by surprise (−logprob, nats) with the Custom Highlight API: the text stays one text,
/// so that ten thousand tokens cost no more elements than ten. Bins are fixed: a colour means the same
/// in every rollout of every run.
import type { Piece } from "../../api/client";

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

const name = (bin: number) => `surprise-${bin}`;

/** Colour the tokens of a text node; returns what takes the colours away again. */
export function colour(node: Text, turn: Piece): () => void {
  if (typeof CSS === "undefined" || !("highlights" in CSS)) return () => {};
  const made: [number, Range][] = [];
  let offset = 0;
  turn.pieces.forEach((text, place) => {
    const bin = binOf(turn.logprobs[place]);
    if (bin > 0 && text) {
      const range = new Range();
      range.setStart(node, offset);
      range.setEnd(node, offset + text.length);
      made.push([bin, range]);
    }
    offset += text.length;
  });
  for (const [bin, range] of made) {
    let highlight = CSS.highlights.get(name(bin));
    if (!highlight) {
      highlight = new Highlight();
      CSS.highlights.set(name(bin), highlight);
    }
    highlight.add(range);
  }
  return () => {
    for (const [bin, range] of made) CSS.highlights.get(name(bin))?.delete(range);
  };
}
