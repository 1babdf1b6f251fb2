/// What is done to checkpoints: many in as many requests as it takes, and nothing twice.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { act, cleanup, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { useChanges } from "./changes";

const asked: { paths?: string[]; ids?: number[] }[] = [];
let fails = false;

beforeEach(() => {
  asked.length = 0;
  fails = false;
  vi.stubGlobal("fetch", async (request: Request) => {
    const body = await request.json();
    asked.push(body);
    if (fails && asked.length > 1) return Response.json({ detail: "busy" }, { status: 503 });
    const done = (body.paths ?? body.ids).map((one: string | number) => ({
      path: String(one),
      deleted_id: Number(one),
    }));
    return Response.json({ done, refused: [], size_bytes: done.length });
  });
});
afterEach(() => {
  cleanup();
  vi.unstubAllGlobals();
});

const changes = () =>
  renderHook(() => useChanges(), {
    wrapper: ({ children }: { children: ReactNode }) => (
      <QueryClientProvider client={new QueryClient()}>{children}</QueryClientProvider>
    ),
  }).result;

const many = Array.from({ length: 450 }, (_, number) => `${number}`);

test("more than the server takes at once are several requests and one sentence", async () => {
  const found = changes();
  await act(() => found.current.change("delete", many));
  expect(asked.map(({ paths }) => paths?.length)).toEqual([200, 200, 50]);
  expect(found.current.told?.text).toMatch(/^Deleted 450 checkpoints/);
  await act(() => found.current.again("restore", found.current.told?.undo ?? []));
  expect(asked.slice(3).flatMap(({ ids }) => ids)).toEqual(many.map(Number));
});

test("what was done before a request failed can be undone", async () => {
  fails = true;
  const found = changes();
  await act(() => found.current.change("delete", many));
  expect(asked.length).toBe(2);
  expect(found.current.told).toMatchObject({
    refused: ["busy"],
    undo: many.slice(0, 200).map(Number),
  });
});

test("pressed twice, it is asked for once", async () => {
  const found = changes();
  await act(async () => {
    const first = found.current.again("restore", [1]);
    await found.current.again("restore", [1]);
    await first;
  });
  expect(asked.length).toBe(1);
  expect(found.current.told?.refused).toEqual([]);
});
