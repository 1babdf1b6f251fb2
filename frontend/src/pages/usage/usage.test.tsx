/// Months, bars, and amounts of which some or all had no price.
import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import type { Amount } from "../../api/client";
import { barsOf, costOf, monthName, neighbour, spent } from "./months";
import { UsedTable } from "./table";

afterEach(cleanup);

const amount = (changes: Partial<Amount> = {}): Amount => ({
  train: 0,
  score: 0,
  prefill: 0,
  prefill_cached: 0,
  sample: 0,
  checkpoint: 0,
  tokens: 0,
  cost: null,
  unpriced: 0,
  ...changes,
});

test("a month has a name, and neighbours among those that there are", () => {
  expect(monthName("2026-11")).toBe("November 2026");
  const months = ["2026-03", "2026-02", "2026-01"];
  expect(neighbour(months, "2026-02", 1)).toBe("2026-03");
  expect(neighbour(months, "2026-02", -1)).toBe("2026-01");
  expect(neighbour(months, "2026-03", 1)).toBeUndefined();
  expect(neighbour(months, "2026-01", -1)).toBeUndefined();
  expect(neighbour(months, "1999-01", 1)).toBeUndefined();
});

test("bars are of cost where there are prices, else of tokens", () => {
  const days = [
    { day: "2026-11-01", amount: amount({ tokens: 10, cost: 1 }) },
    { day: "2026-11-02", amount: amount({ tokens: 5, cost: 4 }) },
    { day: "2026-11-03", amount: amount() },
  ];
  expect(barsOf(days, true).map((bar) => bar.share)).toEqual([0.25, 1, 0]);
  expect(barsOf(days, false).map((bar) => bar.share)).toEqual([1, 0.5, 0]);
  expect(barsOf(days, true)[1]?.label).toBe("2026-11-02: $4.00, 5 tokens");
  expect(barsOf([], true)).toEqual([]);
  expect(barsOf(days.slice(2), true)[0]?.share).toBe(0);
});

test("what had no price is told", () => {
  expect(costOf(amount())).toBe("–");
  expect(costOf(amount({ cost: 2 }))).toBe("$2.00");
  expect(costOf(amount({ cost: 2, unpriced: 1 }))).toBe("$2.00 and more");
  expect(spent(amount({ tokens: 1500 }))).toBe("1.5 k tokens");
});

test("a row of a run leads to it, one of a sampler leads nowhere, and names are names", () => {
  const rows = [
    { key: "a:train:0", title: "<b>x</b>", under: "tiny", to: "/runs/a:train:0", amount: amount() },
    { key: "b:sample:0", title: "Sampler of tiny", under: "tiny", amount: amount() },
  ];
  render(<UsedTable what="Run" rows={rows} chosen={-1} priced={false} />);
  expect(screen.getByRole("link", { name: "<b>x</b>" }).getAttribute("href")).toBe(
    "/runs/a:train:0",
  );
  expect(screen.queryByRole("link", { name: "Sampler of tiny" })).toBeNull();
  expect(screen.queryByText("Cost")).toBeNull();
});
