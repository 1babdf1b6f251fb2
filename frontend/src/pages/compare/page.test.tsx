/// Under which letter something stands: never what was told of other runs.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import type { Comparison, Me } from "../../api/client";
import { Person } from "../../app";
import ComparePage from "./page";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const comparison = (ids: string[]): Comparison => ({
  runs: ids.map((id) => ({
    id,
    name: id,
    team: "t",
    base_model: "tiny",
    state: "finished",
    step: null,
    headline: null,
    cost: null,
  })),
  settings: [],
  metrics: [],
});

test("what was told of three runs does not stand under the letters of two", async () => {
  window.history.replaceState(null, "", "/compare?runs=x,y,z");
  vi.stubGlobal("fetch", async ({ url }: Request) => {
    const { pathname, searchParams } = new URL(url);
    const ids = searchParams.getAll("run");
    if (!pathname.endsWith("/prompts")) return Response.json(comparison(ids));
    if (ids.length < 3) return new Promise(() => undefined);
    const told = ids.map((_, place) => ({ mean: place, rollouts: 1, step: 0, group: 0 }));
    const prompts = [{ prompt: "1", preview: "2 + 2?", spread: 2, runs: told }];
    return Response.json({ prompts, total: 1, differences: [] });
  });
  render(
    <QueryClientProvider client={new QueryClient()}>
      <Person.Provider value={{ teams: [] as Me["teams"] } as Me}>
        <ComparePage />
      </Person.Provider>
    </QueryClientProvider>,
  );
  await screen.findByText("2 + 2?");
  fireEvent.click(screen.getByLabelText("Leave out B"));
  await waitFor(() =>
    expect(screen.getByRole("heading", { level: 1 }).textContent).toContain("2 runs"),
  );
  expect(screen.queryByText("2 + 2?")).toBeNull();
});
