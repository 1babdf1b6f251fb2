/// What a comparison says in words.
import type { Comparison, Difference } from "../../api/client";
import { value } from "../../lib/format";

export const LEAST_PROMPTS = 6;

/** What a run is called on this page, by its place: A, B, …, Z, A2, … */
export function letterOf(place: number): string {
  const letter = String.fromCharCode(65 + (place % 26));
  return place < 26 ? letter : `${letter}${Math.floor(place / 26) + 1}`;
}

const signed = (number: number) => `${number > 0 ? "+" : ""}${value(number)}`;

/** "B − A = +0.06, 95 % 0.01 … 0.11, 212 prompts", or why nothing is said. */
export function sentence(one: Difference): string {
  const pair = `${letterOf(one.place)} − A`;
  if (one.mean === null || one.low === null || one.high === null) {
    return one.prompts
      ? `${pair}: ${one.prompts} common prompts with rewards, too few to say anything (at least ${LEAST_PROMPTS})`
      : `${pair}: no common prompt with rewards`;
  }
  return `${pair} = ${signed(one.mean)}, 95 % ${value(one.low)} … ${value(one.high)}, ${one.prompts} prompts`;
}

/** Whether the interval leaves zero out. */
export function isClear(one: Difference): boolean {
  return one.low !== null && one.high !== null && (one.low > 0 || one.high < 0);
}

/** Which runs lack a metric, by letter. */
export function lacking(has: boolean[]): string {
  const letters = has.flatMap((one, place) => (one ? [] : [letterOf(place)]));
  if (!letters.length) return "";
  return `${letters.join(", ")} ${letters.length > 1 ? "have" : "has"} no such metric.`;
}

/** The ids in an address's `runs`, each once. */
export function idsOf(text: string | null): string[] {
  return [...new Set((text ?? "").split(",").filter(Boolean))];
}

/** The settings to show: those that differ, or all. */
export function settingsToShow(found: Comparison["settings"], all: boolean) {
  return all ? found : found.filter((one) => one.differs);
}
