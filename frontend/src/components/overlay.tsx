/// The same metric of several runs on one canvas (uPlot), each in its colour, dashed beyond six.
import { useMemo, useRef } from "react";
import uPlot from "uplot";
import type { Series } from "../api/client";
import { duration, value } from "../lib/format";
import type { Axis } from "./chart";
import { clearSelection, css, frameOf, usePlot } from "./plot";

export const COLOURS = 6;
const HEIGHT = 220;

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
  const live = useRef(props);
  live.current = props;
  const { curves, axis, logY, cursor, label, height = HEIGHT } = props;
  const shape = `${axis} ${logY} ${cursor} ${curves.map((one) => one.place).join()}`;
  const data = useMemo(() => joined(curves, axis, logY), [curves, axis, logY]);
  const box = usePlot(shape, height, data, (width) => options(props, width, live));

  return <div className="plot" ref={box} role="img" aria-label={label} />;
}

function options(
  props: OverlayProps,
  width: number,
  live: { current: OverlayProps },
): uPlot.Options {
  const isTime = props.axis === "time";
  return {
    ...frameOf(width, props.height ?? HEIGHT, isTime),
    cursor: {
      sync: { key: props.cursor, setSeries: false },
      points: { size: 7 },
      drag: { x: !isTime, y: false },
      bind: { dblclick: () => () => live.current.onReset() as never },
    },
    scales: { x: { time: false }, y: props.logY ? { distr: 3 } : {} },
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
          clearSelection(plot);
        },
      ],
    },
  };
}

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
