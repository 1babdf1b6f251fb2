/// Whose numbers stand there: never one team's under another's name.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import type { Amount, Me, TeamMonth } from "../../api/client";
import { Person } from "../../app";
import UsagePage from "./page";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const amount: Amount = {
  train: 4321,
  score: 0,
  prefill: 0,
  prefill_cached: 0,
  sample: 0,
  checkpoint: 0,
  tokens: 4321,
  cost: null,
  unpriced: 4321,
};
const month: TeamMonth = {
  team: "First",
  used: { month: "2026-11", months: ["2026-11"], total: amount, days: [], kinds: [], models: [] },
  stored: { checkpoint_count: 0, size_bytes: 0, mean_bytes: 0 },
};
const teams = ["first", "second"].map((slug) => ({ slug, name: slug, role: "viewer" }));

test("until another team's numbers have come, nothing stands under its name", async () => {
  vi.stubGlobal("fetch", async ({ url }: Request) => {
    if (url.includes("team=second")) return new Promise(() => undefined);
    return Response.json(url.includes("/usage/runs") ? { runs: [], next: null } : month);
  });
  render(
    <QueryClientProvider client={new QueryClient()}>
      <Person.Provider value={{ teams } as Me}>
        <UsagePage />
      </Person.Provider>
    </QueryClientProvider>,
  );
  await screen.findByLabelText("Sums of November 2026");
  fireEvent.change(screen.getByLabelText("Team"), { target: { value: "second" } });
  await screen.findByText(/^Team second/);
  expect(screen.queryByLabelText("Sums of November 2026")).toBeNull();
});
