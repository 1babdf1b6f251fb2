/// Home: the runs of the person's teams, and what needs them.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { Link, useLocation, useParams } from "wouter";
import { api, type RunRow, take } from "../../api/client";
import { OFTEN_MS, pace, SELDOM_MS } from "../../api/live";
import { toldOfTeams, useTold } from "../../api/told";
import { useMe } from "../../app";
import { Segmented } from "../../components/controls";
import { Failed, Loading, More } from "../../components/notes";
import { useAddress } from "../../lib/address";
import { shortId } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { Nothing } from "./nothing";
import { SinceYouLooked } from "./since";
import { RunTable } from "./table";

const STATES = ["", "training", "waiting", "idle", "finished", "failed", "stopped"] as const;
type StateOrAll = (typeof STATES)[number];
const SORTS = [
  { value: "-created", text: "Newest" },
  { value: "-active", text: "Last active" },
] as const;

function useRuns(search: string, state: StateOrAll, sort: string, session: string | undefined) {
  return useInfiniteQuery({
    queryKey: ["runs", search, state, sort, session],
    queryFn: ({ pageParam }) =>
      take(
        api.GET("/api/console/runs", {
          params: {
            query: {
              sort,
              ...(search && { search }),
              ...(state && { state }),
              ...(session && { session }),
              ...(pageParam && { cursor: pageParam }),
            },
          },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    placeholderData: (before) => before,
    refetchInterval: (query) => {
      const pages = query.state.data?.pages ?? [];
      const moving = pages.some((page) => page.runs.some((run) => run.state === "training"));
      // of many pages each would be asked for again
      return pace(moving && pages.length < 3 ? OFTEN_MS : SELDOM_MS);
    },
  });
}

export function HomePage() {
  const { session } = useParams<{ session?: string }>();
  const [address, change] = useAddress();
  const me = useMe();
  useTold(toldOfTeams(me));
  const search = address.get("q") ?? "";
  const state = (STATES.find((one) => one === address.get("state")) ?? "") as StateOrAll;
  const sort = SORTS.find((one) => one.value === address.get("sort"))?.value ?? "-created";
  const found = useRuns(search, state, sort, session);
  const rows = found.data?.pages.flatMap((page) => page.runs) ?? [];
  const [chosen, choose] = useState(-1);
  const [, navigate] = useLocation();
  const [picked, pick] = useState<string[]>([]);
  const toggle = (id: string) =>
    pick(picked.includes(id) ? picked.filter((one) => one !== id) : [...picked, id]);
  const compared = `/compare?runs=${picked.map(encodeURIComponent).join(",")}`;
  const field = useRef<HTMLInputElement>(null);
  useKeys({
    "/": () => field.current?.focus(),
    j: () => choose((place) => Math.min(place + 1, rows.length - 1)),
    k: () => choose((place) => Math.max(place - 1, 0)),
    x: () => rows[chosen] && toggle(rows[chosen].id),
    c: () => picked.length > 1 && navigate(compared),
    enter: () => rows[chosen] && navigate(`/runs/${rows[chosen].id}`),
  });
  const moving = rows.filter((run) => run.state === "training").length;
  useEffect(() => {
    document.title = moving ? `${moving} training · Tinsmith` : "Runs · Tinsmith";
  }, [moving]);
  const nothingAtAll = found.data && !rows.length && !search && !state && !session;
  return (
    <>
      <div className="head">
        <div>
          <h1>{session ? `Runs of session ${shortId(session)}` : "Runs"}</h1>
          <p className="sub">{summary(rows, me.teams.length)}</p>
        </div>
        {!nothingAtAll && (
          <search className="filters">
            <label className="search">
              <span className="hidden">Search runs</span>
              <input
                ref={field}
                type="search"
                placeholder="Search   /"
                defaultValue={search}
                maxLength={200}
                onChange={(event) => change({ q: event.target.value })}
              />
            </label>
            <label className="select">
              <span className="hidden">State</span>
              <select value={state} onChange={(event) => change({ state: event.target.value })}>
                {STATES.map((one) => (
                  <option key={one} value={one}>
                    {one || "any state"}
                  </option>
                ))}
              </select>
            </label>
            <Segmented
              label="Sort"
              options={SORTS}
              value={sort}
              onChange={(chosenSort) =>
                change({ sort: chosenSort === "-created" ? null : chosenSort })
              }
            />
          </search>
        )}
      </div>
      {!session && <SinceYouLooked teams={me.teams} />}
      {found.isPending && <Loading what="your runs" />}
      {found.error && <Failed error={found.error} retry={() => found.refetch()} />}
      {nothingAtAll && <Nothing />}
      {found.data && !rows.length && !nothingAtAll && (
        <p className="note">
          No run is like that. Search looks at names, ids, base models, tags and metadata.
        </p>
      )}
      {picked.length > 0 && (
        <div className="selection" role="toolbar" aria-label="Chosen runs">
          <span>{picked.length} chosen</span>
          {picked.length > 1 ? (
            <Link className="button" to={compared}>
              Compare
            </Link>
          ) : (
            <span className="soft">choose another one to compare</span>
          )}
          <button type="button" className="quiet" onClick={() => pick([])}>
            Choose none
          </button>
        </div>
      )}
      {rows.length > 0 && (
        <RunTable
          rows={rows}
          chosen={chosen}
          showTeam={me.teams.length > 1}
          picked={picked}
          toggle={toggle}
        />
      )}
      <More pages={found} />
    </>
  );
}

/** What needs somebody, in a line. */
export function summary(rows: RunRow[], teams: number): string {
  if (!teams) return "You are in no team yet: whoever runs this server can put you into one.";
  const counted = new Map<string, number>();
  for (const row of rows) counted.set(row.state, (counted.get(row.state) ?? 0) + 1);
  const shown = ["training", "waiting", "failed", "idle", "finished", "stopped"]
    .filter((state) => counted.has(state))
    .map((state) => `${counted.get(state)} ${state}`);
  return shown.join(" · ");
}
