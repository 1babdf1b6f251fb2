/// Months of UTC by their names, and what a month's days look like as bars.
import type { Amount } from "../../api/client";
import { count, money } from "../../lib/format";

/** A month as people read it: "2026-11" is "November 2026". */
export function monthName(month: string): string {
  const day = new Date(`${month}-01T00:00:00Z`);
  return day.toLocaleString("en", { month: "long", year: "numeric", timeZone: "UTC" });
}

/** The month before or after one, if it is among those that there are (newest first). */
export function neighbour(months: string[], month: string, by: 1 | -1): string | undefined {
  const place = months.indexOf(month);
  return place < 0 ? undefined : months[place - by];
}

export interface Bar {
  day: string;
  /** Of the highest, 0 to 1. */
  share: number;
  label: string;
}

/** Days as bars, by what they cost, or by tokens where nothing of the month had a price. */
export function barsOf(days: { day: string; amount: Amount }[], priced: boolean): Bar[] {
  const height = ({ amount }: { amount: Amount }) => (priced ? (amount.cost ?? 0) : amount.tokens);
  const highest = Math.max(0, ...days.map(height));
  return days.map((one) => ({
    day: one.day,
    share: highest > 0 ? height(one) / highest : 0,
    label: `${one.day}: ${spent(one.amount)}`,
  }));
}

/** An amount in words: cost if there is one, and tokens. */
export function spent(amount: Amount): string {
  const tokens = `${count(amount.tokens)} tokens`;
  return amount.cost === null ? tokens : `${money(amount.cost)}, ${tokens}`;
}

/** What an amount cost; what had no price is told, not hidden in a smaller number. */
export function costOf(amount: Amount): string {
  if (amount.cost === null) return "–";
  return `${money(amount.cost)}${amount.unpriced > 0 ? " and more" : ""}`;
}
