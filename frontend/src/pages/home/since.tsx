/// Since you looked: what has become of a team's runs while somebody was away. Nothing if nothing has.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { api, type Me, take } from "../../api/client";
import { pace, SELDOM_MS } from "../../api/live";
import { Failed } from "../../components/notes";
import { Mark } from "../../components/state";
import { duration, runName } from "../../lib/format";
import { sentenceOf } from "./news";
import { markSeen, noteShown } from "./seen";

// of whom a page tells at once
const MOST_TEAMS = 4;

export function SinceYouLooked({ teams }: { teams: Me["teams"] }) {
  return teams
    .slice(0, MOST_TEAMS)
    .map((team) => <OfTeam key={team.slug} team={team} named={teams.length > 1} />);
}

function OfTeam({ team, named }: { team: Me["teams"][number]; named: boolean }) {
  const [error, setError] = useState<Error | null>(null);
  const found = useQuery({
    queryKey: ["since", team.slug],
    queryFn: () => take(api.GET("/api/console/since", { params: { query: { team: team.slug } } })),
    refetchInterval: () => pace(SELDOM_MS),
  });
  const cursor = found.data?.cursor;
  useEffect(() => {
    if (!cursor) return;
    const note = () => noteShown(team.slug, cursor);
    note();
    document.addEventListener("visibilitychange", note);
    return () => document.removeEventListener("visibilitychange", note);
  }, [team.slug, cursor]);
  const { since, changes = [], more = 0 } = found.data ?? {};
  if (!since || !cursor || !changes.length) return null;
  const seen = async () => {
    try {
      setError(null);
      await markSeen(team.slug, cursor);
      await found.refetch();
    } catch (refused) {
      setError(refused as Error);
    }
  };
  const away = duration((Date.now() - Date.parse(since)) / 1000);
  const id = `since-${team.slug}`;
  return (
    <section className="card since" aria-labelledby={id}>
      <div className="since-head">
        <h2 id={id}>
          Since you looked <span className="soft">{away} ago</span>
          {named && <span className="soft"> · {team.name}</span>}
        </h2>
        <button type="button" className="quiet" onClick={seen}>
          Mark as seen
        </button>
      </div>
      {error && <Failed error={error} />}
      <ul>
        {changes.map((change) => {
          const { tone, text, proof } = sentenceOf(change);
          return (
            <li key={change.run_id}>
              <Mark tone={tone} />
              <Link to={proof}>
                <strong>{runName({ id: change.run_id, name: change.name })}</strong> {text}
              </Link>
            </li>
          );
        })}
      </ul>
      {more > 0 && <p className="soft">And {more} more runs have changed.</p>}
    </section>
  );
}
