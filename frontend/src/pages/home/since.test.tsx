/// What is new: sentences, their proofs, and when somebody has seen them.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Change } from "../../api/client";
import { sentenceOf } from "./news";
import { leave } from "./seen";
import { SinceYouLooked } from "./since";

const RUN = "a:train:0";
const change = (changes: Partial<Change> = {}): Change => ({
  run_id: RUN,
  name: "math",
  what: "new",
  at: "2026-01-01T12:00:00Z",
  reason: null,
  moved: null,
  saved: 0,
  newest: null,
  sound: null,
  ...changes,
});
const moved = {
  key: "env/reward",
  better: "up" as const,
  first: 0.41,
  last: 0.58,
  step: 96,
  best: 0.6,
  best_step: 90,
};
const asked: { method: string; body: unknown }[] = [];
let answer = { cursor: "1.2:2:", since: null as string | null, changes: [] as Change[], more: 0 };

beforeEach(() => {
  asked.length = 0;
  vi.stubGlobal("fetch", async (request: Request) => {
    const body = request.method === "POST" ? await request.json() : null;
    asked.push({ method: request.method, body });
    if (request.method === "POST") {
      answer = { ...answer, changes: [] };
      return new Response(null, { status: 204 });
    }
    return Response.json(answer);
  });
});
afterEach(() => {
  cleanup();
  leave();
  vi.unstubAllGlobals();
});

const show = () =>
  render(
    <QueryClientProvider client={new QueryClient()}>
      <SinceYouLooked teams={[{ slug: "t", name: "Team", role: "viewer" }]} />
    </QueryClientProvider>,
  );
const marks = () => asked.filter(({ method }) => method === "POST").map(({ body }) => body);

test.each([
  [change(), "is new", `/runs/${RUN}`, "run"],
  [
    change({ what: "failed", reason: "gradient not finite.", sound: "step-200", saved: 2 }),
    "failed: gradient not finite; checkpoint step-200 is sound",
    `/runs/${RUN}`,
    "bad",
  ],
  [
    change({ what: "failed" }),
    "failed: its program ended with an error; it has no checkpoint to go on from",
    `/runs/${RUN}`,
    "bad",
  ],
  [
    change({ what: "waiting", reason: "No worker is there for the pool 'a'." }),
    "waits: No worker is there for the pool 'a'",
    "/cluster",
    "wait",
  ],
  [
    change({ what: "moved", moved, saved: 1, newest: "s1" }),
    "Reward 0.41 → 0.58, best 0.6 at step 90; saved checkpoint s1",
    `/runs/${RUN}/charts?find=env%2Freward`,
    "ok",
  ],
  [
    change({ what: "moved", moved: { ...moved, better: "down", best_step: 96 } }),
    "Reward 0.41 → 0.58, the best so far",
    `/runs/${RUN}/charts?find=env%2Freward`,
    "wait",
  ],
  [
    change({ what: "finished", moved: { ...moved, better: null, best: null, best_step: null } }),
    "finished; Reward 0.41 → 0.58",
    `/runs/${RUN}/charts?find=env%2Freward`,
    "ok",
  ],
  [
    change({ what: "stopped", reason: "no heartbeat" }),
    "stopped, for its program went away",
    `/runs/${RUN}`,
    "idle",
  ],
  [
    change({ what: "saved", saved: 3, newest: "s3" }),
    "saved 3 checkpoints, the last one s3",
    `/runs/${RUN}/checkpoints`,
    "run",
  ],
])("%#: a sentence and its proof", (given, text, proof, tone) => {
  expect(sentenceOf(given)).toEqual({ text, proof, tone });
});

test("on the first visit nothing is shown, but leaving is noted", async () => {
  answer = { cursor: "1.5:5:", since: null, changes: [change()], more: 0 };
  const { container } = show();
  await waitFor(() => expect(asked).toHaveLength(1));
  await waitFor(() => {
    window.dispatchEvent(new Event("pagehide"));
    expect(marks()).toEqual([{ team: "t", cursor: "1.5:5:" }]);
  });
  expect(container.textContent).toBe("");
  window.dispatchEvent(new Event("pagehide"));
  expect(marks()).toHaveLength(1);
});

test("what a hidden tab has loaded nobody has seen", async () => {
  const hidden = vi.spyOn(document, "visibilityState", "get").mockReturnValue("hidden");
  answer = { cursor: "1.6:6:", since: "2026-01-01T12:00:00Z", changes: [change()], more: 0 };
  show();
  await screen.findByText("math");
  window.dispatchEvent(new Event("pagehide"));
  await new Promise((later) => setTimeout(later, 20));
  expect(marks()).toEqual([]);
  hidden.mockRestore();
  document.dispatchEvent(new Event("visibilitychange"));
  window.dispatchEvent(new Event("pagehide"));
  await waitFor(() => expect(marks()).toEqual([{ team: "t", cursor: "1.6:6:" }]));
});

test("what is marked as seen is gone", async () => {
  answer = { cursor: "1.7:7:", since: "2026-01-01T12:00:00Z", changes: [change()], more: 2 };
  show();
  expect(await screen.findByText("And 2 more runs have changed.")).toBeDefined();
  fireEvent.click(screen.getByRole("button", { name: "Mark as seen" }));
  await waitFor(() => expect(screen.queryByText("math")).toBeNull());
  expect(marks()).toEqual([{ team: "t", cursor: "1.7:7:" }]);
});
