/// Datums that are looked at together: rollouts of one prompt, and the two of a pair.
import type { DatumRow } from "../../api/client";
import { value } from "../../lib/format";
import { sideOf } from "./reader";

type RowAt = (index: number) => DatumRow | undefined;

const MOST = 64;

export interface Sibling {
  index: number;
  row: DatumRow;
}

/** The datums of the same prompt around a place of a list in the order of prompts. */
export function siblingsOf(rowAt: RowAt, index: number): Sibling[] {
  const group = rowAt(index)?.group;
  let first = index;
  while (index - first < MOST && first > 0 && rowAt(first - 1)?.group === group) first -= 1;
  const found: Sibling[] = [];
  for (let at = first; found.length < MOST; at += 1) {
    const row = rowAt(at);
    if (!row || row.group !== group) break;
    found.push({ index: at, row });
  }
  return found;
}

/** The other one of a pair, in the order of the batch: chosen, rejected, chosen, … */
export function partnerOf(rowAt: RowAt, index: number): DatumRow | undefined {
  const row = rowAt(index);
  if (!row) return undefined;
  const other = rowAt(index + (row.place % 2 ? -1 : 1));
  return other && other.seq === row.seq && Math.abs(other.place - row.place) === 1
    ? other
    : undefined;
}

interface SiblingsProps {
  rows: Sibling[];
  chosen: number | null;
  choose: (index: number) => void;
}

/** What each rollout of a prompt earned, side by side. */
export function Siblings({ rows, chosen, choose }: SiblingsProps) {
  if (rows.length < 2) return null;
  const known = rows.map(({ row }) => row.advantage).filter((one) => one !== null);
  const same = known.length === rows.length && new Set(known).size === 1;
  return (
    <section className="card beside" aria-label="Datums of the same prompt">
      <p className="soft">
        {rows.length} datums of this prompt
        {same && known[0] === 0 && ": all advantages are zero, they taught nothing"}
        {same && known[0] !== 0 && ": their advantages are equal"}
      </p>
      <ul>
        {rows.map(({ index, row }) => (
          <li key={row.id}>
            <button type="button" aria-pressed={row.id === chosen} onClick={() => choose(index)}>
              <span className="soft">{row.place}</span>{" "}
              <span className={`reward ${sideOf(row.advantage ?? 0)}`}>
                {row.advantage === null
                  ? "no advantage"
                  : `${row.advantage > 0 ? "+" : ""}${value(row.advantage)}`}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
