/// Amounts in rows: of runs, base models or days; on a phone each row is a card.
import { useEffect, useRef } from "react";
import { Link } from "wouter";
import type { Amount } from "../../api/client";
import { bytes, count } from "../../lib/format";
import { costOf } from "./months";

export interface Used {
  key: string;
  title: string;
  under: string;
  to?: string;
  amount: Amount;
  storedBytes?: number;
}

interface TableProps {
  what: string;
  rows: Used[];
  chosen: number;
  priced: boolean;
}

const COLUMNS: [keyof Amount, string][] = [
  ["train", "Trained"],
  ["score", "Scored"],
  ["prefill", "Read"],
  ["prefill_cached", "From cache"],
  ["sample", "Sampled"],
];

export function UsedTable({ what, rows, chosen, priced }: TableProps) {
  const stored = rows.some((row) => row.storedBytes !== undefined);
  const columns = COLUMNS.filter(([kind]) => rows.some((row) => row.amount[kind]));
  return (
    <div className="card table-card wide-table">
      <table className="runs">
        <thead>
          <tr>
            <th scope="col">{what}</th>
            {columns.map(([kind, text]) => (
              <th key={kind} scope="col" className="number">
                {text}
              </th>
            ))}
            {stored && (
              <th scope="col" className="number">
                Stored now
              </th>
            )}
            {priced && (
              <th scope="col" className="number">
                Cost
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, place) => (
            <Row
              key={row.key}
              row={row}
              columns={columns}
              chosen={place === chosen}
              priced={priced}
              stored={stored}
            />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  row: Used;
  columns: typeof COLUMNS;
  chosen: boolean;
  priced: boolean;
  stored: boolean;
}

function Row({ row, columns, chosen, priced, stored }: RowProps) {
  const place = useRef<HTMLTableRowElement>(null);
  useEffect(() => {
    if (chosen) place.current?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <tr ref={place} className={chosen ? "chosen" : undefined}>
      <th scope="row">
        {row.to ? (
          <Link to={row.to} className="cover">
            {row.title}
          </Link>
        ) : (
          <span className="name">{row.title}</span>
        )}
        {row.under && <span className="under">{row.under}</span>}
      </th>
      {columns.map(([kind, text]) => (
        <td key={kind} data-label={text} className={row.amount[kind] ? "number" : "number none"}>
          {row.amount[kind] ? count(row.amount[kind]) : <span className="soft">–</span>}
        </td>
      ))}
      {stored && (
        <td data-label="Stored now" className={row.storedBytes ? "number" : "number none"}>
          {row.storedBytes ? bytes(row.storedBytes) : <span className="soft">–</span>}
        </td>
      )}
      {priced && (
        <td data-label="Cost" className="number">
          {costOf(row.amount)}
        </td>
      )}
    </tr>
  );
}
