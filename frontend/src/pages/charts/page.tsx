/// Charts: which way, and since when? All that is chosen stands in the address.
import type { RunDetail, Series } from "../../api/client";
import { paceOf } from "../../api/live";
import { Near } from "../../components/near";
import { Failed } from "../../components/notes";
import { useAddress } from "../../lib/address";
import { labelOf } from "../../lib/engine";
import { value } from "../../lib/format";
import { ChartCard } from "./card";
import { useCurves } from "./curves";
import { type Section, sectionsOf } from "./sections";
import { type Chosen, chosenIn, Tools } from "./tools";

const AT_ONCE = 12;
const CARD_HEIGHT = 268;

interface ChosenHere extends Chosen {
  logX: boolean;
}

export default function ChartsPage({ run }: { run: RunDetail }) {
  const [address, change] = useAddress();
  const find = address.get("find") ?? "";
  const chosen: ChosenHere = { ...chosenIn(address), logX: address.has("logx") };
  const sections = sectionsOf(run.metrics, find, run.headline?.key);
  const parts = sections.flatMap((section) => split(section));
  if (!run.metrics.length) {
    return (
      <p className="note">
        There are no metrics of this run yet. The first optimizer step brings those of the engine by
        itself; a program records its own with <code>training.log(…, step)</code>.
      </p>
    );
  }
  return (
    <div className="charts-page">
      <Tools onAxis={(axis) => change({ x: axis === "step" ? null : axis })}>
        <label className="check">
          <input
            type="checkbox"
            checked={chosen.logX}
            onChange={(event) => change({ logx: event.target.checked ? "1" : null })}
          />
          log x
        </label>
      </Tools>
      {!sections.length && <p className="note">No metric has such a name.</p>}
      {parts.map((part) => (
        <section key={part.keys.join()} className="section" aria-label={part.title || "Metrics"}>
          {part.first && <h2>{part.title || "Metrics"}</h2>}
          <Near height={CARD_HEIGHT}>
            <Charts run={run} keys={part.keys} chosen={chosen} change={change} />
          </Near>
        </section>
      ))}
      <p className="tip">
        Drag over a chart to look closer; press twice to see all of the run again.
      </p>
    </div>
  );
}

/** A section's keys in parts that one question asks for. */
function split(section: Section): (Section & { first: boolean })[] {
  const parts = [];
  for (let start = 0; start < section.keys.length; start += AT_ONCE) {
    parts.push({
      ...section,
      keys: section.keys.slice(start, start + AT_ONCE),
      first: start === 0,
    });
  }
  return parts;
}

interface ChartsProps {
  run: RunDetail;
  keys: string[];
  chosen: ChosenHere;
  change: (change: Record<string, string | null>) => void;
}

function Charts({ run, keys, chosen, change }: ChartsProps) {
  const { axis, smoothing, from, to } = chosen;
  const everyMs = paceOf(run.state);
  const curves = useCurves({
    runId: run.id,
    keys,
    axis,
    smoothing,
    from,
    to,
    buckets: 400,
    everyMs,
  });
  if (curves.error && !curves.data)
    return <Failed error={curves.error} retry={() => curves.refetch()} />;
  const still = (curves.data ?? []).filter((one) => keys.includes(one.key) && isStill(one));
  const moving = keys.filter((key) => !still.some((one) => one.key === key));
  return (
    <>
      <div className="charts">
        {moving.map((key) => {
          const series = curves.data?.find((one) => one.key === key);
          if (!series) return <div className="card chart waiting" key={key} />;
          return (
            <ChartCard
              key={key}
              series={series}
              axis={axis}
              logY={chosen.logY}
              logX={chosen.logX}
              cursor={`charts ${run.id}`}
              onZoom={(first, last) => change({ from: String(first), to: String(last) })}
              onReset={() => change({ from: null, to: null })}
            />
          );
        })}
      </div>
      {still.length > 0 && (
        <dl className="still" aria-label="Metrics that do not change">
          {still.map((one) => (
            <div key={one.key}>
              <dt title={one.key}>{labelOf(one.key)}</dt>
              <dd>{value(one.last[0])} at every step</dd>
            </div>
          ))}
        </dl>
      )}
    </>
  );
}

/** Whether a curve would be a flat line: a number says as much in less room. */
export function isStill(series: Series): boolean {
  const [first] = series.last;
  const all = [...series.least, ...series.greatest];
  return series.total > 1 && first !== null && all.every((one) => one === first);
}
