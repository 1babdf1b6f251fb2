/// A run: its header, which is the same on all its pages, and the page of it that the address names.
import { lazy, Suspense, useEffect } from "react";
import { Link, useLocation, useParams } from "wouter";
import { api, Refused, type RunDetail, take } from "../../api/client";
import { paceOf, useLive } from "../../api/live";
import { useTold } from "../../api/told";
import { Copy, Progress } from "../../components/controls";
import { Failed, Loading } from "../../components/notes";
import { State } from "../../components/state";
import { count, duration, money, runName, shortId, value } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { progress, remaining } from "../../lib/verdict";
import { MissingPage } from "../missing/page";

const OverviewPage = lazy(() => import("../overview/page"));
const ChartsPage = lazy(() => import("../charts/page"));
const RolloutsPage = lazy(() => import("../rollouts/page"));
const BatchesPage = lazy(() => import("../batches/page"));
const TimelinePage = lazy(() => import("../timeline/page"));
const RunCheckpoints = lazy(() => import("../checkpoints/of-run"));
const AboutPage = lazy(() => import("../about/page"));

const TABS = [
  { tab: "", text: "Overview", page: OverviewPage },
  { tab: "charts", text: "Charts", page: ChartsPage },
  { tab: "rollouts", text: "Rollouts", page: RolloutsPage },
  { tab: "batches", text: "Batches", page: BatchesPage },
  { tab: "timeline", text: "Timeline", page: TimelinePage },
  { tab: "checkpoints", text: "Checkpoints", page: RunCheckpoints },
  { tab: "about", text: "About", page: AboutPage },
];

export default function RunPage() {
  const { run: id = "", tab = "" } = useParams<{ run: string; tab?: string }>();
  const found = useLive({
    key: ["run", id],
    ask: () => take(api.GET("/api/console/runs/{run_id}", { params: { path: { run_id: id } } })),
    everyMs: (run: RunDetail | undefined) => paceOf(run?.state),
  });
  useTold([`run=${encodeURIComponent(id)}`]);
  const [, navigate] = useLocation();
  useKeys({
    "g o": () => navigate(`/runs/${id}`),
    "g c": () => navigate(`/runs/${id}/charts`),
    "g l": () => navigate(`/runs/${id}/rollouts`),
    "g s": () => navigate(`/runs/${id}/checkpoints`),
    "g b": () => navigate(`/runs/${id}/batches`),
    "g q": () => navigate(`/runs/${id}/timeline`),
  });
  const run = found.data?.id === id ? found.data : undefined;
  useEffect(() => {
    if (run) document.title = `${titleOf(run)} · Tinsmith`;
  }, [run]);
  const shown = TABS.find((one) => one.tab === tab);
  if (!shown || (found.error instanceof Refused && found.error.status === 404))
    return <MissingPage />;
  if (!run) {
    return found.error ? (
      <Failed error={found.error} retry={() => found.refetch()} />
    ) : (
      <Loading what="the run" />
    );
  }
  return (
    <>
      <RunHead run={run} tab={tab} />
      {found.error && <Failed error={found.error} />}
      <Suspense fallback={<Loading what={shown.text.toLowerCase()} />}>
        <shown.page run={run} />
      </Suspense>
    </>
  );
}

/** What the browser's tab says: how it goes, how far it is, whose. */
export function titleOf(run: RunDetail): string {
  const head = run.headline ? `${value(run.headline.value)} · ` : "";
  const sign = run.state === "training" ? "▲ " : run.state === "failed" ? "■ " : "";
  const far =
    run.planned_steps && run.step !== null ? `${run.step + 1}/${run.planned_steps} · ` : "";
  return `${sign}${head}${far}${runName(run)}`;
}

function RunHead({ run, tab }: { run: RunDetail; tab: string }) {
  const done = progress(run);
  const left = remaining(run);
  return (
    <div className="run-head">
      <nav className="crumbs" aria-label="You are here">
        <Link to="/">Runs</Link>
        <span aria-hidden="true">/</span>
        <code title={run.id}>{shortId(run.id)}</code>
        <Copy text={run.id} what="the run's id" />
      </nav>
      <div className="title-row">
        <h1>{runName(run)}</h1>
        <State state={run.state} />
      </div>
      <dl className="facts">
        <div>
          <dt>Base model</dt>
          <dd>{run.base_model}</dd>
        </div>
        <div>
          <dt>Step</dt>
          <dd>
            {run.step === null ? "–" : run.step + 1}
            {run.planned_steps !== null && <span className="soft"> of {run.planned_steps}</span>}
          </dd>
        </div>
        {left !== null && (
          <div>
            <dt>To go</dt>
            <dd>about {duration(left)}</dd>
          </div>
        )}
        <div>
          <dt>Tokens</dt>
          <dd>{count(run.usage.tokens)}</dd>
        </div>
        <div>
          <dt>Cost</dt>
          <dd>
            {run.usage.cost === null ? (
              <span className="soft">no prices set</span>
            ) : (
              `${money(run.usage.cost)}${run.usage.partly ? " and more" : ""}`
            )}
          </dd>
        </div>
      </dl>
      {done !== null && run.state === "training" && (
        <Progress share={done} label="Progress of the run" />
      )}
      <nav className="tabs" aria-label="The run's pages">
        {TABS.map((one) => (
          <Link
            key={one.tab}
            to={`/runs/${run.id}${one.tab && `/${one.tab}`}`}
            aria-current={one.tab === tab ? "page" : undefined}
          >
            {one.text}
          </Link>
        ))}
      </nav>
    </div>
  );
}
