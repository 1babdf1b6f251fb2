/// What is chosen of curves, which stands in the address, and the tools that choose it.
import { type ReactNode, useRef } from "react";
import type { Axis } from "../../components/chart";
import { Segmented } from "../../components/controls";
import { useAddress, wholeNumber } from "../../lib/address";
import { useKeys } from "../../lib/keys";
import { Smoothing } from "./smoothing";

export interface Chosen {
  axis: Axis;
  smoothing: number;
  logY: boolean;
  from: number | null;
  to: number | null;
}

/** What the address says of curves. */
export function chosenIn(address: URLSearchParams): Chosen {
  const smoothing = Number(address.get("smooth") ?? 0);
  return {
    axis: address.get("x") === "time" ? "time" : "step",
    smoothing: smoothing >= 0 && smoothing <= 0.999 ? smoothing : 0,
    logY: address.has("logy"),
    from: wholeNumber(address.get("from")),
    to: wholeNumber(address.get("to")),
  };
}

interface Props {
  onAxis: (axis: Axis) => void;
  /** More tools, after the others. */
  children?: ReactNode;
}

export function Tools({ onAxis, children }: Props) {
  const [address, change] = useAddress();
  const chosen = chosenIn(address);
  const field = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => field.current?.focus() });
  return (
    <div className="toolbar">
      <label className="search">
        <span className="hidden">Find metrics by name, or by a regular expression</span>
        <input
          ref={field}
          type="search"
          placeholder="Find   kl|entropy"
          defaultValue={address.get("find") ?? ""}
          onChange={(event) => change({ find: event.target.value })}
        />
      </label>
      <Segmented
        label="Along"
        options={[
          { value: "step", text: "step" },
          { value: "time", text: "time" },
        ]}
        value={chosen.axis}
        onChange={onAxis}
      />
      <Smoothing
        weight={chosen.smoothing}
        onChange={(weight) => change({ smooth: weight ? String(weight) : null })}
      />
      <label className="check">
        <input
          type="checkbox"
          checked={chosen.logY}
          onChange={(event) => change({ logy: event.target.checked ? "1" : null })}
        />
        log y
      </label>
      {children}
      {(chosen.from !== null || chosen.to !== null) && (
        <button type="button" onClick={() => change({ from: null, to: null })}>
          Steps {chosen.from ?? 0} to {chosen.to ?? "the last"} ✕
        </button>
      )}
    </div>
  );
}
