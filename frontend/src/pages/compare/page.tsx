/// Compare: what differs between runs, and does it matter?
import { useEffect } from "react";
import { Link } from "wouter";
import { api, type Comparison, take } from "../../api/client";
import { useLive } from "../../api/live";
import { toldOfTeams, useTold } from "../../api/told";
import { useMe } from "../../app";
import { Near } from "../../components/near";
import { Empty, Failed, Loading } from "../../components/notes";
import { State } from "../../components/state";
import { useAddress } from "../../lib/address";
import { money, runName, value } from "../../lib/format";
import { matcher } from "../charts/sections";
import { chosenIn, Tools } from "../charts/tools";
import { ComparedCurves } from "./curves";
import { MatchedPrompts } from "./prompts";
import { idsOf, letterOf, settingsToShow } from "./words";

export const MOST_CURVES = 6;
const AT_ONCE = 6;

export default function ComparePage() {
  const me = useMe();
  useTold(toldOfTeams(me));
  const [address] = useAddress();
  const ids = idsOf(address.get("runs"));
  useEffect(() => {
    document.title = "Compare · Tinsmith";
  }, []);
  const found = useLive({
    // all of each run: not asked again for every number that is told, which the curves show
    key: ["comparison", ids],
    ask: () => take(api.GET("/api/console/compare", { params: { query: { run: ids } } })),
    enabled: ids.length > 1,
  });
  if (ids.length < 2) {
    return (
      <Empty title="Compare runs" heading="h1">
        <p>
          Choose two runs or more on <Link to="/">Runs</Link>, with their boxes or with <kbd>x</kbd>
          , then press <kbd>c</kbd>.
        </p>
      </Empty>
    );
  }
  if (found.error && !found.data)
    return <Failed error={found.error} retry={() => found.refetch()} />;
  if (!found.data) return <Loading what="the comparison" />;
  return (
    <div className="compare">
      <div className="head">
        <h1>Compare {found.data.runs.length} runs</h1>
      </div>
      <Runs comparison={found.data} />
      <Settings comparison={found.data} />
      <Curves comparison={found.data} />
      {/* what was told of other runs must not stand under the letters of these */}
      <MatchedPrompts key={`${found.data.runs.map((one) => one.id)}`} runs={found.data.runs} />
    </div>
  );
}

/** The runs, each with its letter and colour, which stay whatever is hidden. */
function Runs({ comparison }: { comparison: Comparison }) {
  const [address, change] = useAddress();
  const hidden = idsOf(address.get("hide"));
  const ids = comparison.runs.map((one) => one.id);
  return (
    <ul className="compared" aria-label="Runs that are compared">
      {comparison.runs.map((run, place) => (
        <li key={run.id} className="card">
          <span className="title">
            <Swatch place={place} /> <Link to={`/runs/${run.id}`}>{runName(run)}</Link>
          </span>
          <State state={run.state} />
          <span className="soft">
            {run.headline ? `${run.headline.key} ${value(run.headline.value)}` : "no metrics"}
            {run.cost !== null && ` · ${money(run.cost)}`}
          </span>
          <span className="controls">
            {place < MOST_CURVES && (
              <label className="check">
                <input
                  type="checkbox"
                  checked={!hidden.includes(run.id)}
                  onChange={(event) =>
                    change({
                      hide: (event.target.checked
                        ? hidden.filter((one) => one !== run.id)
                        : [...hidden, run.id]
                      ).join(","),
                    })
                  }
                />
                curve<span className="hidden"> of {letterOf(place)}</span>
              </label>
            )}
            {ids.length > 2 && (
              <button
                type="button"
                className="quiet"
                aria-label={`Leave out ${letterOf(place)}`}
                onClick={() => change({ runs: ids.filter((one) => one !== run.id).join(",") })}
              >
                Leave out
              </button>
            )}
          </span>
        </li>
      ))}
    </ul>
  );
}

export function Swatch({ place }: { place: number }) {
  const dashed = place >= MOST_CURVES ? " dashed" : "";
  return <span className={`swatch-letter s${(place % 6) + 1}${dashed}`}>{letterOf(place)}</span>;
}

function Settings({ comparison }: { comparison: Comparison }) {
  const [address, change] = useAddress();
  const all = address.has("all");
  const shown = settingsToShow(comparison.settings, all);
  return (
    <section aria-labelledby="settings">
      <div className="section-head">
        <h2 id="settings">{all ? "All settings" : "Settings that differ"}</h2>
        <label className="check">
          <input
            type="checkbox"
            checked={all}
            onChange={(event) => change({ all: event.target.checked ? "1" : null })}
          />
          all {comparison.settings.length}
        </label>
      </div>
      {shown.length ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
        <section className="card wide-table" aria-label="Settings of the runs" tabIndex={0}>
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">Setting</th>
                {comparison.runs.map((run, place) => (
                  <th scope="col" key={run.id}>
                    {letterOf(place)}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {shown.map((one) => (
                <tr key={one.key} className={one.differs ? "differs" : undefined}>
                  <th scope="row">{one.key}</th>
                  {comparison.runs.map((run, place) => (
                    <td key={run.id}>{one.values[place] ?? <span className="soft">–</span>}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      ) : (
        <p className="note">All settings are the same.</p>
      )}
    </section>
  );
}

function Curves({ comparison }: { comparison: Comparison }) {
  const [address, change] = useAddress();
  const find = address.get("find") ?? "";
  const chosen = chosenIn(address);
  const fits = matcher(find);
  const metrics = comparison.metrics.filter((one) => fits(one.key));
  const drawn = comparison.runs.slice(0, MOST_CURVES);
  const parts = [];
  for (let at = 0; at < metrics.length; at += AT_ONCE) parts.push(metrics.slice(at, at + AT_ONCE));
  return (
    <section aria-labelledby="curves">
      <h2 id="curves">Curves</h2>
      <Tools
        onAxis={(along) => change({ x: along === "step" ? null : along, from: null, to: null })}
      />
      {comparison.runs.length > MOST_CURVES && (
        <p className="soft">
          Curves are of the first {MOST_CURVES} runs; the table has the last values of all.
        </p>
      )}
      {!comparison.metrics.length && (
        <p className="note">None of these runs has recorded a metric.</p>
      )}
      {parts.map((part) => (
        <Near key={part.map((one) => one.key).join()} height={300}>
          <ComparedCurves
            key={`${drawn.map((one) => one.id)}`}
            runs={drawn}
            metrics={part}
            chosen={chosen}
          />
        </Near>
      ))}
      {comparison.metrics.length > 0 && <LastValues comparison={comparison} />}
    </section>
  );
}

function LastValues({ comparison }: { comparison: Comparison }) {
  return (
    <details className="last-values" open={comparison.runs.length > MOST_CURVES}>
      <summary>Last values as a table</summary>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
      <section className="card wide-table" aria-label="Last values" tabIndex={0}>
        <table className="plain">
          <thead>
            <tr>
              <th scope="col">Metric</th>
              {comparison.runs.map((run, place) => (
                <th scope="col" className="number" key={run.id}>
                  {letterOf(place)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {comparison.metrics.map((one) => (
              <tr key={one.key}>
                <th scope="row">{one.key}</th>
                {comparison.runs.map((run, place) => (
                  <td className="number" key={run.id}>
                    {one.has[place] ? value(one.last[place]) : <span className="soft">–</span>}
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
