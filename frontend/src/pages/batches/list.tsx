/// The datums of a step: as many rows as there are, of which only those in view are made and asked for.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef } from "react";
import type { DatumRow } from "../../api/client";
import { value } from "../../lib/format";
import { sideOf } from "./reader";
import { lossOf, seenOf } from "./sentences";

interface ListProps {
  total: number;
  rowAt: (index: number) => DatumRow | undefined;
  /** The place in the list of what is read, -1 if that is not known. */
  chosen: number;
  choose: (index: number) => void;
  /** Told which rows are in view. */
  look: (first: number, last: number) => void;
  byPrompt: boolean;
  ofPairs: boolean;
  greatest: number;
}

const ROW = 52;

export function DatumList(props: ListProps) {
  const { total, rowAt, chosen, choose, look } = props;
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: total,
    getScrollElement: () => box.current,
    estimateSize: () => ROW,
    overscan: 8,
  });
  const shown = rows.getVirtualItems();
  const [first, last] = [shown[0]?.index ?? 0, shown.at(-1)?.index ?? 0];
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another view is told
  useEffect(() => look(first, last), [first, last]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another choice moves the list
  useEffect(() => {
    if (chosen >= 0) rows.scrollToIndex(chosen, { align: "auto" });
  }, [chosen]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys
    <section className="groups datums" ref={box} tabIndex={0} aria-label="Datums of the step">
      <ul style={{ blockSize: rows.getTotalSize() }}>
        {shown.map((item) => (
          <li
            key={item.index}
            aria-setsize={total}
            aria-posinset={item.index + 1}
            style={{ transform: `translateY(${item.start}px)`, blockSize: item.size }}
          >
            <Row
              {...props}
              row={rowAt(item.index)}
              before={rowAt(item.index - 1)}
              isChosen={item.index === chosen}
              choose={() => choose(item.index)}
            />
          </li>
        ))}
      </ul>
    </section>
  );
}

interface RowProps {
  row: DatumRow | undefined;
  before: DatumRow | undefined;
  isChosen: boolean;
  choose: () => void;
  byPrompt: boolean;
  ofPairs: boolean;
  greatest: number;
}

function Row({ row, before, isChosen, choose, byPrompt, ofPairs, greatest }: RowProps) {
  if (!row) return <p className="soft unread">…</p>;
  // a pair's loss is booked to the one that was chosen
  const loss = ofPairs ? (row.place % 2 ? null : row.loss) : lossOf(row);
  const begins = byPrompt && before?.group !== row.group;
  const width = loss === null ? 0 : Math.min(1, Math.abs(loss) / (greatest || 1));
  return (
    <button
      type="button"
      aria-pressed={isChosen}
      className={begins ? "begins" : undefined}
      onClick={choose}
    >
      <span className="first">
        <b>{row.place}</b>
        {ofPairs && <span className="soft">{row.place % 2 ? "rejected" : "chosen"}</span>}
        <span className="loss-bar" aria-hidden="true">
          <span style={{ inlineSize: `${100 * width}%` }} />
        </span>
        {row.advantage !== null && (
          <span className={`reward ${sideOf(row.advantage)}`} title="Advantage">
            {row.advantage > 0 ? "+" : ""}
            {value(row.advantage)}
          </span>
        )}
        <span className="mean" title={ofPairs ? "Loss of the pair" : "Loss a trained token"}>
          {loss !== null ? value(loss) : row.trained_tokens ? "" : "not trained"}
        </span>
      </span>
      <span className="preview">
        {row.trained_tokens} of {row.tokens} tokens · {seenOf(row)}
        {byPrompt && ` · prompt ${row.group}`}
        {!row.kept && " · text not kept"}
      </span>
    </button>
  );
}
