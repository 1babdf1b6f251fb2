/// Usage and cost: what a team has used in a month, by whom of its runs, and what that costs.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";
import { api, type RunUsed, type TeamMonth, take } from "../../api/client";
import { toldOfTeams, useTold } from "../../api/told";
import { useMe } from "../../app";
import { Segmented, TeamChoice } from "../../components/controls";
import { Empty, Failed, Loading, More } from "../../components/notes";
import { useAddress } from "../../lib/address";
import { bytes, count, money, shortId } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { OfKinds } from "./kinds";
import { barsOf, costOf, monthName, neighbour } from "./months";
import { type Used, UsedTable } from "./table";

const WAYS = [
  { value: "run", text: "Run" },
  { value: "model", text: "Base model" },
  { value: "kind", text: "Kind" },
  { value: "day", text: "Day" },
] as const;
type Way = (typeof WAYS)[number]["value"];
const SORTS = [
  { value: "cost", text: "Cost" },
  { value: "tokens", text: "Tokens" },
] as const;
type Sort = (typeof SORTS)[number]["value"];
// sums move with every operation that is done, and no event tells of that
const OFTEN_MS = 5_000;

interface Asked {
  team?: string;
  month?: string;
}

export default function UsagePage() {
  const me = useMe();
  useTold(toldOfTeams(me));
  const [address, change] = useAddress();
  const team = me.teams.find((one) => one.slug === address.get("team")) ?? me.teams[0];
  const month = address.get("month") ?? undefined;
  const asked: Asked = { ...(team && { team: team.slug }), ...(month && { month }) };
  const found = useQuery({
    queryKey: ["usage", "month", asked],
    queryFn: () => take(api.GET("/api/console/usage", { params: { query: asked } })),
    // another month of the same team; another team's numbers must not stand under this one's name
    placeholderData: (before, query) =>
      (query?.queryKey[2] as Asked | undefined)?.team === asked.team ? before : undefined,
    refetchInterval: month ? false : OFTEN_MS,
    enabled: team !== undefined,
  });
  useEffect(() => {
    document.title = "Usage and cost · Tinsmith";
  }, []);
  const used = found.data?.used;
  const go = (by: 1 | -1) => {
    const to = used && neighbour(used.months, used.month, by);
    if (to) change({ month: to === used.months[0] ? null : to });
  };
  useKeys({ "[": () => go(-1), "]": () => go(1) });
  if (!team) return <Empty title="You are in no team yet" heading="h1" />;
  return (
    <>
      <div className="head">
        <div>
          <h1>Usage and cost</h1>
          <p className="sub">Team {team.name}. Days and months are those of UTC.</p>
        </div>
        <div className="filters">
          <TeamChoice
            teams={me.teams}
            slug={team.slug}
            onChange={(slug) => change({ team: slug, month: null })}
          />
          {used && (
            <label className="select">
              Month{" "}
              <select
                value={used.month}
                onChange={(event) =>
                  change({
                    month: event.target.value === used.months[0] ? null : event.target.value,
                  })
                }
              >
                {monthsOf(used).map((one) => (
                  <option key={one} value={one}>
                    {monthName(one)}
                  </option>
                ))}
              </select>
            </label>
          )}
        </div>
      </div>
      {found.isPending && <Loading what="what was used" />}
      {found.error && <Failed error={found.error} retry={() => found.refetch()} />}
      {found.data && <Shown key={team.slug} data={found.data} asked={asked} />}
    </>
  );
}

/** Those to choose from; a month that an address names is there, too. */
function monthsOf({ month, months }: TeamMonth["used"]): string[] {
  return months.includes(month) ? months : [month, ...months];
}

function Shown({ data, asked }: { data: TeamMonth; asked: Asked }) {
  const { used, stored } = data;
  const [address, change] = useAddress();
  const by = WAYS.find((one) => one.value === address.get("by"))?.value ?? "run";
  const priced = used.total.cost !== null;
  const nothing = used.total.tokens === 0 && used.total.checkpoint === 0;
  return (
    <>
      <dl className="tiles sums" aria-label={`Sums of ${monthName(used.month)}`}>
        {priced && (
          <Sum
            what="Cost"
            value={money(used.total.cost ?? 0)}
            note={
              used.total.unpriced
                ? `without ${count(used.total.unpriced)} tokens that had no price`
                : "at the price of the moment"
            }
          />
        )}
        <Sum what="Tokens" value={count(used.total.tokens)} note="all kinds together" />
        <Sum
          what="Trained"
          value={count(used.total.train)}
          note={`${count(used.total.score)} scored`}
        />
        <Sum
          what="Read"
          value={count(used.total.prefill)}
          note={`${count(used.total.prefill_cached)} more from the cache`}
        />
        <Sum what="Sampled" value={count(used.total.sample)} note="tokens" />
        <Sum
          what="Stored now"
          value={bytes(stored.size_bytes)}
          note={`${bytes(stored.mean_bytes)} on average; storage has no price`}
        />
      </dl>
      {nothing ? (
        <Empty title={`Nothing was used in ${monthName(used.month)}`}>
          <p>What runs and samplers of the team read, train on and sample is counted here.</p>
        </Empty>
      ) : (
        <>
          <Bars data={data} priced={priced} />
          <div className="toolbar-row">
            <Segmented
              label="By"
              options={WAYS}
              value={by}
              onChange={(way) => change({ by: way === "run" ? null : way })}
            />
            {by === "run" && <RunFilters priced={priced} />}
            <a className="quiet-link" href={fileOf(asked, by, address)} download>
              Save as CSV
            </a>
          </div>
          {by === "run" ? (
            <OfRuns asked={asked} priced={priced} />
          ) : (
            <OfMonth data={data} by={by} priced={priced} />
          )}
          <p className="note small">
            The ledger names team, session, run, base model, kind and price of what was used. It
            does not know which person or which API key it was.
            {!priced && " The catalog has no prices for what was used, so no cost is shown."}
          </p>
        </>
      )}
    </>
  );
}

