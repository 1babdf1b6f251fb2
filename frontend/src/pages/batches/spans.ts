/// Where the tokens of a datum stand in its text.

/** At which character each token begins, and behind the last one where the text ends. */
export function startsOf(texts: string[]): number[] {
  const starts = [0];
  for (const text of texts) starts.push((starts.at(-1) ?? 0) + text.length);
  return starts;
}

/** The characters of a token. Tokens that share a character share what it is made of. */
export function spanOf(starts: number[], token: number): [number, number] {
  const from = starts[token] ?? 0;
  let end = token + 1;
  while (end < starts.length - 1 && starts[end] === from) end += 1;
  return [from, starts[end] ?? from];
}

/** The token that a character belongs to: the first of those that share it. */
export function tokenAt(starts: number[], character: number): number {
  let [low, high] = [0, starts.length - 2];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((starts[middle + 1] ?? 0) <= character) low = middle + 1;
    else high = middle;
  }
  const from = starts[low];
  while (low > 0 && starts[low - 1] === from) low -= 1;
  return Math.max(0, low);
}

export interface Stretch<T> {
  value: T;
  /** Tokens, the last one not included. */
  from: number;
  to: number;
}

/** Neighbours of the same value together. */
export function stretchesOf<T>(values: T[]): Stretch<T>[] {
  const found: Stretch<T>[] = [];
  values.forEach((value, place) => {
    const last = found.at(-1);
    if (last && last.value === value) last.to = place + 1;
    else found.push({ value, from: place, to: place + 1 });
  });
  return found;
}

/** Marks of chats and ends of texts: tokens that stand for no letters. */
const SPECIAL =
  /^(<\|[^|]*\|>|<\/?(s|bos|eos|pad|unk|mask|start_of_turn|end_of_turn|think|tool_call|tool_response)>|\[\/?INST\])$/;

export const isSpecial = (text: string) => SPECIAL.test(text);

const ENDS =
  /^(<\|(im_end|endoftext|end_of_text|eot_id|eom_id|end|return|call|endofturn)\|>|<\/s>|<eos>|<end_of_turn>)$/;

/** Whether a token ends a turn or a text. */
export const isEnd = (text: string) => ENDS.test(text);

/** Whether a token begins a turn: nobody writes it but the template. */
export const isRoleMark = (text: string) =>
  /^(<\|(im_start|start_header_id|start)\|>|<start_of_turn>)$/.test(text);

/** A text as it can be read in a sentence: what cannot be seen is named, what is long is cut. */
export function told(text: string, most = 24): string {
  const named = text.replaceAll("\n", "\\n").replaceAll("\t", "\\t");
  return named.length <= most ? named : `${named.slice(0, most)}…`;
}
