import { within as inside, render, screen } from "@testing-library/react";
import { describe, expect, it, vi } from "vitest";
import type { OperationTimes, Timeline } from "../../api/client";
import { BlameBar, part, shown } from "./blame";
import { CAUSES, lookOf } from "./causes";
import { HEIGHT, LANES, laneAt } from "./drawing";
import {
  type Box,
  boxAt,
  boxesOf,
  CLOSEST_S,
  clock,
  LEAST_TOLD_S,
  MOST_TOLD_S,
  momentAt,
  pan,
  placeOf,
  seconds,
  ticks,
  told,
  zoom,
} from "./geometry";
import { OperationTable, stagesOf } from "./operations";

const view = { from: 1000, to: 1100 };
const bounds = { from: 0, to: 2000 };

describe("places and moments", () => {
  it("are each other's inverse", () => {
    for (const moment of [1000, 1012.5, 1100, 900]) {
      expect(momentAt(placeOf(moment, view, 640), view, 640)).toBeCloseTo(moment);
    }
  });

  it("zooming keeps the moment under the pointer where it is", () => {
    for (const factor of [0.5, 0.9, 1.5]) {
      const next = zoom(view, factor, 1025, bounds);
      expect(placeOf(1025, next, 800)).toBeCloseTo(placeOf(1025, view, 800));
      expect(next.to - next.from).toBeCloseTo(100 * factor);
    }
  });

  it("zooming has an end in both directions, and so has moving", () => {
    let close = view;
    let far = view;
    for (let at = 0; at < 60; at += 1) {
      close = zoom(close, 0.5, 1050, bounds);
      far = zoom(far, 2, 1050, { from: 0, to: 1e6 });
    }
    expect(close.to - close.from).toBeCloseTo(CLOSEST_S);
    expect(far.to - far.from).toBeCloseTo(MOST_TOLD_S);
    expect(pan(view, -100, bounds)).toEqual({ from: 0, to: 100 });
    expect(pan(view, 100, bounds)).toEqual({ from: 1900, to: 2000 });
    expect(pan(view, 0.25, bounds)).toEqual({ from: 1025, to: 1125 });
  });

  it("asks for no shorter time than the server tells", () => {
    expect(told(view)).toEqual(view);
    const asked = told({ from: 1000, to: 1001 });
    expect(asked.to - asked.from).toBeCloseTo(LEAST_TOLD_S);
    expect((asked.to + asked.from) / 2).toBeCloseTo(1000.5);
  });

  it("marks the axis on round moments, not too close", () => {
    for (const length of [0.1, 1, 9, 60, 600, 7200, 21600]) {
      const found = ticks({ from: 1000, to: 1000 + length }, 900);
      expect(found.length).toBeGreaterThan(1);
      expect(found.length).toBeLessThanOrEqual(11);
      const apart = (found[1] ?? 0) - (found[0] ?? 0);
      for (const mark of found) {
        expect(Math.abs(mark / apart - Math.round(mark / apart))).toBeLessThan(1e-6);
      }
    }
  });

  it("names times as exactly as they stand", () => {
    expect(clock(0, 60)).toMatch(/^\d\d:\d\d$/);
    expect(clock(0, 1)).toMatch(/^\d\d:\d\d:\d\d$/);
    expect(clock(0.25, 0.1)).toMatch(/:\d\d\.2$/);
    expect(clock(0.25, 0.05)).toMatch(/:\d\d\.250$/);
    expect([seconds(0.04), seconds(3.214), seconds(42), seconds(720), seconds(9000)]).toEqual([
      "40 ms",
      "3.21 s",
      "42.0 s",
      "12.0 min",
      "2.5 h",
    ]);
  });
});

const picture: Timeline["picture"] = {
  kinds: ["forward_backward", "optim_step"],
  lanes: [
    {
      lane: "engine",
      starts: [0, 20, 20.5],
      ends: [10, 40, 21],
      kinds: [0, 0, 1],
      counts: [1, 3, 1],
      operations: [7, null, 9],
    },
  ],
  merged_below: null,
  steps: [{ at: 21, step: 4 }],
  speed: { width: 1, tokens: [] },
};

