import { QueryClient, QueryClientProvider, useQuery } from "@tanstack/react-query";
import { act, renderHook } from "@testing-library/react";
import { createElement, type PropsWithChildren } from "react";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type Frame, openLine, SILENT_MS } from "./line";
import { GATHER_MS, madeOld, useTold } from "./told";

class Socket {
  static all: Socket[] = [];
  onmessage?: (message: { data: string }) => void;
  onclose?: (closed: { code: number }) => void;
  constructor(readonly url: string) {
    Socket.all.push(this);
  }
  say = (frame: Frame) => this.onmessage?.({ data: JSON.stringify(frame) });
  close = (code = 1006) => this.onclose?.({ code });
}

const last = () => Socket.all[Socket.all.length - 1] as Socket;
const heard: Frame[] = [];
const opened: boolean[] = [];
const signedOut = vi.fn();
const line = (query = "run=a%3Atrain%3A0") =>
  openLine(query, {
    frame: (frame) => heard.push(frame),
    open: (open) => opened.push(open),
    signedOut,
  });

beforeEach(() => {
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", Socket);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  Socket.all = [];
  heard.length = opened.length = 0;
  signedOut.mockReset();
});

describe("a line", () => {
  it("begins knowing nothing, so that the first frame makes all afresh", () => {
    line();
    expect(last().url).toBe(`ws://${window.location.host}/api/console/live?run=a%3Atrain%3A0`);
    last().say({ cursor: "1:2:" });
    last().say({ cursor: "1:3:", events: [] });
    expect(heard.map((frame) => Boolean(frame.afresh))).toEqual([true, false]);
    expect(opened).toEqual([true, true]);
  });

  it("goes on where it was cut, each time a little later", () => {
    line();
    last().say({ cursor: "1:2:" });
    for (const wait of [1000, 2000, 4000, 8000, 16000, 30000, 30000]) {
      last().close();
      const before = Socket.all.length;
      vi.advanceTimersByTime(wait - 1);
      expect(Socket.all.length).toBe(before);
      vi.advanceTimersByTime(1);
      expect(Socket.all.length).toBe(before + 1);
      expect(last().url).toContain("&after=1%3A2%3A");
    }
    last().say({ cursor: "1:4:" });
    expect(heard.map((frame) => Boolean(frame.afresh))).toEqual([true, false]);
    last().close();
    vi.advanceTimersByTime(1000);
    expect(last().url).toContain("&after=1%3A4%3A");
  });

  it("is cut when nothing is heard", () => {
    line();
    last().say({ cursor: "1:2:" });
    vi.advanceTimersByTime(SILENT_MS - 1);
    expect(opened).toEqual([true]);
    vi.advanceTimersByTime(1);
    expect(opened).toEqual([true, false]);
  });

  it.each([4400, 4401, 4404])("does not try again after %d", (code) => {
    line();
    last().close(code);
    vi.advanceTimersByTime(1e6);
    expect(Socket.all.length).toBe(1);
    expect(signedOut).toHaveBeenCalledTimes(code === 4401 ? 1 : 0);
  });

  it("is silent once it is ended", () => {
    const end = line();
    last().say({ cursor: "1:2:" });
    end();
    vi.advanceTimersByTime(1e6);
    expect(Socket.all.length).toBe(1);
    expect(opened).toEqual([true]);
  });
});

describe("what a frame makes old", () => {
  const of = (...kinds: string[]) => [
    ...madeOld({ cursor: "", events: kinds.map((kind) => ({ kind, run: null })) }),
  ];

  it("is what its events are about", () => {
    expect(of("metrics.logged")).toEqual(["run", "runs", "series"]);
    expect(of("rollouts.logged", "checkpoint.saved")).toEqual([
      ...["steps", "groups", "group"],
      ...["checkpoints", "deleted", "lineage", "run", "usage", "since"],
    ]);
    expect(of("member.removed")).toEqual(["me"]);
    expect(of("session.ended")).toEqual(["run", "runs", "lineage", "since"]);
    expect([...madeOld({ cursor: "", workers: [{ id: "a" }] })]).toEqual(["cluster"]);
    expect([...madeOld({ cursor: "", runs: [{ id: "a" }] })]).toEqual(["run", "runs", "timeline"]);
    expect([...madeOld({ cursor: "" })]).toEqual([]);
  });

  it("is everything when what happened is not known", () => {
    expect([...madeOld({ cursor: "", afresh: true })]).toEqual(["*"]);
  });
});

describe("a page that is told", () => {
  it("lets an answer come before it asks again, and then asks once", async () => {
    const client = new QueryClient();
    const answers: ((value: number) => void)[] = [];
    const ask = () => new Promise<number>((answer) => void answers.push(answer));
    const page = renderHook(
      () => {
        useTold(["run=a"]);
        return useQuery({ queryKey: ["run", "a"], queryFn: ask, retry: false }).data;
      },
      {
        wrapper: ({ children }: PropsWithChildren) =>
          createElement(QueryClientProvider, { client }, children),
      },
    );
    const happens = async () => {
      last().say({ cursor: "1:2:", events: [{ kind: "metrics.logged", run: "a" }] });
      await act(() => vi.advanceTimersByTimeAsync(GATHER_MS));
    };
    await happens();
    await happens();
    await happens();
    expect(answers.length).toBe(1);
    await act(async () => answers[0]?.(1));
    await act(() => vi.advanceTimersByTimeAsync(GATHER_MS));
    expect(page.result.current).toBe(1);
    expect(answers.length).toBe(2);
    await act(async () => answers[1]?.(2));
    await act(() => vi.advanceTimersByTimeAsync(10 * GATHER_MS));
    expect(page.result.current).toBe(2);
    expect(answers.length).toBe(2);
    page.unmount();
  });
});
