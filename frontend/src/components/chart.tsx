/// A metric's curve on a canvas (uPlot): the line of last values, behind it what lay between the least
/// and the greatest of each bucket, so that no spike is lost. Screen readers have the table beneath.
import { useMemo, useRef } from "react";
import type uPlot from "uplot";
import type { Series } from "../api/client";
import { value } from "../lib/format";
import { clearSelection, css, frameOf, usePlot } from "./plot";

const HEIGHT = 200;

export type Axis = "step" | "time";

export interface ChartProps {
  series: Series;
  axis: Axis;
  logY: boolean;
  logX?: boolean;
  /** Charts of the same name share one cursor. */
  cursor: string;
  height?: number;
  /** Which series colour, 1 to 6. */
  colour?: number;
  onZoom?: (fromStep: number, toStep: number) => void;
  onReset?: () => void;
  onReadout?: (text: string) => void;
}

type Column = (number | null)[];

/** The columns that are drawn: x, least, greatest, last, smooth. */
export function columns(series: Series, axis: Axis, logX: boolean, logY: boolean): Column[] {
  const start = axis === "time" ? (series.x[0] ?? 0) : 0;
  const shift = logX ? 1 : 0;
  const positive = (column: Column) =>
    logY ? column.map((one) => (one !== null && one > 0 ? one : null)) : column;
  return [
    series.x.map((x) => x - start + shift),
    positive(series.least),
    positive(series.greatest),
    positive(series.last),
    positive(series.smooth),
  ];
}

function options(props: ChartProps, width: number, live: { current: ChartProps }): uPlot.Options {
  const line = css(`--series-${props.colour ?? 1}`);
  const smooth = props.series.smooth.length > 0;
  return {
    ...frameOf(width, props.height ?? HEIGHT, props.axis === "time"),
    cursor: {
      sync: { key: props.cursor, setSeries: false },
      points: { size: 7 },
      drag: { x: true, y: false },
      // a double click asks the server for the whole run again
      bind: { dblclick: () => () => live.current.onReset?.() as never },
    },
    scales: {
      x: { time: false, distr: props.logX ? 3 : 1 },
      y: props.logY ? { distr: 3 } : { range: padded },
    },
    bands: [{ series: [2, 1], fill: `${line}26` }],
    series: [
      {},
      { stroke: undefined, points: { show: false } },
      { stroke: undefined, points: { show: false } },
      {
        stroke: smooth ? `${line}59` : line,
        width: smooth ? 1 : 1.75,
        points: { show: props.series.x.length < 2, size: 6 },
      },
      { stroke: line, width: 2, points: { show: false } },
    ],
    hooks: {
      setCursor: [(plot) => live.current.onReadout?.(readout(plot, live.current))],
      setSelect: [
        (plot) => {
          const chosen = live.current.series.steps.filter((_, place) => {
            const at = plot.valToPos(plot.data[0]?.[place] as number, "x");
            return at >= plot.select.left && at <= plot.select.left + plot.select.width;
          });
          const [first] = chosen;
          const last = chosen.at(-1);
          if (first !== undefined && last !== undefined && last > first) {
            live.current.onZoom?.(first, last);
          }
          clearSelection(plot);
        },
      ],
    },
  };
}

/** A little air above and below; a constant lies in the middle. */
function padded(_: uPlot, least: number | null, greatest: number | null): uPlot.Range.MinMax {
  if (least === null || greatest === null) return [0, 1];
  const span = greatest - least || Math.abs(greatest) || 1;
  return [least - span * 0.08, greatest + span * 0.08];
}

/** What stands at the cursor, in words. */
function readout(plot: uPlot, props: ChartProps): string {
  const place = plot.cursor.idx;
  if (place === null || place === undefined) return "";
  const { series } = props;
  const shown = series.smooth[place] ?? series.last[place];
  const [least, greatest] = [series.least[place], series.greatest[place]];
  const between = least !== greatest ? `  (${value(least)} to ${value(greatest)})` : "";
  return `step ${series.steps[place]}  ${value(shown)}${between}`;
}

export function Chart(props: ChartProps) {
  const live = useRef(props);
  live.current = props;
  const { series, axis, logY, logX = false, height, colour, cursor } = props;
  const shape = `${axis} ${logY} ${logX} ${height} ${colour} ${cursor} ${series.smooth.length > 0}`;
  const data = useMemo(
    () => columns(series, axis, logX, logY) as uPlot.AlignedData,
    [series, axis, logX, logY],
  );
  const box = usePlot(shape, height ?? HEIGHT, data, (width) => options(props, width, live));
  return <div className="plot" ref={box} role="img" aria-label={described(series)} />;
}

/** The curve in a sentence. */
export function described(series: Series): string {
  const known = series.last.filter((one): one is number => one !== null);
  if (!known.length) return `${series.key}: no values`;
  return (
    `${series.key}: ${series.total} values, from ${value(known[0])} to ${value(known.at(-1))}, ` +
    `least ${value(Math.min(...(series.least.filter((one) => one !== null) as number[])))}, ` +
    `greatest ${value(Math.max(...(series.greatest.filter((one) => one !== null) as number[])))}`
  );
}
