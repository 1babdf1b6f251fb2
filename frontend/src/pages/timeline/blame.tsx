/// The bar of causes, which adds up to all of the time, with its legend as a table.
import type { Timeline } from "../../api/client";
import { CAUSES, lookOf } from "./causes";
import { seconds } from "./geometry";

/** A share as a percentage that is never 0 for what is there. */
export function part(share: number): string {
  if (share <= 0) return "0 %";
  return share < 0.01 ? "< 1 %" : `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

const ORDER = new Map(CAUSES.map((one, at) => [one.cause, at]));

/** Causes that took any time, in the order of the legend. */
export function shown(blame: Timeline["blame"]): Timeline["blame"] {
  return blame
    .filter((one) => one.seconds > 0.0005 || one.waits > 0.0005)
    .sort((one, other) => (ORDER.get(one.cause) ?? 99) - (ORDER.get(other.cause) ?? 99));
}

export function BlameBar({ timeline }: { timeline: Timeline }) {
  const found = shown(timeline.blame);
  const words = found.map((one) => `${lookOf(one.cause).text} ${part(one.share)}`).join(", ");
  return (
    <section className="card blame" aria-label="Causes">
      <div className="blame-bar" role="img" aria-label={words}>
        {found
          .filter((one) => one.share > 0)
          .map((one) => (
            <span
              key={one.cause}
              className={`cause-swatch ${lookOf(one.cause).pattern}`}
              style={{ flexGrow: one.share, backgroundColor: `var(${lookOf(one.cause).colour})` }}
              title={`${lookOf(one.cause).text}: ${part(one.share)}`}
            />
          ))}
      </div>
      <div className="wide">
        <table className="causes">
          <thead>
            <tr>
              <th scope="col">Cause</th>
              <th scope="col" className="number">
                of the time
              </th>
              <th scope="col" className="number">
                time
              </th>
              <th
                scope="col"
                className="number"
                title="How long operations waited for it before the engine began them, all added up."
              >
                waits of operations
              </th>
              <th scope="col">means</th>
            </tr>
          </thead>
          <tbody>
            {found.map((one) => {
              const look = lookOf(one.cause);
              return (
                <tr key={one.cause}>
                  <th scope="row">
                    <span
                      className={`cause-swatch key ${look.pattern}`}
                      style={{ backgroundColor: `var(${look.colour})` }}
                      aria-hidden="true"
                    />
                    {look.text}
                  </th>
                  <td className="number">{part(one.share)}</td>
                  <td className="number">{seconds(one.seconds)}</td>
                  <td className="number">{one.waits > 0.0005 ? seconds(one.waits) : "–"}</td>
                  <td className="soft">{look.means}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}
