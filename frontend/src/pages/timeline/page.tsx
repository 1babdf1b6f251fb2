/// Timeline: why is my run waiting? Every moment has a cause, and a sentence says what would help.
import { useCallback, useEffect, useRef, useState } from "react";
import { api, type RunDetail, type Timeline, take } from "../../api/client";
import { paceOf, useLive } from "../../api/live";
import { Segmented } from "../../components/controls";
import { Empty, Failed, Loading } from "../../components/notes";
import { useAddress } from "../../lib/address";
import { useKeys } from "../../lib/keys";
import { BlameBar } from "./blame";
import { lookOf } from "./causes";
import { type Box, clock, pan, seconds, told, type View, zoom } from "./geometry";
import { Lanes } from "./lanes";
import { OperationCard, OperationTable } from "./operations";

const SPANS = [
  { value: "60", text: "1 min" },
  { value: "600", text: "10 min" },
  { value: "3600", text: "1 h" },
  { value: "21600", text: "6 h" },
];
const USUAL = "600";
// while somebody zooms or drags, nothing is asked for
const REST_MS = 250;

const moment = (text: string | null) =>
  text !== null && /^\d{1,11}(\.\d{1,3})?$/.test(text) ? Number(text) : null;

/** The stretch that the address names, if it does. */
function chosenView(address: URLSearchParams): View | null {
  const from = moment(address.get("from"));
  const to = moment(address.get("to"));
  return from !== null && to !== null && to > from ? { from, to } : null;
}

export default function TimelinePage({ run }: { run: RunDetail }) {
  const [address, change] = useAddress();
  const view = chosenView(address);
  const span = SPANS.find((one) => one.value === address.get("last"))?.value ?? USUAL;
  const asked = view && told(view);
  const found = useLive({
    key: ["timeline", run.id, asked?.from, asked?.to, span],
    ask: () =>
      take(
        api.GET("/api/console/runs/{run_id}/timeline", {
          params: {
            path: { run_id: run.id },
            query: asked ? { from: asked.from, to: asked.to } : { seconds: Number(span) },
          },
        }),
      ),
    everyMs: paceOf(run.state),
  });
  if (!found.data) {
    return found.error ? (
      <Failed error={found.error} retry={() => found.refetch()} />
    ) : (
      <Loading what="the timeline" />
    );
  }
  return (
    <div className="timeline-page">
      <div className="toolbar">
        <Segmented
          label="The last"
          options={SPANS}
          value={view ? "" : span}
          onChange={(last) => change({ last: last === USUAL ? null : last, from: null, to: null })}
        />
        {view && (
          <button type="button" onClick={() => change({ from: null, to: null })}>
            {clock(view.from, 1)} to {clock(view.to, 1)} ✕
          </button>
        )}
        <a href={found.data.trace} download>
          Trace for Perfetto
        </a>
      </div>
      {found.error && <Failed error={found.error} />}
      <Stretch timeline={found.data} view={view} address={address} change={change} />
    </div>
  );
}

interface StretchProps {
  timeline: Timeline;
  view: View | null;
  address: URLSearchParams;
  change: (change: Record<string, string | null>) => void;
}

