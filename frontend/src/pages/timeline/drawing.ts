/// The lanes on a canvas: rectangles, tokens a second, steps, and the time of day.
import type { Timeline } from "../../api/client";
import { colourOf, lookOf } from "./causes";
import { type Box, clock, type LaneName, placeOf, ticks, type View } from "./geometry";

export interface LaneAt {
  lane: LaneName | "speed";
  text: string;
  top: number;
  height: number;
}

const LABEL = 15;
const GAP = 7;
const AXIS = 22;

const ROWS: readonly [LaneAt["lane"], string, number][] = [
  ["cause", "What the time went to", 18],
  ["queue", "Waiting in the queue", 16],
  ["engine", "In the engine", 18],
  ["delivery", "Result on its way, or waiting for your program", 12],
  ["speed", "Tokens a second", 40],
];

/** The lanes from the top, each under its label. */
export const LANES: readonly LaneAt[] = ROWS.reduce<LaneAt[]>((made, [lane, text, height]) => {
  const before = made[made.length - 1];
  const top = (before ? before.top + before.height + GAP : 0) + LABEL;
  made.push({ lane, text, top, height });
  return made;
}, []);

const LAST = LANES[LANES.length - 1] as LaneAt;
export const HEIGHT = LAST.top + LAST.height + AXIS;

export const laneAt = (y: number): LaneAt | undefined =>
  LANES.find((one) => y >= one.top - 2 && y <= one.top + one.height + 2);

type Colour = (name: string) => string;

export interface Scene {
  timeline: Timeline;
  boxes: Box[];
  view: View;
  chosen: number | null;
  colour: Colour;
}

export function draw(canvas: HTMLCanvasElement, width: number, scene: Scene): void {
  const context = canvas.getContext("2d");
  if (!context || width <= 0) return;
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(HEIGHT * ratio);
  context.scale(ratio, ratio);
  context.clearRect(0, 0, width, HEIGHT);
  drawGround(context, width, scene);
  for (const lane of LANES) {
    if (lane.lane === "speed") drawSpeed(context, width, lane, scene);
    else drawBoxes(context, width, lane, scene);
  }
}

function drawGround(context: CanvasRenderingContext2D, width: number, scene: Scene): void {
  const { view, colour, timeline } = scene;
  context.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "alphabetic";
  const marks = ticks(view, width);
  const apart = marks.length > 1 ? (marks[1] as number) - (marks[0] as number) : 1;
  const bottom = LAST.top + LAST.height;
  context.fillStyle = colour("--line");
  for (const mark of marks) context.fillRect(Math.round(placeOf(mark, view, width)), 0, 1, bottom);
  context.fillStyle = colour("--soft");
  context.textAlign = "center";
  for (const mark of marks) {
    const place = placeOf(mark, view, width);
    if (place > 24 && place < width - 24) context.fillText(clock(mark, apart), place, bottom + 16);
  }
  context.textAlign = "left";
  for (const lane of LANES) context.fillText(lane.text, 0, lane.top - 4);
  drawSteps(context, width, scene, timeline.first);
}

/** A line where a step ended, with its number where there is room. */
function drawSteps(
  context: CanvasRenderingContext2D,
  width: number,
  { timeline, view, colour }: Scene,
  first: number,
): void {
  const lane = LAST;
  let free = 120;
  context.fillStyle = colour("--soft");
  for (const { at, step } of timeline.picture.steps) {
    const place = Math.round(placeOf(first + at, view, width));
    if (place < 0 || place > width) continue;
    context.globalAlpha = 0.6;
    context.fillRect(place, lane.top - LABEL, 1, lane.height + LABEL);
    context.globalAlpha = 1;
    if (place >= free && place < width - 100) {
      context.fillText(`${step + 1}`, place + 3, lane.top - 4);
      free = place + 44;
    }
  }
}

