/// Checkpoints in a table: where they are, how large, until when.
import { Link } from "wouter";
import type { Checkpoint } from "../../api/client";
import { Ago, Copy } from "../../components/controls";
import { bytes, shortId } from "../../lib/format";

const SEGMENTS: Record<string, string> = {
  weights: "to train on",
  sampler_weights: "to sample from",
  external_weights: "for elsewhere",
};

export function CheckpointTable({ rows, ofRun = false }: { rows: Checkpoint[]; ofRun?: boolean }) {
  return (
    <div className="card table-card">
      <table className="runs checkpoints">
        <thead>
          <tr>
            <th scope="col">Checkpoint</th>
            <th scope="col">Weights</th>
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
              <span className="hidden">Address</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map((one) => (
            <tr key={one.path}>
              <th scope="row">
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
                      <Link to={`/runs/${one.run_id}`}>{shortId(one.run_id)}</Link> ·{" "}
                      {one.base_model}
                    </>
                  )}
                </span>
              </th>
              <td data-label="Weights">{SEGMENTS[one.segment] ?? one.segment}</td>
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
              <td data-label="Address" className="number">
                <Copy text={one.path} what={`the address of ${one.name}`} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
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
