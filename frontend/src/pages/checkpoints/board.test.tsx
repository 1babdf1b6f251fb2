/// The row that keys speak of: the same one, wherever others move it.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, waitFor } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import type { Checkpoint, Me } from "../../api/client";
import { Person } from "../../app";
import { CheckpointBoard } from "./board";

afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const row = (name: string): Checkpoint => ({
  path: `tinker://a:train:0/weights/${name}`,
  run_id: "a:train:0",
  segment: "weights",
  name,
  size_bytes: 1,
  public: false,
  encrypted: false,
  base_model: "tiny",
  user_metadata: {},
  created_at: "2026-01-01T00:00:00Z",
  expires_at: null,
  step: null,
  score: null,
});
const me = { teams: [{ slug: "t", name: "Team", role: "member" }] } as Me;
const client = new QueryClient();
const board = (...names: string[]) => (
  <QueryClientProvider client={client}>
    <Person.Provider value={me}>
      <CheckpointBoard rows={names.map(row)} team="t" run="a:train:0" />
    </Person.Provider>
  </QueryClientProvider>
);

test("what is saved meanwhile does not put another row under the key that deletes", async () => {
  HTMLElement.prototype.scrollIntoView = () => undefined;
  const deleted: string[][] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    if (request.method === "GET") return Response.json({ deleted: [], total: 0 });
    const { paths } = await request.json();
    deleted.push(paths);
    return Response.json({ done: [], refused: [], size_bytes: 0 });
  });
  const { rerender } = render(board("b", "c"));
  fireEvent.keyDown(document.body, { key: "j" });
  rerender(board("a", "b", "c"));
  fireEvent.keyDown(document.body, { key: "d" });
  await waitFor(() => expect(deleted).toEqual([[row("b").path]]));
  // once it is gone, the keys speak of the next
  rerender(board("a", "c"));
  fireEvent.keyDown(document.body, { key: "k" });
  expect(document.querySelector("tr.chosen strong, tr.chosen .name")?.textContent).toBe("a");
});