function drawBoxes(
  context: CanvasRenderingContext2D,
  width: number,
  lane: LaneAt,
  { boxes, view, chosen, colour }: Scene,
): void {
  context.fillStyle = colour("--sunk");
  context.fillRect(0, lane.top, width, lane.height);
  let marked: [number, number] | null = null;
  for (const box of boxes) {
    if (box.lane !== lane.lane || box.to < view.from || box.from > view.to) continue;
    const from = Math.max(0, placeOf(box.from, view, width));
    const wide = Math.max(1, Math.min(width, placeOf(box.to, view, width)) - from);
    const look = lane.lane === "cause" ? lookOf(box.kind) : null;
    const name = look ? look.colour : colourOf(box.kind);
    context.globalAlpha = lane.lane === "queue" || lane.lane === "delivery" ? 0.5 : 1;
    context.fillStyle = colour(name);
    context.fillRect(from, lane.top, wide, lane.height);
    context.globalAlpha = 1;
    if (look && look.pattern !== "full" && wide > 3)
      hatch(context, from, lane.top, wide, lane.height, look.pattern, colour("--card"));
    if (wide > 2 && lane.lane !== "cause") {
      context.fillStyle = colour("--card");
      context.fillRect(from + wide - 0.5, lane.top, 0.5, lane.height);
    }
    if (wide > 60 && lane.lane === "engine") {
      context.fillStyle = colour("--card");
      const text = box.count > 1 ? `${box.count} × ${box.kind}` : box.kind;
      context.fillText(text, from + 5, lane.top + 13, wide - 8);
    }
    if (box.operation !== null && box.operation === chosen) marked = [from, wide];
  }
  if (marked) {
    context.strokeStyle = colour("--accent");
    context.lineWidth = 2;
    context.strokeRect(marked[0] - 1, lane.top - 1, marked[1] + 2, lane.height + 2);
  }
}

/** Lines or dots over a rectangle, as the legend has them. */
function hatch(
  context: CanvasRenderingContext2D,
  left: number,
  top: number,
  wide: number,
  high: number,
  pattern: string,
  colour: string,
): void {
  context.save();
  context.beginPath();
  context.rect(left, top, wide, high);
  context.clip();
  context.strokeStyle = colour;
  context.fillStyle = colour;
  context.globalAlpha = 0.55;
  context.lineWidth = 1;
  context.beginPath();
  const start = Math.floor((left - high) / 6) * 6;
  for (let x = start; x < left + wide; x += 6) {
    if (pattern === "dotted") {
      for (let y = top + 3; y < top + high; y += 6) context.rect(x + 3, y, 1.5, 1.5);
    } else {
      context.moveTo(x, top + high);
      context.lineTo(x + high, top);
      if (pattern === "crossed") {
        context.moveTo(x, top);
        context.lineTo(x + high, top + high);
      }
    }
  }
  if (pattern === "dotted") context.fill();
  else context.stroke();
  context.restore();
}

function drawSpeed(
  context: CanvasRenderingContext2D,
  width: number,
  lane: LaneAt,
  { timeline, view, colour }: Scene,
): void {
  const { width: long, tokens } = timeline.picture.speed;
  const most = Math.max(1, ...tokens);
  context.fillStyle = colour("--series-1");
  context.globalAlpha = 0.75;
  tokens.forEach((speed, at) => {
    const from = placeOf(timeline.first + at * long, view, width);
    const to = placeOf(timeline.first + (at + 1) * long, view, width);
    const high = (speed / most) * lane.height;
    if (high > 0)
      context.fillRect(from, lane.top + lane.height - high, Math.max(1, to - from - 0.5), high);
  });
  context.globalAlpha = 1;
  context.fillStyle = colour("--line");
  context.fillRect(0, lane.top + lane.height, width, 1);
  context.fillStyle = colour("--soft");
  context.textAlign = "right";
  context.fillText(`up to ${Math.round(most).toLocaleString()}`, width, lane.top - 4);
  context.textAlign = "left";
}
