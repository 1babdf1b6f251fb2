/// The cluster: who works, what waits, for whom, and why something of ours does not move.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import {
  api,
  type Cluster,
  type ShownPool,
  type ShownWorker,
  take,
  type Waiting,
} from "../../api/client";
import { toldOfTeams, useTold } from "../../api/told";
import { useMe } from "../../app";
import { Ago, Copy } from "../../components/controls";
import { Failed, Loading } from "../../components/notes";
import { Mark } from "../../components/state";
import { bytes, count, duration, shortId } from "../../lib/format";
import { useKeys } from "../../lib/keys";
import { poolSentence, sharesOf, sinceOf, stateOf, TONE_OF } from "./words";

// queues move too often for events; the server looks once for all who ask (docs/live.md)
const OFTEN_MS = 5_000;

export default function ClusterPage() {
  const me = useMe();
  useTold(toldOfTeams(me));
  const found = useQuery({
    queryKey: ["cluster"],
    queryFn: () => take(api.GET("/api/console/cluster")),
    placeholderData: (before) => before,
    refetchInterval: OFTEN_MS,
  });
  useEffect(() => {
    document.title = "Cluster · Tinsmith";
  }, []);
  return (
    <>
      <div className="head">
        <div>
          <h1>Cluster</h1>
          <p className="sub">
            Workers, what waits for them, and how their work is shared. Everybody sees this page.
          </p>
        </div>
        {found.data && (
          <p className="sub">
            As of <Ago at={found.data.at} />
          </p>
        )}
      </div>
      {found.isPending && <Loading what="the cluster" />}
      {found.error && <Failed error={found.error} retry={() => found.refetch()} />}
      {found.data && <Shown cluster={found.data} />}
    </>
  );
}

function Shown({ cluster }: { cluster: Cluster }) {
  return (
    <div className="cluster">
      <WaitingRows cluster={cluster} />
      {cluster.pools.length === 0 && (
        <p className="note">
          There is no pool yet: an administrator puts base models into the catalog.
        </p>
      )}
      {cluster.pools.map((pool) => (
        <Pool
          key={pool.name}
          pool={pool}
          now={Date.parse(cluster.at)}
          minutes={cluster.shares_of_s / 60}
        />
      ))}
    </div>
  );
}

function WaitingRows({ cluster: { waiting, waiting_in_all: total } }: { cluster: Cluster }) {
  const [chosen, choose] = useState(-1);
  const [, navigate] = useLocation();
  useKeys({
    j: () => choose((place) => Math.min(place + 1, waiting.length - 1)),
    k: () => choose((place) => Math.max(place - 1, 0)),
    enter: () => {
      const run = waiting[chosen]?.run_id;
      if (run) navigate(`/runs/${run}`);
    },
  });
  return (
    <section aria-labelledby="waiting">
      <h2 id="waiting">Of your teams</h2>
      {waiting.length === 0 ? (
        <p className="soft">Nothing of your teams waits for a worker.</p>
      ) : (
        <ul className="card waiting-list">
          {waiting.map((one, place) => (
            <WaitingRow key={one.target} one={one} chosen={place === chosen} />
          ))}
        </ul>
      )}
      {total > waiting.length && <p className="soft">And {total - waiting.length} more.</p>}
    </section>
  );
}

function WaitingRow({ one, chosen }: { one: Waiting; chosen: boolean }) {
  const tone = TONE_OF[one.why];
  const name = one.name || shortId(one.target);
  return (
    <li className={chosen ? "chosen" : undefined}>
      <Mark tone={tone} />
      <div>
        <p>
          {one.run_id ? (
            <Link to={`/runs/${one.run_id}`} className="strong">
              {name}
            </Link>
          ) : (
            <span className="strong">Sampling from {one.name || one.base_model}</span>
          )}{" "}
          {one.words}
        </p>
        <p className="soft caption">
          {count(one.operations)} {one.operations === 1 ? "operation" : "operations"} since{" "}
          <Ago at={one.since} /> · about place {one.place} in the queue of pool {one.pool}
        </p>
        {one.start && (
          <p className="start">
            <code>{one.start}</code>
            <Copy text={one.start} what="the command that starts a worker" />
          </p>
        )}
      </div>
    </li>
  );
}

