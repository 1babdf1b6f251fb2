/// Batches: did I train on what I think, and which examples hurt? Step, datum, and its text.
import { useState } from "react";
import type { DatumRow, RunDetail, TrainedStep } from "../../api/client";
import { Segmented } from "../../components/controls";
import { Failed, Loading } from "../../components/notes";
import { StepStrip } from "../../components/strip";
import { useAddress, wholeNumber } from "../../lib/address";
import { value } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { ORDERS, type Order, PAGE, useDatum, usePages, useSteps } from "./asked";
import { DatumList } from "./list";
import { MemoryMap } from "./map";
import { Reader } from "./reader";
import { figuresOf, isOfPairs, lossOf, warningsOf } from "./sentences";
import { MEANINGS, SIGNALS, type Signal, signalOf } from "./signals";
import { partnerOf, Siblings, siblingsOf } from "./together";

const VIEWS = [
  { value: "step", text: "Step" },
  { value: "map", text: "Memory map" },
] as const;
type View = (typeof VIEWS)[number]["value"];
const ORDER_NAMES: Record<Order, string> = { place: "place", loss: "loss", prompt: "prompt" };

export default function BatchesPage({ run }: { run: RunDetail }) {
  const [address, change] = useAddress();
  const wanted = wholeNumber(address.get("step"));
  const { newest, steps, old } = useSteps(run, wanted);
  const last = steps[0]?.step ?? null;
  const step = wanted ?? last;
  const view: View = address.get("view") === "map" ? "map" : "step";
  const show = (one: View) => change({ view: one === "map" ? one : null, fate: null });
  const shown = [...steps].reverse();
  const place = shown.findIndex((one) => one.step === step);
  const row = shown[place] ?? old;
  const goTo = (to: number) =>
    // whoever looks at the newest follows it
    change({ step: to === last ? null : String(to), d: null, view: null });
  const goBy = (by: number) => {
    const to = place >= 0 ? shown[place + by]?.step : (step ?? 0) + by;
    if (to !== undefined && to >= 0) goTo(to);
  };
  useKeys({ "[": () => goBy(-1), "]": () => goBy(1) });
  if (newest.error && !newest.data)
    return <Failed error={newest.error} retry={() => newest.refetch()} />;
  if (!newest.data) return <Loading what="batches" />;
  if (step === null) return <NoBatches />;
  return (
    <div className="batches-page">
      <div className="step-head">
        <button
          type="button"
          onClick={() => goBy(-1)}
          disabled={step <= 0 || place === 0}
          aria-label="Previous step"
        >
          ◀
        </button>
        <strong>Step {step}</strong>
        <button
          type="button"
          onClick={() => goBy(1)}
          disabled={step === last}
          aria-label="Next step"
        >
          ▶
        </button>
        {row && <p className="soft">{figuresOf(row).join(" · ")}</p>}
        <Segmented label="View" options={VIEWS} value={view} onChange={show} />
      </div>
      {view === "map" ? (
        <MemoryMap run={run} />
      ) : (
        <>
          <StepStrip
            label="Steps, by loss a trained token"
            chosen={step}
            choose={goTo}
            cells={shown.map((one) => ({
              step: one.step,
              value: one.loss,
              told: `Step ${one.step}, loss ${value(one.loss)}`,
              title: `step ${one.step} · ${figuresOf(one).join(" · ")}`,
            }))}
          />
          <Step key={step} run={run} step={step} row={row} />
        </>
      )}
    </div>
  );
}

interface StepProps {
  run: RunDetail;
  step: number;
  row: TrainedStep | undefined;
}

