/// Checkpoints in a table: where they are, how good and how large, until when.
import { useEffect, useRef } from "react";
import { Link } from "wouter";
import type { Checkpoint } from "../../api/client";
import { Ago, Copy } from "../../components/controls";
import { bytes, shortId, value } from "../../lib/format";
import type { Changes } from "./changes";
import { CheckpointMenu } from "./menu";

const SEGMENTS: Record<string, string> = {
  weights: "to train on",
  sampler_weights: "to sample from",
  external_weights: "for elsewhere",
};

interface TableProps {
  rows: Checkpoint[];
  ofRun?: boolean;
  /** The row that keys speak of. */
  place?: number;
  chosen: ReadonlySet<string>;
  /** Only for who may change something. */
  toggle: ((path: string) => void) | undefined;
  changes: Changes;
}

export function CheckpointTable({ rows, place = -1, ...rest }: TableProps) {
  return (
    <div className="card table-card">
      <table className="runs checkpoints">
        <thead>
          <tr>
            <th scope="col">Checkpoint</th>
            <th scope="col">Weights</th>
            <th scope="col" className="number">
              Step
            </th>
            <th scope="col" className="number">
              Score
            </th>
            <th scope="col" className="number">
              Size
            </th>
            <th scope="col" className="number">
              Saved
            </th>
            <th scope="col" className="number">
              Kept
            </th>
            <th scope="col">
              <span className="hidden">What to do</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((one, at) => (
            <Row key={one.path} one={one} current={at === place} {...rest} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps extends Omit<TableProps, "rows" | "place"> {
  one: Checkpoint;
  current: boolean;
}

function Row({ one, current, ofRun = false, chosen, toggle, changes }: RowProps) {
  const row = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    if (current) row.current?.scrollIntoView({ block: "nearest" });
  }, [current]);
  return (
    <tr ref={row} className={current ? "chosen" : undefined}>
      <th scope="row">
        <span className="pick">
          {toggle && (
            <input
              type="checkbox"
              aria-label={`Choose ${one.name}, ${one.segment}`}
              checked={chosen.has(one.path)}
              onChange={() => toggle(one.path)}
            />
          )}
          <span>
            <span className="name">
              {one.name}
              {one.public && <span className="tag">public</span>}
              {one.encrypted && <span className="tag">encrypted</span>}
            </span>
            <span className="under">
              {ofRun ? (
                <code>{one.path}</code>
              ) : (
                <>
                  <Link to={`/runs/${one.run_id}`}>{shortId(one.run_id)}</Link> · {one.base_model}
                </>
              )}
            </span>
          </span>
        </span>
      </th>
      <td data-label="Weights">{SEGMENTS[one.segment] ?? one.segment}</td>
      <td data-label="Step" className="number">
        {one.step ?? <span className="soft">–</span>}
      </td>
      <td data-label="Score" className="number">
        {one.score ? (
          <span title={`${one.score.key} at the save`}>{value(one.score.value)}</span>
        ) : (
          <span className="soft" title="No metric was recorded before the save">
            –
          </span>
        )}
      </td>
      <td data-label="Size" className="number">
        {bytes(one.size_bytes)}
      </td>
      <td data-label="Saved" className="number">
        <Ago at={one.created_at} />
      </td>
      <td data-label="Kept" className="number">
        {one.expires_at ? (
          <Expiry at={one.expires_at} />
        ) : (
          <span className="soft">until deleted</span>
        )}
      </td>
      <td data-label="More" className="number">
        <Copy text={one.path} what={`the address of ${one.name}`} />
        <CheckpointMenu one={one} changes={changes} mayChange={toggle !== undefined} />
      </td>
    </tr>
  );
}

function Expiry({ at }: { at: string }) {
  const days = Math.max(0, (Date.parse(at) - Date.now()) / 86_400_000);
  return (
    <time dateTime={at} title={new Date(at).toLocaleString()}>
      {days < 2 ? `${Math.max(1, Math.round(days * 24))} h more` : `${Math.round(days)} d more`}
    </time>
  );
}
