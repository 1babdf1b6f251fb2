/// One datum: how much of it was trained, what is odd about it, its text, its least expected tokens.
import { useState } from "react";
import type { Positions, ShownDatum } from "../../api/client";
import { canHighlight } from "../../components/highlights";
import { Spark } from "../../components/spark";
import { value } from "../../lib/format";
import { isOfPairs, lossOf, oddOf, seenOf, trainedOf } from "./sentences";
import { countsOf, legendOf, MEANINGS, outliersOf, type Signal } from "./signals";
import { told } from "./spans";
import { numbersOf, Words } from "./words";

interface ReaderProps {
  shown: ShownDatum;
  signal: Signal;
  /** What it is beside another, such as "Chosen". */
  title?: string;
}

const OUTLIERS = 8;

export function Reader({ shown, signal, title }: ReaderProps) {
  const { row, positions, times } = shown.datum;
  const ofPair = isOfPairs(shown.datum.loss_fn);
  const loss = ofPair ? null : lossOf(row);
  const odd = oddOf(shown);
  return (
    <article className="card datum" aria-label={title ?? `Datum ${row.place}`}>
      <header>
        <strong>{title ?? `Datum ${row.place}`}</strong>
        {/* a pair's loss is booked to the one that was chosen */}
        {ofPair && row.place % 2 === 0 && <span>loss of the pair {value(row.loss)}</span>}
        {loss !== null && <span>loss {value(loss)} a trained token</span>}
        {row.logprob !== null && <span className="soft">mean logprob {value(row.logprob)}</span>}
        {row.advantage !== null && (
          <span className={`reward ${sideOf(row.advantage)}`}>
            advantage {row.advantage > 0 ? "+" : ""}
            {value(row.advantage)}
          </span>
        )}
        <span className="soft last">{seenOf(row)}</span>
      </header>
      <p className="trained-line">{trainedOf(shown)}.</p>
      {odd.map((line) => (
        <p className="warning" key={line}>
          {line}
        </p>
      ))}
      {positions ? (
        <Text key={row.id} shown={shown} positions={positions} signal={signal} />
      ) : (
        <NotKept />
      )}
      {times.length > 2 && (
        <p className="times">
          <Spark values={times.map((one) => one.loss)} />
          Loss a trained token in the {times.length} steps that it was trained in:{" "}
          {value(times[0]?.loss)} at step {times[0]?.step}, {value(times.at(-1)?.loss)} at step{" "}
          {times.at(-1)?.step}.
        </p>
      )}
    </article>
  );
}

export function sideOf(advantage: number): string {
  if (Math.abs(advantage) < 1e-9) return "";
  return advantage > 0 ? "plus" : "minus";
}

function Text({
  shown,
  positions,
  signal,
}: {
  shown: ShownDatum;
  positions: Positions;
  signal: Signal;
}) {
  const [caret, setCaret] = useState<number | null>(null);
  return (
    <>
      <Legend positions={positions} signal={signal} />
      <Words
        shown={shown}
        positions={positions}
        signal={signal}
        caret={caret}
        setCaret={setCaret}
        label={`Text of datum ${shown.datum.row.place}, token by token with the arrow keys`}
      />
      {positions.cut > 0 && (
        <p className="soft">
          {positions.cut} more positions are left out here; the figures are of all.
        </p>
      )}
      <Outliers shown={shown} positions={positions} point={setCaret} />
    </>
  );
}

function NotKept() {
  return (
    <p className="note">
      The tokens of this datum are not kept; its numbers are. Of a run up to 2 GB are kept, and the
      oldest go first; a team or a program can also switch off that texts are kept. The{" "}
      <a href="/docs/captures">documentation</a> has the rules.
    </p>
  );
}

function Legend({ positions, signal }: { positions: Positions; signal: Signal }) {
  if (signal === "plain") return null;
  if (!canHighlight())
    return <p className="soft">This browser cannot colour parts of a text: see the table below.</p>;
  const { title, legend } = MEANINGS[signal];
  const counts = countsOf(positions, signal);
  if (!counts)
    return <p className="soft">Of this datum's tokens no {title.toLowerCase()} is known.</p>;
  return (
    <ul className="legend" aria-label={`Colours: ${legend}, and how many trained tokens`}>
      <li>{legend}</li>
      {legendOf(signal, counts).map((one) => (
        <li key={one.text}>
          {one.look && <span className={`swatch look-${one.look}`} />}
          {one.text} <b>{one.count}</b>
        </li>
      ))}
      <li>
        <span className="as-untrained">not trained</span>
      </li>
    </ul>
  );
}

function Outliers({
  shown,
  positions,
  point,
}: {
  shown: ShownDatum;
  positions: Positions;
  point: (place: number) => void;
}) {
  const rows = outliersOf(positions, OUTLIERS);
  if (!rows.length) return null;
  const names = numbersOf(positions, rows[0]?.place ?? 0).map(([name]) => name);
  return (
    <details className="outlier-table" open>
      <summary>Least expected tokens</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by keys */}
      <section tabIndex={0} aria-label={`Least expected tokens of datum ${shown.datum.row.place}`}>
        <table className="plain">
          <thead>
            <tr>
              <th scope="col">Token</th>
              <th scope="col" className="number">
                Position
              </th>
              {names.map((name) => (
                <th scope="col" className="number" key={name}>
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ place }) => (
              <tr key={place}>
                <th scope="row">
                  <button type="button" className="quiet" onClick={() => point(place)}>
                    <code>{told(shown.texts[place] ?? "", 40).trim() || "␣"}</code>
                  </button>
                </th>
                <td className="number">{place}</td>
                {numbersOf(positions, place).map(([name, number]) => (
                  <td className="number" key={name}>
                    {value(number)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </details>
  );
}
