/// What every canvas of curves has in common (uPlot): its life, its axes, and what its ticks say.
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import { duration, value } from "../lib/format";

/** A value of the page's style sheet. */
export const css = (name: string) =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The options of a canvas but for its curves: no legend, plain axes. */
export function frameOf(width: number, height: number, isTime: boolean) {
  const grid = { stroke: css("--line"), width: 1 };
  const font = `11px ${getComputedStyle(document.body).fontFamily}`;
  const axis = { stroke: css("--soft"), grid, ticks: { show: false }, font };
  const ticked = (say: (tick: number) => string) => (_: uPlot, ticks: (number | null)[]) =>
    ticks.map((tick) => (tick === null ? "" : say(tick)));
  return {
    width,
    height,
    padding: [8, 8, 0, 0],
    legend: { show: false },
    axes: [
      { ...axis, size: 28, values: ticked((tick) => tickText(tick, isTime)) },
      { ...axis, size: 52, values: ticked(value) },
    ],
  } satisfies Partial<uPlot.Options>;
}

function tickText(tick: number, isTime: boolean): string {
  if (isTime) return duration(tick);
  return tick >= 1e4 ? `${value(tick / 1000)}k` : String(tick);
}

/** Forget what was dragged over: the server is asked for it instead. */
export const clearSelection = (plot: uPlot) =>
  plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);

/**
 * A plot in a box, made anew whenever its shape or the colours change.
 *
 * `shape` says all that a new plot is for; other `data` is only drawn.
 */
export function usePlot(
  shape: string,
  height: number,
  data: uPlot.AlignedData,
  options: (width: number) => uPlot.Options,
) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(null);
  const live = useRef({ height, data, options });
  live.current = { height, data, options };

  // biome-ignore lint/correctness/useExhaustiveDependencies: `shape` says all that a new plot is for
  useEffect(() => {
    const parent = box.current;
    if (!parent) return;
    const make = () => {
      plot.current?.destroy();
      const now = live.current;
      plot.current = new uPlot(now.options(parent.clientWidth || 300), now.data, parent);
    };
    make();
    const resized = new ResizeObserver(() => {
      plot.current?.setSize({ width: parent.clientWidth, height: live.current.height });
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
    plot.current?.setData(data);
  }, [data]);

  return box;
}
