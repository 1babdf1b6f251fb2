/// One operation closely, and all of them as a table.
import type { OperationTimes, Timeline } from "../../api/client";
import { bytes, shortId } from "../../lib/format";
import { lookOf } from "./causes";
import { clock, seconds } from "./geometry";

/** What happened to an operation, in order: from, until, seconds. */
export function stagesOf(one: OperationTimes): { text: string; took: number | null }[] {
  const between = (from: number | null, to: number | null) =>
    from === null || to === null ? null : Math.max(0, to - from);
  return [
    { text: "waited for a worker", took: between(one.created, one.claimed) },
    { text: "waited for the engine", took: between(one.claimed, one.began) },
    { text: "in the engine", took: between(one.began, one.ended) },
    { text: "outcome written", took: between(one.ended, one.finished) },
    { text: "until your program had it", took: between(one.finished, one.delivered) },
  ];
}

export function OperationCard({ one, first }: { one: OperationTimes; first: number }) {
  const waits = Object.entries(one.waits).sort(([, left], [, right]) => right - left);
  return (
    <section className="card operation" aria-label="The chosen operation" aria-live="polite">
      <h2>
        {one.kind} <span className="soft">{one.seq}</span>
      </h2>
      <p className="soft">
        {one.state} · came at {clock(first + one.created, 0.01)} · {bytes(one.bytes)} ·{" "}
        <code>{shortId(one.target)}</code>
      </p>
      {one.error && <p className="bad">{one.error}</p>}
      <dl>
        {stagesOf(one).map((stage) => (
          <div key={stage.text}>
            <dt>{stage.text}</dt>
            <dd>{stage.took === null ? "–" : seconds(stage.took)}</dd>
          </div>
        ))}
      </dl>
      {waits.length > 0 && (
        <p>
          Before the engine began it:{" "}
          {waits.map(([cause, took]) => `${seconds(took)} ${lookOf(cause).text}`).join(", ")}.
        </p>
      )}
    </section>
  );
}

interface TableProps {
  timeline: Timeline;
  chosen: number | null;
  onChoose: (operation: number) => void;
}

export function OperationTable({ timeline, chosen, onChoose }: TableProps) {
  const rows = [...timeline.operations].reverse();
  const cell = (took: number | null | undefined) =>
    took === null || took === undefined ? "–" : seconds(took);
  return (
    <details className="card as-table">
      <summary>
        Operations as a table
        <span className="soft">
          {" "}
          {rows.length < timeline.total
            ? `the newest ${rows.length} of ${timeline.total}`
            : rows.length}
        </span>
      </summary>
      <div className="wide">
        <table>
          <thead>
            <tr>
              <th scope="col">Operation</th>
              <th scope="col">came</th>
              <th scope="col" className="number">
                waited
              </th>
              <th scope="col" className="number">
                engine
              </th>
              <th scope="col" className="number">
                to your program
              </th>
              <th scope="col">state</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((one) => {
              const [worker, engine, work, , way] = stagesOf(one);
              const waited =
                worker?.took === null ? null : (worker?.took ?? 0) + (engine?.took ?? 0);
              return (
                <tr key={one.id} className={one.id === chosen ? "chosen" : undefined}>
                  <th scope="row">
                    <button type="button" className="link" onClick={() => onChoose(one.id)}>
                      {one.kind} {one.seq}
                    </button>
                  </th>
                  <td>{clock(timeline.first + one.created, 1)}</td>
                  <td className="number">{cell(waited)}</td>
                  <td className="number">{cell(work?.took)}</td>
                  <td className="number">{cell(way?.took)}</td>
                  <td>{one.state}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </details>
  );
}