function Pool({ pool, now, minutes }: { pool: ShownPool; now: number; minutes: number }) {
  const shares = sharesOf(pool);
  return (
    <section className="card pool" aria-labelledby={`pool-${pool.name}`}>
      <div className="pool-head">
        <h2 id={`pool-${pool.name}`}>Pool {pool.name}</h2>
        <p className="soft">{poolSentence(pool)}</p>
      </div>
      <table className="runs">
        <thead>
          <tr>
            <th scope="col">Base model</th>
            <th scope="col" className="number">
              Workers
            </th>
            <th scope="col" className="number">
              Waiting
            </th>
            <th scope="col" className="number">
              At work
            </th>
            <th scope="col" className="number">
              Oldest wait
            </th>
          </tr>
        </thead>
        <tbody>
          {pool.queues.map((queue) => (
            <tr key={queue.base_model}>
              <th scope="row">
                <span className="name">{queue.base_model}</span>
              </th>
              <td data-label="Workers" className="number">
                {queue.workers || <span className="bad">none</span>}
              </td>
              <td data-label="Waiting" className="number">
                {count(queue.queued)}
              </td>
              <td data-label="At work" className="number">
                {count(queue.running)}
              </td>
              <td data-label="Oldest wait" className="number">
                {queue.oldest_s === null ? (
                  <span className="soft">–</span>
                ) : (
                  duration(queue.oldest_s)
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <h3>Workers</h3>
      {pool.workers.length === 0 ? (
        <div className="start">
          <p>No worker has been here in the last hour. This starts one:</p>
          <code>{pool.start}</code>
          <Copy text={pool.start} what="the command that starts a worker" />
        </div>
      ) : (
        <ul className="workers">
          {pool.workers.map((worker) => (
            <WorkerRow key={worker.id} worker={worker} now={now} />
          ))}
        </ul>
      )}
      <h3>Work of the last {minutes} minutes</h3>
      {shares.length === 0 ? (
        <p className="soft">None.</p>
      ) : (
        <ul className="shares">
          {shares.map((bar) => (
            <li key={bar.name}>
              <span>{bar.name}</span>
              <span className="share">
                <span
                  className={bar.own ? "own" : "others"}
                  style={{ inlineSize: `${bar.share * 100}%` }}
                />
              </span>
              <span className="soft">{bar.text}</span>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function WorkerRow({ worker, now }: { worker: ShownWorker; now: number }) {
  const state = stateOf(worker);
  return (
    <li>
      <span className={`state ${state.tone}`}>
        <Mark tone={state.tone} />
        {state.text}
      </span>
      <span className="soft caption">
        <code title={worker.id}>{worker.id.slice(0, 8)}</code>
        {worker.host !== null && ` on ${worker.host} (${worker.pid})`} · {sinceOf(worker, now)} ·{" "}
        {worker.runs} {worker.runs === 1 ? "run" : "runs"}
        {worker.restoring > 0 && `, ${worker.restoring} of them being restored`}
      </span>
      <ul>
        {worker.models.map((model) => (
          <li key={model.name}>
            <strong>{model.name}</strong>{" "}
            {model.not_loaded !== null ? (
              <span className="bad">not loaded: {model.not_loaded}</span>
            ) : (
              <span className="soft">
                {model.slots === null
                  ? "slots n/a"
                  : `${model.runs ?? 0} runs, ${model.slots} slots`}
                {" · "}
                {model.sampling === null ? "sampling n/a" : `${model.sampling} samples at work`}
                {" · "}
                {model.memory_bytes === null
                  ? "memory n/a"
                  : `${bytes(model.memory_bytes)} of adapters and caches`}
              </span>
            )}
          </li>
        ))}
      </ul>
    </li>
  );
}