function Sum({ what, value, note }: { what: string; value: string; note: string }) {
  return (
    <div className="card tile">
      <dt className="what">{what}</dt>
      <dd>
        <strong>{value}</strong>
        <span className="change" title={note}>
          {note}
        </span>
      </dd>
    </div>
  );
}

function Bars({ data: { used }, priced }: { data: TeamMonth; priced: boolean }) {
  const bars = barsOf(used.days, priced);
  const highest = bars.find((bar) => bar.share === 1);
  return (
    <section className="card month-bars" aria-label={`${priced ? "Cost" : "Tokens"} by day`}>
      <p>
        {priced ? "Cost" : "Tokens"} by day. Most: {highest?.label ?? "nothing"}
      </p>
      <ol>
        {bars.map((bar) => (
          <li key={bar.day} title={bar.label}>
            <span className="hidden">{bar.label}</span>
            <span className="bar-fill" style={{ blockSize: `${bar.share * 100}%` }} />
            <span className="bar-day" aria-hidden="true">
              {Number(bar.day.slice(8))}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

function fileOf(asked: Asked, by: Way, address: URLSearchParams): string {
  const query = new URLSearchParams({ ...asked, by });
  const search = address.get("q");
  if (by === "run" && search) query.set("search", search);
  if (by === "run" && address.get("sort") === "tokens") query.set("sort", "tokens");
  return `/api/console/usage/csv?${query}`;
}

function RunFilters({ priced }: { priced: boolean }) {
  const [address, change] = useAddress();
  const field = useRef<HTMLInputElement>(null);
  useKeys({ "/": () => field.current?.focus() });
  return (
    <search className="filters">
      <label className="search">
        <span className="hidden">Search runs</span>
        <input
          ref={field}
          type="search"
          placeholder="Search   /"
          defaultValue={address.get("q") ?? ""}
          maxLength={200}
          onChange={(event) => change({ q: event.target.value })}
        />
      </label>
      {priced && (
        <Segmented
          label="Most first"
          options={SORTS}
          value={sortOf(address)}
          onChange={(sort) => change({ sort: sort === "cost" ? null : sort })}
        />
      )}
    </search>
  );
}

const sortOf = (address: URLSearchParams): Sort =>
  address.get("sort") === "tokens" ? "tokens" : "cost";

function OfRuns({ asked, priced }: { asked: Asked; priced: boolean }) {
  const [address] = useAddress();
  const search = address.get("q") ?? "";
  // without prices all would cost the same
  const sort = priced ? sortOf(address) : "tokens";
  const found = useInfiniteQuery({
    queryKey: ["usage", "runs", asked, search, sort],
    queryFn: ({ pageParam }) =>
      take(
        api.GET("/api/console/usage/runs", {
          params: {
            query: {
              ...asked,
              sort,
              ...(search && { search }),
              ...(pageParam && { cursor: pageParam }),
            },
          },
        }),
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next,
    placeholderData: (before) => before,
    // of many pages each would be asked for again
    refetchInterval: (query) =>
      asked.month || (query.state.data?.pages.length ?? 0) > 2 ? false : OFTEN_MS,
  });
  const rows = found.data?.pages.flatMap((page) => page.runs.map(usedOf)) ?? [];
  const [chosen, choose] = useState(-1);
  const [, navigate] = useLocation();
  useKeys({
    j: () => choose((place) => Math.min(place + 1, rows.length - 1)),
    k: () => choose((place) => Math.max(place - 1, 0)),
    enter: () => {
      const to = rows[chosen]?.to;
      if (to) navigate(to);
    },
  });
  return (
    <>
      {found.isPending && <Loading what="runs" />}
      {found.error && <Failed error={found.error} retry={() => found.refetch()} />}
      {found.data && !rows.length && (
        <p className="note">
          {search
            ? "No run that used something is like that. Search looks at names, ids, base models, tags and metadata of runs."
            : "No run used anything."}
        </p>
      )}
      {rows.length > 0 && <UsedTable what="Run" rows={rows} chosen={chosen} priced={priced} />}
      <More pages={found} />
    </>
  );
}

function usedOf(run: RunUsed): Used {
  const { id, amount, base_model } = run;
  if (run.is_run) {
    return {
      key: id,
      title: run.name || shortId(id),
      under: `${base_model} · ${shortId(id)}`,
      to: `/runs/${id}`,
      amount,
      storedBytes: run.stored_bytes,
    };
  }
  // a sampler of a base model, or of another team's checkpoint
  return {
    key: id,
    title: run.name ? `Sampler of ${run.name}` : `Sampler of ${base_model}`,
    under: shortId(id),
    amount,
    storedBytes: 0,
  };
}

interface OfMonthProps {
  data: TeamMonth;
  by: Exclude<Way, "run">;
  priced: boolean;
}

function OfMonth({ data: { used }, by, priced }: OfMonthProps) {
  if (by === "kind") return <OfKinds kinds={used.kinds} priced={priced} />;
  const rows =
    by === "model"
      ? used.models.map((one) => ({
          key: one.base_model,
          title: one.base_model,
          under: costOf(one.amount) === "–" ? "no price" : "",
          amount: one.amount,
        }))
      : used.days
          .filter((one) => one.amount.tokens || one.amount.checkpoint)
          .map((one) => ({ key: one.day, title: one.day, under: "", amount: one.amount }));
  return (
    <UsedTable
      what={by === "model" ? "Base model" : "Day"}
      rows={rows}
      chosen={-1}
      priced={priced}
    />
  );
}