function Stretch({ timeline, view, address, change }: StretchProps) {
  const [seen, setSeen] = useView(timeline, view, change);
  const [hovered, setHovered] = useState<Box | null>(null);
  const bounds = { from: timeline.begins, to: timeline.ends ?? timeline.now };
  const chosen = Number(address.get("op")) || null;
  const choose = (id: number | null) => change({ op: id === null ? null : String(id) });
  const middle = (seen.from + seen.to) / 2;
  const ids = timeline.operations.map((one) => one.id);
  const next = (by: number) => {
    const at = chosen === null ? -1 : ids.indexOf(chosen);
    const to = at < 0 ? (by > 0 ? 0 : ids.length - 1) : at + by;
    const id = ids[Math.max(0, Math.min(ids.length - 1, to))];
    if (id !== undefined) choose(id);
  };
  const closer = () => setSeen(zoom(seen, 1 / 1.5, middle, bounds));
  const further = () => setSeen(zoom(seen, 1.5, middle, bounds));
  useKeys({
    "+": closer,
    "=": closer,
    "-": further,
    "0": () => change({ from: null, to: null }),
    arrowleft: () => setSeen(pan(seen, -0.2, bounds)),
    arrowright: () => setSeen(pan(seen, 0.2, bounds)),
    f: () => change({ from: null, to: null }),
    j: () => next(1),
    k: () => next(-1),
    escape: () => choose(null),
  });
  const one = timeline.operations.find(({ id }) => id === chosen);
  if (!timeline.total) {
    return (
      <Empty title="No operations in this time">
        <p>
          {timeline.last_before === null
            ? "Nothing was asked of this run before."
            : `The last one was over at ${clock(timeline.last_before, 1)}.`}
        </p>
      </Empty>
    );
  }
  return (
    <>
      <Now timeline={timeline} />
      <BlameBar timeline={timeline} />
      <section className="card lanes-card" aria-label="Lanes">
        <div className="lanes-tools">
          <p className="readout" aria-hidden="true">
            {hovered ? readout(hovered) : `${clock(seen.from, 1)}, ${seconds(seen.to - seen.from)}`}
          </p>
          <button type="button" aria-label="Look closer" onClick={closer}>
            +
          </button>
          <button type="button" aria-label="Look from further away" onClick={further}>
            −
          </button>
        </div>
        <Lanes
          timeline={timeline}
          view={seen}
          bounds={bounds}
          chosen={chosen}
          onView={setSeen}
          onChoose={(box) => choose(box?.operation ?? null)}
          onHover={setHovered}
        />
        {timeline.picture.merged_below !== null && (
          <p className="tip">
            Operations less than {seconds(timeline.picture.merged_below)} apart are drawn as one:
            look closer to see each.
          </p>
        )}
        {timeline.cut && (
          <p className="tip">There is more than can be told at once; the newest part is shown.</p>
        )}
      </section>
      {one && <OperationCard one={one} first={timeline.first} />}
      {chosen !== null && !one && (
        <p className="note">The chosen operation lies outside of what is shown: move there.</p>
      )}
      <OperationTable timeline={timeline} chosen={chosen} onChoose={choose} />
    </>
  );
}

/** What is seen: at once what somebody zooms to, and a moment later in the address. */
function useView(
  timeline: Timeline,
  view: View | null,
  change: StretchProps["change"],
): [View, (view: View) => void] {
  const [moving, setMoving] = useState<View | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const key = view ? `${view.from} ${view.to}` : "";
  // biome-ignore lint/correctness/useExhaustiveDependencies: the address has caught up
  useEffect(() => setMoving(null), [key]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const set = useCallback(
    (next: View) => {
      setMoving(next);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => {
        change({ from: next.from.toFixed(3), to: next.to.toFixed(3) });
      }, REST_MS);
    },
    [change],
  );
  return [moving ?? view ?? { from: timeline.first, to: timeline.last }, set];
}

function readout(box: Box): string {
  const what = box.lane === "cause" ? lookOf(box.kind).text : box.kind;
  const many = box.count > 1 ? `${box.count} × ` : "";
  return `${many}${what}, ${seconds(box.to - box.from)} from ${clock(box.from, 0.1)}`;
}

/** What waits at this moment and why, and what would help. */
function Now({ timeline }: { timeline: Timeline }) {
  const { waiting, advice } = timeline;
  return (
    <section className="card now" aria-label="Now">
      {waiting && (
        <p>
          <strong>Now:</strong> {waiting.kind} {waiting.seq}{" "}
          {waiting.cause === "engine" ? "has been under way for" : "waits for"}{" "}
          {seconds(waiting.since_s)}: {waiting.reason}.
          {waiting.ahead > 0 && ` ${waiting.ahead} of its own stand before it.`}
          {waiting.others > 0 && ` ${waiting.others} more came after it.`}
        </p>
      )}
      <p>
        <strong>What would help:</strong> {advice.text}
      </p>
    </section>
  );
}
