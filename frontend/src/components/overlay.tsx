/// The same metric of several runs on one canvas (uPlot), each in its colour, dashed beyond six.
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import type { Series } from "../api/client";
import { duration, value } from "../lib/format";
import type { Axis } from "./chart";

export const COLOURS = 6;

export interface Curve {
  /** What the run is called here: A, B, … */
  letter: string;
  /** Its place among all runs, hidden or not: its colour stays. */
  place: number;
  series: Series;
}

export interface OverlayProps {
  curves: Curve[];
  axis: Axis;
  logY: boolean;
  /** Charts of the same name share one cursor. */
  cursor: string;
  label: string;
  height?: number;
  onZoom: (fromStep: number, toStep: number) => void;
  onReset: () => void;
  onReadout: (text: string) => void;
}

const colourOf = (place: number) => `--series-${(place % COLOURS) + 1}`;

/** The columns that are drawn: all places of all curves, then each curve with its holes. */
export function joined(curves: Curve[], axis: Axis, logY: boolean): uPlot.AlignedData {
  const tables = curves.map(({ series }) => {
    const start = axis === "time" ? (series.x[0] ?? 0) : 0;
    const shown = series.smooth.length ? series.smooth : series.last;
    const drawn = logY ? shown.map((one) => (one !== null && one > 0 ? one : null)) : shown;
    return [series.x.map((x) => x - start), drawn] as uPlot.AlignedData;
  });
  return tables.length ? uPlot.join(tables) : [[]];
}

/** The last value of a curve up to a place of the joined columns. */
export function valueAt(column: ArrayLike<number | null | undefined>, place: number) {
  for (let at = place; at >= 0; at--) {
    const found = column[at];
    if (found !== undefined) return found;
  }
  return undefined;
}

export function Overlay(props: OverlayProps) {
  const box = useRef<HTMLDivElement>(null);
  const live = useRef(props);
  live.current = props;
  const plot = useRef<uPlot>(null);
  const { curves, axis, logY, cursor, label } = props;
  const shape = `${axis} ${logY} ${cursor} ${curves.map((one) => one.place).join()}`;

  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` says all that a new plot is for
  useEffect(() => {
    const parent = box.current;
    if (!parent) return;
    const make = () => {
      plot.current?.destroy();
      const now = live.current;
      const data = joined(now.curves, now.axis, now.logY);
      plot.current = new uPlot(options(now, parent.clientWidth || 300, live), data, parent);
    };
    make();
    const resized = new ResizeObserver(() => {
      plot.current?.setSize({ width: parent.clientWidth, height: live.current.height ?? 220 });
    });
    resized.observe(parent);
    window.addEventListener("tinsmith:theme", make);
    return () => {
      resized.disconnect();
      window.removeEventListener("tinsmith:theme", make);
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => {
    // what somebody points at does not move away under the pointer
    if (box.current?.matches(":hover") && plot.current?.data[0]?.length) return;
    plot.current?.setData(joined(curves, axis, logY));
  }, [curves, axis, logY]);

  return <div className="plot" ref={box} role="img" aria-label={label} />;
}

function options(
  props: OverlayProps,
  width: number,
  live: { current: OverlayProps },
): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const css = (name: string) => style.getPropertyValue(name).trim();
  const grid = { stroke: css("--line"), width: 1 };
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: css("--soft"), grid, ticks: { show: false }, font };
  const isTime = props.axis === "time";
  return {
    width,
    height: props.height ?? 220,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    cursor: {
      sync: { key: props.cursor, setSeries: false },
      points: { size: 7 },
      drag: { x: !isTime, y: false },
      bind: { dblclick: () => () => live.current.onReset() as never },
    },
    scales: { x: { time: false }, y: props.logY ? { distr: 3 } : {} },
    axes: [
      { ...axis, size: 28, values: (_, ticks) => ticks.map((one) => tickText(one, isTime)) },
      {
        ...axis,
        size: 52,
        values: (_, ticks) => ticks.map((one) => (one === null ? "" : value(one))),
      },
    ],
    series: [
      {},
      ...props.curves.map(({ place, letter, series }) => ({
        label: letter,
        stroke: css(colourOf(place)),
        width: 1.75,
        dash: place >= COLOURS ? [6, 4] : undefined,
        points: { show: series.x.length < 2, size: 6 },
      })),
    ],
    hooks: {
      setCursor: [(plot) => live.current.onReadout(readout(plot, live.current))],
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select;
          if (wide > 2) {
            const first = Math.max(0, Math.ceil(plot.posToVal(left, "x")));
            const last = Math.floor(plot.posToVal(left + wide, "x"));
            if (last > first) live.current.onZoom(first, last);
          }
          plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        },
      ],
    },
  };
}

const tickText = (tick: number | null, isTime: boolean) =>
  tick === null
    ? ""
    : isTime
      ? duration(tick)
      : tick >= 1e4
        ? `${value(tick / 1000)}k`
        : String(tick);

function readout(plot: uPlot, props: OverlayProps): string {
  const place = plot.cursor.idx;
  if (place === null || place === undefined) return "";
  const x = plot.data[0]?.[place] ?? 0;
  const at = props.axis === "time" ? `after ${duration(x)}` : `step ${x}`;
  const each = props.curves.map(
    ({ letter }, curve) => `${letter} ${value(valueAt(plot.data[curve + 1] ?? [], place))}`,
  );
  return [at, ...each].join("  ");
}
