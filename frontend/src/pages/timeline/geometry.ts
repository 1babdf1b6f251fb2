/// Where things stand on a timeline: which stretch is seen, how it is moved, and what lies at a place.
/// Moments are seconds since 1970, places are pixels from the left.
import type { Timeline } from "../../api/client";

export interface View {
  from: number;
  to: number;
}

/** The server tells of no shorter stretch; one looks closer at what it has told. */
export const LEAST_TOLD_S = 10;
export const MOST_TOLD_S = 6 * 3600;
export const CLOSEST_S = 0.05;

export const placeOf = (moment: number, view: View, width: number) =>
  ((moment - view.from) / (view.to - view.from)) * width;

export const momentAt = (place: number, view: View, width: number) =>
  view.from + (place / width) * (view.to - view.from);

/** Look closer (`factor` < 1) or from further away; the moment `about` stays where it is. */
export function zoom(view: View, factor: number, about: number, bounds: View): View {
  const length = view.to - view.from;
  const most = Math.min(MOST_TOLD_S, Math.max(bounds.to - bounds.from, LEAST_TOLD_S));
  const next = Math.min(most, Math.max(CLOSEST_S, length * factor));
  const share = (about - view.from) / length;
  return within({ from: about - share * next, to: about + (1 - share) * next }, bounds);
}

/** Look earlier (`share` < 0) or later, by a share of what is seen. */
export function pan(view: View, share: number, bounds: View): View {
  const by = (view.to - view.from) * share;
  return within({ from: view.from + by, to: view.to + by }, bounds);
}

/** A view moved, not stretched, so that it stays within the run's time as far as it fits. */
export function within(view: View, bounds: View): View {
  const length = view.to - view.from;
  const from = Math.max(
    Math.min(view.from, bounds.to - length),
    Math.min(bounds.from, bounds.to - length),
  );
  return { from, to: from + length };
}

/** What to ask the server for, to see this. */
export function told(view: View): View {
  const missing = LEAST_TOLD_S - (view.to - view.from);
  if (missing <= 0) return view;
  return { from: view.from - missing / 2, to: view.to + missing / 2 };
}

export type LaneName = Timeline["picture"]["lanes"][number]["lane"];

export interface Box {
  lane: LaneName;
  from: number;
  to: number;
  kind: string;
  count: number;
  operation: number | null;
}

/** The rectangles of a picture. */
export function boxesOf({ first, picture }: Pick<Timeline, "first" | "picture">): Box[] {
  return picture.lanes.flatMap((lane) =>
    lane.starts.map((start, at) => ({
      lane: lane.lane,
      from: first + start,
      to: first + (lane.ends[at] ?? start),
      kind: picture.kinds[lane.kinds[at] ?? 0] ?? "",
      count: lane.counts[at] ?? 1,
      operation: lane.operations[at] ?? null,
    })),
  );
}

/** The rectangle of a lane at a place, or the nearest one within some pixels; the shortest wins. */
export function boxAt(
  boxes: Box[],
  lane: LaneName,
  place: number,
  view: View,
  width: number,
  reach = 4,
): Box | null {
  let best: Box | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const box of boxes) {
    if (box.lane !== lane) continue;
    const from = placeOf(box.from, view, width);
    const to = Math.max(placeOf(box.to, view, width), from + 1);
    const away = Math.max(from - place, place - to, 0);
    if (away > reach) continue;
    const score = away * 1e6 + (to - from);
    if (score < least) {
      least = score;
      best = box;
    }
  }
  return best;
}

const STEPS_S = [
  0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600,
  7200,
];

/** Moments for the marks of the axis, at least so many pixels apart, on round times of day. */
export function ticks(view: View, width: number, apart = 90): number[] {
  const least = ((view.to - view.from) / width) * apart;
  const step = STEPS_S.find((one) => one >= least) ?? 14_400;
  const found: number[] = [];
  for (let at = Math.ceil(view.from / step); at * step <= view.to; at += 1) found.push(at * step);
  return found;
}

/** A moment as the axis names it: the time of day, as exactly as the marks stand. */
export function clock(moment: number, apart: number): string {
  const date = new Date(moment * 1000);
  const time = date.toLocaleTimeString(undefined, {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    hour12: false,
  });
  if (apart >= 60) return time.slice(0, 5);
  if (apart >= 1) return time;
  return `${time}.${String(Math.floor((moment % 1) * 1000))
    .padStart(3, "0")
    .slice(0, apart < 0.1 ? 3 : 1)}`;
}

/** A length of time as the page tells it: 3.2 s, 40 ms, 12 min. */
export function seconds(length: number): string {
  if (length < 0.0995) return `${Math.round(length * 1000)} ms`;
  if (length < 99.5) return `${length.toFixed(length < 9.95 ? 2 : 1)} s`;
  const minutes = length / 60;
  return minutes < 99.5 ? `${minutes.toFixed(1)} min` : `${(minutes / 60).toFixed(1)} h`;
}
