/// The table of runs; on a phone each row is a card.
import { useEffect, useRef } from "react";
import { Link } from "wouter";
import type { RunRow } from "../../api/client";
import { Ago, Progress } from "../../components/controls";
import { Spark } from "../../components/spark";
import { State } from "../../components/state";
import { labelOf } from "../../lib/engine";
import { count, money, runName, shortId, value } from "../../lib/format";
import { progress, trend } from "../../lib/verdict";

interface TableProps {
  rows: RunRow[];
  chosen: number;
  showTeam: boolean;
  /** The runs that are to be compared. */
  picked: string[];
  toggle: (id: string) => void;
}

export function RunTable({ rows, chosen, showTeam, picked, toggle }: TableProps) {
  return (
    <div className="card table-card">
      <table className="runs">
        <thead>
          <tr>
            <th scope="col">Run</th>
            <th scope="col">State</th>
            <th scope="col">Step</th>
            <th scope="col">Headline</th>
            <th scope="col" className="number">
              Tokens
            </th>
            <th scope="col" className="number">
              Cost
            </th>
            <th scope="col" className="number">
              Begun
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((run, place) => (
            <Row
              key={run.id}
              run={run}
              chosen={place === chosen}
              showTeam={showTeam}
              picked={picked.includes(run.id)}
              toggle={toggle}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  run: RunRow;
  chosen: boolean;
  showTeam: boolean;
  picked: boolean;
  toggle: (id: string) => void;
}

function Row({ run, chosen, showTeam, picked, toggle }: RowProps) {
  const row = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    if (chosen) row.current?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  const done = progress(run);
  return (
    <tr ref={row} className={chosen ? "chosen" : undefined}>
      <th scope="row">
        <span className="pick">
          <input
            type="checkbox"
            aria-label={`Choose ${runName(run)} to compare`}
            checked={picked}
            onChange={() => toggle(run.id)}
          />
          <span>
            <Link to={`/runs/${run.id}`} className="cover">
              {runName(run)}
            </Link>
            <span className="under">
              {run.base_model} · rank {run.rank}
              {showTeam && ` · ${run.team}`} · <code>{shortId(run.id)}</code>
            </span>
          </span>
        </span>
      </th>
      <td data-label="State">
        <State state={run.state} />
      </td>
      <td data-label="Step">
        <span className="steps">
          {run.step === null ? `${run.operations} operations` : steps(run)}
          {done !== null && run.state !== "finished" && (
            <Progress share={done} label={`Progress of ${runName(run)}`} />
          )}
        </span>
      </td>
      <td data-label="Headline">
        <Headline run={run} />
      </td>
      <td data-label="Tokens" className="number">
        {count(run.usage.tokens)}
      </td>
      <td data-label="Cost" className="number">
        {run.usage.cost === null ? (
          <span className="soft" title="The catalog has no prices">
            –
          </span>
        ) : (
          money(run.usage.cost)
        )}
      </td>
      <td data-label="Begun" className="number">
        <Ago at={run.created_at} />
      </td>
    </tr>
  );
}

function steps(run: RunRow): string {
  const step = (run.step ?? 0) + 1;
  return run.planned_steps
    ? `${Math.min(step, run.planned_steps)} / ${run.planned_steps}`
    : String(step);
}

function Headline({ run }: { run: RunRow }) {
  if (!run.headline) return <span className="soft">no metrics</span>;
  const moved = trend(run);
  return (
    <span className="headline" title={moved?.text}>
      <span>
        <span className="key">{labelOf(run.headline.key)}</span>
        <strong>{value(run.headline.value)}</strong>
      </span>
      <Spark values={run.headline.spark} />
    </span>
  );
}
