/// The canvas with its lanes: Ctrl with the wheel and keys zoom, dragging and arrows move, a press chooses.
import { useEffect, useMemo, useRef, useState } from "react";
import type { Timeline } from "../../api/client";
import { draw, HEIGHT, laneAt } from "./drawing";
import {
  type Box,
  boxAt,
  boxesOf,
  type LaneName,
  momentAt,
  pan,
  type View,
  zoom,
} from "./geometry";

export interface LanesProps {
  timeline: Timeline;
  view: View;
  bounds: View;
  chosen: number | null;
  onView: (view: View) => void;
  onChoose: (box: Box | null) => void;
  onHover: (box: Box | null) => void;
}

export function Lanes(props: LanesProps) {
  const { timeline, view, chosen } = props;
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [theme, setTheme] = useState(0);
  const boxes = useMemo(() => boxesOf(timeline), [timeline]);
  const live = useRef({ ...props, boxes, width });
  live.current = { ...props, boxes, width };
  useEffect(() => {
    const parent = canvas.current?.parentElement;
    if (!parent) return;
    const watcher = new ResizeObserver(() => setWidth(Math.floor(parent.clientWidth)));
    watcher.observe(parent);
    const again = () => setTheme((one) => one + 1);
    window.addEventListener("tinsmith:theme", again);
    return () => {
      watcher.disconnect();
      window.removeEventListener("tinsmith:theme", again);
    };
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the theme changes the colours
  useEffect(() => {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const frame = requestAnimationFrame(() => {
      if (canvas.current) draw(canvas.current, width, { timeline, boxes, view, chosen, colour });
    });
    return () => cancelAnimationFrame(frame);
  }, [timeline, boxes, view, chosen, width, theme]);
  usePointer(canvas, live);
  return (
    <div className="lanes">
      <canvas
        ref={canvas}
        style={{ blockSize: HEIGHT, inlineSize: width || "100%" }}
        role="img"
        aria-label="Lanes of the run's time. The tables below say the same."
      />
    </div>
  );
}

type Live = { current: LanesProps & { boxes: Box[]; width: number } };

/** Wheel, drag and press; with one finger a phone scrolls the page, and moves the lanes sideways. */
function usePointer(canvas: React.RefObject<HTMLCanvasElement | null>, live: Live): void {
  useEffect(() => {
    const element = canvas.current;
    if (!element) return;
    const at = (event: PointerEvent | WheelEvent) => {
      const box = element.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    const found = (event: PointerEvent): Box | null => {
      const { boxes, view, width } = live.current;
      const { x, y } = at(event);
      const lane = laneAt(y);
      if (!lane || lane.lane === "speed") return null;
      return boxAt(boxes, lane.lane as LaneName, x, view, width);
    };
    let drag: { x: number; view: View; moved: boolean } | null = null;
    const wheel = (event: WheelEvent) => {
      const { view, bounds, width, onView } = live.current;
      const aside = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      // by itself the wheel scrolls the page, which would else be stuck here
      if (!aside && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      if (aside) {
        onView(pan(view, event.deltaX / width, bounds));
        return;
      }
      const about = momentAt(at(event).x, view, width);
      onView(zoom(view, 1.0015 ** event.deltaY, about, bounds));
    };
    const down = (event: PointerEvent) => {
      drag = { x: event.clientX, view: live.current.view, moved: false };
      element.setPointerCapture(event.pointerId);
    };
    const move = (event: PointerEvent) => {
      const { width, bounds, onView, onHover } = live.current;
      if (!drag) {
        onHover(found(event));
        return;
      }
      const by = event.clientX - drag.x;
      if (Math.abs(by) > 3) drag.moved = true;
      if (drag.moved) onView(pan(drag.view, -by / width, bounds));
    };
    const up = (event: PointerEvent) => {
      if (drag && !drag.moved) live.current.onChoose(found(event));
      drag = null;
    };
    const leave = () => live.current.onHover(null);
    const stop = () => {
      drag = null;
    };
    element.addEventListener("wheel", wheel, { passive: false });
    element.addEventListener("pointerdown", down);
    element.addEventListener("pointermove", move);
    element.addEventListener("pointerup", up);
    element.addEventListener("pointercancel", stop);
    element.addEventListener("pointerleave", leave);
    return () => {
      element.removeEventListener("wheel", wheel);
      element.removeEventListener("pointerdown", down);
      element.removeEventListener("pointermove", move);
      element.removeEventListener("pointerup", up);
      element.removeEventListener("pointercancel", stop);
      element.removeEventListener("pointerleave", leave);
    };
  }, [canvas, live]);
}
