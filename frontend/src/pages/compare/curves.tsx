/// The curves of several runs, a chart for each metric.
import { useRef } from "react";
import { api, type Comparison, take } from "../../api/client";
import { paceOf, useLive } from "../../api/live";
import type { Axis } from "../../components/chart";
import { Failed } from "../../components/notes";
import { type Curve, Overlay } from "../../components/overlay";
import { useAddress } from "../../lib/address";
import { value } from "../../lib/format";
import type { Chosen } from "../charts/tools";
import { idsOf, lacking, letterOf } from "./words";

interface ComparedCurvesProps {
  /** Those that are drawn: the first few. */
  runs: Comparison["runs"];
  metrics: Comparison["metrics"];
  chosen: Chosen;
}

export function ComparedCurves({ runs, metrics, chosen }: ComparedCurvesProps) {
  const [address, change] = useAddress();
  const hidden = idsOf(address.get("hide"));
  const { axis, smoothing, from, to, logY } = chosen;
  const keys = metrics.map((one) => one.key);
  const ids = runs.map((one) => one.id);
  const moving = runs.find((one) => one.state === "training" || one.state === "waiting");
  const found = useLive({
    key: ["series", "compare", ids, keys, axis, smoothing, from, to],
    ask: () =>
      take(
        api.GET("/api/console/compare/series", {
          params: {
            query: {
              run: ids,
              key: keys,
              x: axis,
              ...(smoothing > 0 && { smoothing }),
              ...(from !== null && { from }),
              ...(to !== null && { to }),
            },
          },
        }),
      ),
    everyMs: paceOf(moving?.state),
  });
  if (found.error && !found.data)
    return <Failed error={found.error} retry={() => found.refetch()} />;
  return (
    <div className="charts">
      {metrics.map((metric) => {
        const curves = (found.data?.runs ?? []).flatMap((series, place): Curve[] => {
          const one = series.find((each) => each.key === metric.key);
          const run = runs[place];
          if (!one?.total || !run || hidden.includes(run.id)) return [];
          return [{ letter: letterOf(place), place, series: one }];
        });
        return (
          <OverlayCard
            key={metric.key}
            metric={metric}
            curves={curves}
            loading={!found.data}
            axis={axis}
            logY={logY}
            onZoom={(first, last) => change({ from: String(first), to: String(last) })}
            onReset={() => change({ from: null, to: null })}
          />
        );
      })}
    </div>
  );
}

interface CardProps {
  metric: Comparison["metrics"][number];
  curves: Curve[];
  loading: boolean;
  axis: Axis;
  logY: boolean;
  onZoom: (first: number, last: number) => void;
  onReset: () => void;
}

function OverlayCard({ metric, curves, loading, ...rest }: CardProps) {
  const readout = useRef<HTMLParagraphElement>(null);
  const latest = curves.map((one) => `${one.letter} ${value(lastOf(one))}`).join("  ");
  const missing = lacking(metric.has);
  return (
    <article className="card chart" aria-label={metric.key}>
      <header>
        <h3 title={metric.key}>{metric.key}</h3>
      </header>
      <p className="readout" ref={readout}>
        {latest}
      </p>
      {curves.length ? (
        <Overlay
          {...rest}
          curves={curves}
          cursor="compare"
          label={`${metric.key}: ${latest || "no values"}`}
          onReadout={(text) => {
            if (readout.current) readout.current.textContent = text || latest;
          }}
        />
      ) : (
        <p className="none">{loading ? "Loading …" : "No values to draw."}</p>
      )}
      {missing && <p className="told">{missing}</p>}
    </article>
  );
}

const lastOf = ({ series }: Curve) =>
  series.smooth.at(-1) ?? series.last.findLast((one) => one !== null);