describe("rectangles", () => {
  const boxes = boxesOf({ first: 1000, picture });

  it("come from columns", () => {
    expect(boxes).toHaveLength(3);
    expect(boxes[1]).toEqual({
      lane: "engine",
      from: 1020,
      to: 1040,
      kind: "forward_backward",
      count: 3,
      operation: null,
    });
  });

  it("are found at a place: the shortest there, else the nearest", () => {
    const at = (place: number, lane: Box["lane"] = "engine") =>
      boxAt(boxes, lane, place, view, 1000)?.from ?? null;
    expect(at(50)).toBe(1000);
    expect(at(300)).toBe(1020);
    expect(at(207)).toBe(1020.5);
    expect(at(103)).toBe(1000);
    expect(at(150)).toBeNull();
    expect(at(50, "queue")).toBeNull();
  });

  it("lie in lanes that do not overlap", () => {
    LANES.forEach((lane, at) => {
      const next = LANES[at + 1];
      if (next) expect(lane.top + lane.height).toBeLessThan(next.top);
      expect(laneAt(lane.top + lane.height / 2)).toBe(lane);
    });
    expect(HEIGHT).toBeGreaterThan(150);
  });
});

const blame = (cause: string, share: number, waits = 0) => ({
  cause,
  share,
  seconds: share * 100,
  waits,
});

const operation = (id: number, changes: Partial<OperationTimes> = {}): OperationTimes => ({
  id,
  target: "run",
  seq: id,
  kind: "optim_step",
  state: "done",
  bytes: 12,
  error: null,
  created: 1,
  claimed: 1.5,
  began: 2,
  ended: 4,
  finished: 4.1,
  delivered: null,
  waits: {},
  ...changes,
});

const timeline = (changes: Partial<Timeline> = {}): Timeline => ({
  first: 1000,
  last: 1100,
  now: 1100,
  begins: 900,
  ends: null,
  cut: false,
  blame: [blame("program", 0.004), blame("engine", 0.996), blame("team", 0), blame("queue", 0, 3)],
  teams: 0,
  picture,
  operations: [operation(1), operation(2, { began: null, ended: null, state: "running" })],
  total: 2,
  last_before: null,
  waiting: null,
  advice: { text: "", saves: null },
  trace: "",
  ...changes,
});

describe("causes", () => {
  it("have a look each, of colour and pattern together", () => {
    const looks = CAUSES.map((one) => `${one.colour} ${one.pattern}`);
    expect(new Set(looks).size).toBe(CAUSES.length);
    expect(lookOf("nobody knows").cause).toBe("unexplained");
  });

  it("are told with shares that are never nothing, and those alone that there are", () => {
    expect([part(0), part(0.004), part(0.05), part(0.5)]).toEqual([
      "0 %",
      "< 1 %",
      "5.0 %",
      "50 %",
    ]);
    expect(shown(timeline().blame).map((one) => one.cause)).toEqual(["engine", "program", "queue"]);
    render(<BlameBar timeline={timeline()} />);
    expect(screen.getByRole("img").getAttribute("aria-label")).toBe(
      "Engine 100 %, Your program < 1 %, Own queue 0 %",
    );
    expect(screen.getAllByRole("row")).toHaveLength(4);
  });
});

describe("operations", () => {
  it("say how long each stage took, as far as it has come", () => {
    expect(stagesOf(operation(1)).map(({ took }) => took && Math.round(took * 10) / 10)).toEqual([
      0.5,
      0.5,
      2,
      0.1,
      null,
    ]);
  });

  it("are a table, the newest first, from which one is chosen", () => {
    const choose = vi.fn();
    const { container } = render(
      <OperationTable timeline={timeline()} chosen={1} onChoose={choose} />,
    );
    const rows = inside(container).getAllByRole("row", { hidden: true }).slice(1);
    expect(
      rows.map((row) => inside(row).getByRole("button", { hidden: true }).textContent),
    ).toEqual(["optim_step 2", "optim_step 1"]);
    inside(rows[1] as HTMLElement)
      .getByRole("button", { hidden: true })
      .click();
    expect(choose).toHaveBeenCalledWith(1);
  });
});
