/// Rollouts: what did it do? Step, group, and the group's answers side by side.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useRef } from "react";
import { Link } from "wouter";
import { api, type ListedGroup, type RunDetail, take } from "../../api/client";
import { paceOf, useLive } from "../../api/live";
import { Failed, Loading } from "../../components/notes";
import { useAddress, wholeNumber } from "../../lib/address";
import { percent, value } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { Group } from "./group";
import { GroupList } from "./list";
import { RewardStrip } from "./steps";

const STEPS = 300;

export default function RolloutsPage({ run }: { run: RunDetail }) {
  const [address, change] = useAddress();
  const path = { run_id: run.id };
  const steps = useLive({
    key: ["steps", run.id],
    ask: () =>
      take(
        api.GET("/api/console/runs/{run_id}/rollouts", {
          params: { path, query: { limit: STEPS } },
        }),
      ),
    everyMs: paceOf(run.state),
  });
  const shown = [...(steps.data?.steps ?? [])].reverse();
  const newest = shown.at(-1)?.step ?? null;
  const step = wholeNumber(address.get("step")) ?? newest;
  const search = address.get("q") ?? "";
  const coloured = address.get("sig") === "surprise";
  const groups = useGroups(run, step, search);
  const rows = groups.data?.pages.flatMap((page) => page.groups) ?? [];
  const chosen = wholeNumber(address.get("g")) ?? firstMixed(rows)?.group ?? null;
  const field = useRef<HTMLInputElement>(null);

  const goTo = (place: number) => {
    const found = shown[place]?.step;
    // whoever looks at the newest follows it
    if (found !== undefined) change({ step: found === newest ? null : String(found), g: null });
  };
  const goToGroup = (by: number) => {
    const found = rows[rows.findIndex((one) => one.group === chosen) + by]?.group;
    if (found !== undefined)
      change({ g: String(found), step: step === null ? null : String(step) });
  };
  const place = shown.findIndex((one) => one.step === step);
  const summary = shown[place];
  useKeys({
    "/": () => field.current?.focus(),
    "[": () => goTo(place - 1),
    "]": () => goTo(place + 1),
    "shift j": () => goToGroup(1),
    "shift k": () => goToGroup(-1),
    s: () => change({ sig: coloured ? null : "surprise" }),
  });
  if (steps.error && !steps.data)
    return <Failed error={steps.error} retry={() => steps.refetch()} />;
  if (!steps.data) return <Loading what="rollouts" />;
  if (step === null) return <NoRollouts run={run} />;
  return (
    <div className="rollouts-page">
      <div className="step-head">
        <button
          type="button"
          onClick={() => goTo(place - 1)}
          disabled={place <= 0}
          aria-label="Previous step"
        >
          ◀
        </button>
        <strong>Step {step}</strong>
        <button
          type="button"
          onClick={() => goTo(place + 1)}
          disabled={place < 0 || place >= shown.length - 1}
          aria-label="Next step"
        >
          ▶
        </button>
        {summary && (
          <p className="soft">
            mean reward <b>{value(summary.mean)}</b> ·{" "}
            {summary.rollouts > summary.groups &&
              `${percent(summary.mixed / summary.groups)} of ${summary.groups} groups mixed · `}
            {summary.rollouts} rollouts
          </p>
        )}
        <label className="check">
          <input
            type="checkbox"
            checked={coloured}
            onChange={(event) => change({ sig: event.target.checked ? "surprise" : null })}
          />
          Colour by surprise
        </label>
      </div>
      <RewardStrip
        steps={shown}
        chosen={step}
        choose={(one) => change({ step: one === newest ? null : String(one), g: null })}
      />
      <div className="panes">
        <aside>
          <label className="search">
            <span className="hidden">Search in this step's texts, tags and data</span>
            <input
              ref={field}
              type="search"
              placeholder="Search in this step   /"
              defaultValue={search}
              maxLength={200}
              onChange={(event) => change({ q: event.target.value, g: null })}
            />
          </label>
          {groups.error && !groups.data && <Failed error={groups.error} />}
          {groups.data && !rows.length && (
            <p className="note">
              {search ? "No rollout of this step has that text." : "This step has no rollouts."}
            </p>
          )}
          <GroupList
            groups={rows}
            chosen={chosen}
            choose={(group) => change({ g: String(group), step: String(step) })}
            more={
              groups.hasNextPage && !groups.isFetchingNextPage
                ? () => groups.fetchNextPage()
                : undefined
            }
          />
        </aside>
        <section className="group" aria-label={chosen === null ? "No group" : `Group ${chosen}`}>
          {chosen !== null && <OneGroup run={run} step={step} group={chosen} coloured={coloured} />}
        </section>
      </div>
    </div>
  );
}

/** The first group that there is something to learn from, else the first. */
export function firstMixed(rows: ListedGroup[]): ListedGroup | undefined {
  return rows.find((one) => new Set(one.rewards).size > 1) ?? rows[0];
}

function useGroups(run: RunDetail, step: number | null, search: string) {
  return useInfiniteQuery({
    queryKey: ["groups", run.id, step, search],
    queryFn: ({ pageParam }) =>
      take(
        api.GET("/api/console/runs/{run_id}/rollouts/{step}", {
          params: {
            path: { run_id: run.id, step: step ?? 0 },
            query: { ...(search && { search }), ...(pageParam !== null && { after: pageParam }) },
          },
        }),
      ),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => page.next,
    enabled: step !== null,
    placeholderData: (before) => before,
    refetchInterval: (query) =>
      (query.state.data?.pages.length ?? 0) < 3 ? paceOf(run.state) : false,
  });
}

interface OneGroupProps {
  run: RunDetail;
  step: number;
  group: number;
  coloured: boolean;
}

function OneGroup({ run, step, group, coloured }: OneGroupProps) {
  const found = useLive({
    key: ["group", run.id, step, group],
    ask: () =>
      take(
        api.GET("/api/console/runs/{run_id}/rollouts/{step}/{group}", {
          params: { path: { run_id: run.id, step, group } },
        }),
      ),
  });
  if (found.error && !found.data)
    return <Failed error={found.error} retry={() => found.refetch()} />;
  if (!found.data) return <Loading what="the group" />;
  return <Group rollouts={found.data.rollouts} coloured={coloured} />;
}

function NoRollouts({ run }: { run: RunDetail }) {
  return (
    <div className="card hint-card">
      <h2>No rollouts</h2>
      <p>
        Its program has logged none, as is right for supervised learning. What was trained on is
        under <Link to={`/runs/${run.id}/batches`}>Batches</Link> all the same, with its texts and
        advantages. One line logs the rewards of reinforcement learning, and rollouts can be read
        here step by step:
      </p>
      <pre>
        <code>
          {
            'training.log_rollouts([{"group": 0, "sequences": drawn.sequences, "reward": 1.0}], step)'
          }
        </code>
      </pre>
      <p>
        Sampled with <code>record_stability_info=True</code>, the tokens need not be sent again.
      </p>
    </div>
  );
}
