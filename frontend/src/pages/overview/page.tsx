/// Overview: is it healthy, what happened, what next?
import { Link } from "wouter";
import type { RunDetail } from "../../api/client";
import { paceOf } from "../../api/live";
import { Ago } from "../../components/controls";
import { Spark } from "../../components/spark";
import { Mark } from "../../components/state";
import { ALARMING, alarmsOf, LOOKED_AT } from "../../lib/alarms";
import { count, money, value } from "../../lib/format";
import { KINDS } from "../../lib/kinds";
import { type Tile, tilesOf } from "../../lib/tiles";
import { TONES, verdict } from "../../lib/verdict";
import { ChartCard } from "../charts/card";
import { useCurves } from "../charts/curves";
import { FirstBatch } from "./first-batch";

export default function OverviewPage({ run }: { run: RunDetail }) {
  const said = verdict(run);
  const tiles = tilesOf(run);
  const keys = tiles.map((tile) => tile.metric.key);
  const curves = useCurves({
    runId: run.id,
    keys,
    axis: "step",
    smoothing: 0,
    from: null,
    to: null,
    buckets: 240,
    everyMs: paceOf(run.state),
  });
  const seriesOf = (key: string) => curves.data?.find((one) => one.key === key);
  return (
    <div className="overview">
      <section className={`card verdict ${TONES[run.state]}`} aria-label="Verdict">
        <h2>
          <Mark tone={TONES[run.state]} /> {said.title}
        </h2>
        {said.more.length > 0 && (
          <ul>
            {said.more.map((line) => (
              <li key={line}>{line}</li>
            ))}
          </ul>
        )}
        <Alarms run={run} />
        <p className="soft">
          {run.operations} operations, the last one <Ago at={run.moved_at} />
        </p>
      </section>
      {tiles.length > 0 ? (
        <section className="tiles" aria-label="Latest metrics">
          {tiles.map((tile) => (
            <TileCard
              key={tile.metric.key}
              runId={run.id}
              tile={tile}
              spark={seriesOf(tile.metric.key)?.last}
            />
          ))}
        </section>
      ) : (
        <NoMetrics />
      )}
      <FirstBatch run={run} />
      <section className="charts" aria-label="Curves">
        {keys.slice(0, 3).map((key, place) => {
          const series = seriesOf(key);
          return (
            series && (
              <ChartCard
                key={key}
                series={series}
                axis="step"
                logY={false}
                cursor={`overview ${run.id}`}
                colour={place + 1}
                link={`/runs/${run.id}/charts?find=${encodeURIComponent(key)}`}
              />
            )
          );
        })}
      </section>
      <div className="two">
        <Used run={run} />
        <Happened run={run} />
      </div>
    </div>
  );
}

/** What of the last steps a person should know, each with the curve that shows it. */
function Alarms({ run }: { run: RunDetail }) {
  const there = run.metrics.filter((one) => ALARMING.includes(one.key));
  const end = Math.max(0, ...there.map((one) => one.last_step));
  const curves = useCurves({
    runId: run.id,
    keys: there.map((one) => one.key),
    axis: "step",
    smoothing: 0,
    // not moved on with every step: what was asked for stands until it is told anew
    from: Math.max(0, Math.floor(end / LOOKED_AT - 1) * LOOKED_AT),
    to: null,
    buckets: 3 * LOOKED_AT,
    everyMs: paceOf(run.state),
  });
  const found = alarmsOf(curves.data ?? []);
  if (found.length === 0) return null;
  return (
    <ul className="alarms" aria-label="Alarms">
      {found.map(({ key, text }) => (
        <li key={key}>
          <Mark tone="wait" /> {text}{" "}
          <Link href={`/runs/${run.id}/charts?find=${encodeURIComponent(key)}`}>See the curve</Link>
        </li>
      ))}
    </ul>
  );
}

function TileCard({
  runId,
  tile,
  spark,
}: {
  runId: string;
  tile: Tile;
  spark?: (number | null)[];
}) {
  return (
    <Link
      className="card tile"
      to={`/runs/${runId}/charts?find=${encodeURIComponent(tile.metric.key)}`}
    >
      <span className="what">{tile.title}</span>
      <strong>{value(tile.metric.last_value)}</strong>
      <span className="change">{tile.change}</span>
      {spark && <Spark values={spark} wide />}
    </Link>
  );
}

function NoMetrics() {
  return (
    <section className="card hint-card">
      <h2>No metrics yet</h2>
      <p>
        The first optimizer step brings loss, gradient norm and speed by itself. What only the
        program knows it records in one line:
      </p>
      <pre>
        <code>{'training.log({"reward": reward}, step)'}</code>
      </pre>
    </section>
  );
}

function Used({ run }: { run: RunDetail }) {
  return (
    <section className="card">
      <h2>Used</h2>
      {run.usage.kinds.length === 0 && <p className="soft">Nothing so far.</p>}
      <table className="plain">
        <tbody>
          {run.usage.kinds.map((one) => (
            <tr key={one.kind}>
              <th scope="row">
                {one.kind === "checkpoint"
                  ? "Checkpoints"
                  : `Tokens ${KINDS[one.kind] ?? one.kind}`}
              </th>
              <td className="number">{count(one.quantity)}</td>
              <td className="number soft">{one.cost === null ? "" : money(one.cost)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {run.usage.cost === null && run.usage.tokens > 0 && (
        <p className="soft">The catalog has no prices for {run.base_model}, so there is no cost.</p>
      )}
    </section>
  );
}

function Happened({ run }: { run: RunDetail }) {
  const kinds = new Map<string, number>();
  for (const one of run.counts) kinds.set(one.kind, (kinds.get(one.kind) ?? 0) + one.count);
  return (
    <section className="card">
      <h2>Operations</h2>
      <table className="plain">
        <tbody>
          {[...kinds].map(([kind, number]) => (
            <tr key={kind}>
              <th scope="row">
                <code>{kind}</code>
              </th>
              <td className="number">{count(number)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {run.failures.map((one) => (
        <div className="failure" key={one.seq}>
          <p>
            <Mark tone="bad" /> <code>{one.kind}</code> {one.seq} failed{" "}
            <Ago at={one.finished_at} />
          </p>
          <p className="said">{one.error}</p>
        </div>
      ))}
    </section>
  );
}
