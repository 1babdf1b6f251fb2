/// What a step and a datum are, and what is odd about them, in words. Facts alone, each from a number.
import type { Batch, DatumRow, ShownDatum, TrainedStep } from "../../api/client";
import { count, percent, value } from "../../lib/format";
import { isEnd, isRoleMark, stretchesOf, told } from "./spans";

const datums = (number: number) => `${number} datum${number === 1 ? "" : "s"}`;

export const isOfPairs = (lossFn: string) => lossFn === "dpo" || lossFn === "bradley_terry";
/** Whether it teaches to write what stands there, so that its end has to be taught, too. */
const teachesTexts = (lossFn: string) => lossFn === "cross_entropy" || lossFn === "dpo";

/** A datum's loss a trained token. */
export const lossOf = (row: DatumRow) =>
  row.trained_tokens > 0 ? row.loss / row.trained_tokens : null;

/** The step in numbers. */
export function figuresOf(step: TrainedStep): string[] {
  const share = step.tokens ? percent(step.trained_tokens / step.tokens) : "none";
  return [
    datums(step.datums),
    `${count(step.tokens)} tokens`,
    `${share} trained`,
    ...(step.loss === null ? [] : [`loss ${value(step.loss)} a trained token`]),
    ...(step.groups && step.groups < step.datums ? [`${step.groups} prompts`] : []),
    step.loss_fn,
  ];
}

/** What is odd about a step's datums. */
export function warningsOf(batch: Batch, step: TrainedStep | undefined): string[] {
  const { total, untrained, twice, constant } = batch;
  const said: string[] = [];
  if (untrained === total && total > 0) {
    said.push("No datum of this step has a trained token: it taught nothing. Look at the weights.");
  } else if (untrained > 0) {
    said.push(
      untrained === 1
        ? `1 of ${total} datums has no trained token: it taught nothing.`
        : `${untrained} of ${total} datums have no trained token: they taught nothing.`,
    );
  }
  if (twice > 0) {
    said.push(
      twice === 1
        ? "One datum is here twice: the same tokens, trained alike, count double."
        : `${twice} datums repeat others of this step: the same tokens, trained alike, count more than once.`,
    );
  }
  if (constant === total && total > 0) {
    said.push("All advantages are zero: this step taught nothing. Were all rewards equal?");
  } else if (constant > 0) {
    said.push(
      `The advantages of ${constant} of ${total} datums are zero: nothing was learnt there.`,
    );
  }
  if (step?.mixed_share === 0 && step.groups && constant < total) {
    said.push("In no group of rollouts do the advantages differ.");
  }
  return said;
}

/** How much of a datum was trained, and where that begins and ends. */
export function trainedOf({ datum, texts }: ShownDatum): string {
  const { row, positions } = datum;
  const share = `trained ${row.trained_tokens} of ${row.tokens} tokens`;
  if (!positions) return share;
  const parts = stretchesOf(positions.trained).filter((one) => one.value);
  const [first, last] = [parts[0], parts.at(-1)];
  if (!first || !last) return share;
  const before = endOf(texts, first.from);
  const end = told(lastOf(texts, last.to), 16);
  const begins = `begins after «${before}»`;
  const ends = positions.cut ? "goes on beyond what is shown" : `ends with «${end}»`;
  const gaps = parts.length > 1 ? `, in ${parts.length} parts` : "";
  return `${share}${gaps}: ${begins}, ${ends}`;
}

/** A few whole tokens before a place, as much as a sentence bears. */
function endOf(texts: string[], end: number): string {
  let from = end;
  while (from > 0 && texts.slice(from, end).join("").length < 10) from -= 1;
  return (from > 0 ? "…" : "") + told(texts.slice(from, end).join(""), 40);
}

/** The last token that is seen before a place: of a character that several share, the character. */
function lastOf(texts: string[], end: number): string {
  let from = end - 1;
  while (from > 0 && !texts[from]) from -= 1;
  return texts[from] ?? "";
}

/** What is odd about a datum's trained tokens. */
export function oddOf({ datum, texts }: ShownDatum): string[] {
  const { row, positions, loss_fn } = datum;
  if (row.trained_tokens === 0) return ["No token is trained: it taught nothing."];
  if (!positions) return [];
  const trained = texts.filter((_, place) => positions.trained[place]);
  const said: string[] = [];
  // without a tokenizer tokens are numbers, of which nothing can be told
  const readable = texts.some((text) => text && !/^⟨\d+⟩$/.test(text));
  if (readable && teachesTexts(loss_fn) && !positions.cut && !trained.some(isEnd)) {
    said.push("No end token is trained: nothing here teaches the model to stop.");
  }
  if (trained.some(isRoleMark)) {
    said.push("Marks that begin a turn are trained: the model learns to write other turns, too.");
  }
  const negative = positions.weights.filter((one) => one !== null && one < 0).length;
  if (negative)
    said.push(`${negative} tokens have negative weights: the model learns to avoid them.`);
  return said;
}

/** How often a datum was trained on, and what became of its loss. */
export function seenOf(row: DatumRow): string {
  if (row.seen <= 1) return "seen once";
  const now = lossOf(row);
  const change =
    row.before !== null && now !== null ? `, ${value(row.before)} → ${value(now)}` : "";
  return `seen ${row.seen}×${change}`;
}