/** One step: its warnings, its datums, and the one that is read. */
function Step({ run, step, row }: StepProps) {
  const [address, change] = useAddress();
  const [view, setView] = useState<[number, number]>([0, 0]);
  const [known, setKnown] = useState<{ order: Order; index: number; id: number } | null>(null);
  const wantedOrder = ORDERS.find((one) => one === address.get("order"));
  const ofPairs = isOfPairs(row?.loss_fn ?? "");
  const ofPolicy = row !== undefined && !ofPairs && row.loss_fn !== "cross_entropy";
  // chosen and rejected are neighbours in the batch alone
  const order = ofPairs ? "place" : (wantedOrder ?? (ofPolicy ? "prompt" : "place"));
  const at = known?.order === order ? known.index : 0;
  const ends = [0, view[0], view[1], Math.max(0, at - 1), at + 1];
  const pages = [...new Set(ends.map((one) => Math.floor(one / PAGE)))];
  const { batch, rows, error, retry } = usePages(run, step, order, pages, row?.time == null);
  const rowAt = (index: number) => rows.get(index);
  const wanted = wholeNumber(address.get("d")) ?? rows.get(0)?.id ?? null;
  const index = known?.id === wanted && known?.order === order ? at : indexOf(rows, wanted);
  const signal = signalOf(address.get("sig"));

  const choose = (to: number) => {
    const found = rows.get(to);
    if (!found) return;
    setKnown({ order, index: to, id: found.id });
    change({ d: String(found.id), step: String(step) });
  };
  const colour = (by: Signal) => change({ sig: by === "surprise" ? null : by });
  useKeys({
    j: () => choose(index + 1),
    k: () => choose(index - 1),
    ...Object.fromEntries(
      SIGNALS.map((one, number) => [String((number + 1) % SIGNALS.length), () => colour(one)]),
    ),
  });
  if (error && !batch) return <Failed error={error} retry={retry} />;
  if (!batch) return <Loading what="the step" />;
  if (!batch.total)
    return <p className="note">Of step {step} nothing was captured, or it is still to come.</p>;
  const warnings = warningsOf(batch, row);
  const losses = [...rows.values()].map((one) => Math.abs((ofPairs ? one.loss : lossOf(one)) ?? 0));
  return (
    <>
      {warnings.map((line) => (
        <p className="warning" key={line}>
          {line}
        </p>
      ))}
      {error && <Failed error={error} retry={retry} />}
      <div className="panes">
        <aside>
          {!ofPairs && (
            <Segmented
              label="Order of the datums"
              options={ORDERS.map((one) => ({ value: one, text: ORDER_NAMES[one] }))}
              value={order}
              onChange={(one) => change({ order: one })}
            />
          )}
          <DatumList
            key={order}
            total={batch.total}
            rowAt={rowAt}
            chosen={index}
            choose={choose}
            look={(first, end) => setView([first, end])}
            byPrompt={order === "prompt"}
            ofPairs={ofPairs}
            greatest={Math.max(...losses, 0)}
          />
        </aside>
        <section className="group" aria-label="What is read">
          <Segmented
            label="Colour by"
            options={SIGNALS.map((one) => ({ value: one, text: MEANINGS[one].title }))}
            value={signal}
            onChange={colour}
          />
          {order === "prompt" && index >= 0 && (
            <Siblings rows={siblingsOf(rowAt, index)} chosen={wanted} choose={choose} />
          )}
          <Read
            run={run}
            datum={wanted}
            partner={ofPairs ? partnerOf(rowAt, index) : undefined}
            signal={signal}
          />
        </section>
      </div>
    </>
  );
}

function indexOf(rows: Map<number, DatumRow>, id: number | null): number {
  for (const [index, row] of rows) if (row.id === id) return index;
  return -1;
}

interface ReadProps {
  run: RunDetail;
  datum: number | null;
  partner: DatumRow | undefined;
  signal: Signal;
}

/** The datum that is read; of a pair both, the chosen one first. */
function Read({ run, datum, partner, signal }: ReadProps) {
  const found = useDatum(run, datum);
  const other = useDatum(run, partner?.id ?? null);
  if (found.error && !found.data)
    return <Failed error={found.error} retry={() => found.refetch()} />;
  if (!found.data) return <Loading what="the datum" />;
  if (!partner || !other.data) {
    const failed = partner && other.error;
    return (
      <>
        {failed && <Failed error={failed} retry={() => other.refetch()} />}
        <Reader shown={found.data} signal={signal} />
      </>
    );
  }
  const both = [found.data, other.data].sort((a, b) => a.datum.row.place - b.datum.row.place);
  return (
    <div className="pair">
      {both.map((one) => (
        <Reader
          key={one.datum.row.id}
          shown={one}
          signal={signal}
          title={one.datum.row.place % 2 ? "Rejected" : "Chosen"}
        />
      ))}
    </div>
  );
}

function NoBatches() {
  return (
    <div className="card hint-card">
      <h2>Nothing trained on yet</h2>
      <p>
        What this run trains on stands here from its first <code>forward_backward</code> on, without
        a line in its program: every datum with its text, which part of it was trained, and how
        surprised the model was.
      </p>
      <p>
        Only what a pass computes gradients of is captured. The{" "}
        <a href="/docs/captures">documentation</a> says what is kept, and for how long.
      </p>
    </div>
  );
}
