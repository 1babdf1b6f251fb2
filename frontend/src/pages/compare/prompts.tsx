/// Prompts that several runs have: their rewards, what the difference is worth, and the answers.
import { api, type Comparison, type MatchedPrompt, take } from "../../api/client";
import { useLive } from "../../api/live";
import { Failed, Loading } from "../../components/notes";
import { useAddress } from "../../lib/address";
import { runName, value } from "../../lib/format";
import { Group } from "../rollouts/group";
import { Swatch } from "./page";
import { isClear, letterOf, sentence } from "./words";

const PAGE = 25;
const MOST = 100;
const MOVING_MS = 30_000;
const STILL_MS = 600_000;

export function MatchedPrompts({ runs }: { runs: Comparison["runs"] }) {
  const [address, change] = useAddress();
  const limit = address.has("more") ? MOST : PAGE;
  const ids = runs.map((one) => one.id);
  const found = useLive({
    // dear to the database: not asked again for every rollout that is told
    key: ["matched", ids, limit],
    ask: () =>
      take(api.GET("/api/console/compare/prompts", { params: { query: { run: ids, limit } } })),
    everyMs: runs.some((one) => one.state === "training") ? MOVING_MS : STILL_MS,
  });
  const opened = found.data?.prompts.find((one) => one.prompt === address.get("p"));
  return (
    <section aria-labelledby="matched" className="matched">
      <h2 id="matched">Matched prompts</h2>
      {found.error && <Failed error={found.error} retry={() => found.refetch()} />}
      {!found.data && !found.error && <Loading what="matched prompts" />}
      {found.data && !found.data.total && (
        <p className="note">
          No prompt with a reward occurs in two of these runs. Rollouts that are recorded with their
          prompts are matched by them.
        </p>
      )}
      {found.data && found.data.total > 0 && (
        <>
          <ul className="differences">
            {found.data.differences.map((one) => (
              <li key={one.place} className={isClear(one) ? "clear" : undefined}>
                {sentence(one)}
              </li>
            ))}
          </ul>
          <p className="soft">
            Mean reward of each prompt, over all its recorded rollouts. The interval is a paired
            bootstrap over prompts; it holds for these prompts, not for others.
          </p>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys */}
          <section className="card wide-table" aria-label="Table of matched prompts" tabIndex={0}>
            <table className="plain prompts">
              <thead>
                <tr>
                  <th scope="col">Prompt, most disputed first</th>
                  {runs.map((run, place) => (
                    <th scope="col" className="number" key={run.id}>
                      {letterOf(place)}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {found.data.prompts.map((one) => (
                  <tr key={one.prompt}>
                    <th scope="row">
                      <button
                        type="button"
                        className="quiet"
                        aria-expanded={one === opened}
                        onClick={() => change({ p: one === opened ? null : one.prompt })}
                      >
                        {one.preview.trim() || "(empty)"}
                      </button>
                    </th>
                    {one.runs.map((each, place) => (
                      <td className="number" key={runs[place]?.id}>
                        {each ? (
                          <span title={`${each.rollouts} rollouts`}>{value(each.mean)}</span>
                        ) : (
                          <span className="soft">–</span>
                        )}
                      </td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
          {found.data.total > found.data.prompts.length && (
            <p className="more">
              {limit < MOST ? (
                <button type="button" onClick={() => change({ more: "1" })}>
                  Show more of {found.data.total}
                </button>
              ) : (
                <span className="soft">
                  The {MOST} most disputed of {found.data.total}.
                </span>
              )}
            </p>
          )}
          {opened && <Answers runs={runs} prompt={opened} />}
        </>
      )}
    </section>
  );
}

/** What each run answered when it was asked this last. */
function Answers({ runs, prompt }: { runs: Comparison["runs"]; prompt: MatchedPrompt }) {
  return (
    <div className="answers">
      <p className="asked-of-all">{prompt.preview}</p>
      {runs.map((run, place) => {
        const where = prompt.runs[place];
        return where ? (
          <section key={run.id} aria-label={`Answers of ${letterOf(place)}`}>
            <h3>
              <Swatch place={place} /> {runName(run)}, step {where.step}
            </h3>
            <AnswersOf run={run.id} step={where.step} group={where.group} />
          </section>
        ) : null;
      })}
    </div>
  );
}

function AnswersOf({ run, step, group }: { run: string; step: number; group: number }) {
  const found = useLive({
    key: ["group", run, step, group],
    ask: () =>
      take(
        api.GET("/api/console/runs/{run_id}/rollouts/{step}/{group}", {
          params: { path: { run_id: run, step, group } },
        }),
      ),
  });
  if (found.error && !found.data)
    return <Failed error={found.error} retry={() => found.refetch()} />;
  if (!found.data) return <Loading what="answers" />;
  // what was asked stands above, once for all
  const answers = found.data.rollouts.map((one) => ({ ...one, prompt: null }));
  return <Group rollouts={answers} coloured={false} />;
}
