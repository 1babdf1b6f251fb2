/// The checkpoints of one run.
import { useState } from "react";
import { api, type RunDetail, take } from "../../api/client";
import { paceOf, useLive } from "../../api/live";
import { Failed, Loading } from "../../components/notes";
import { CheckpointBoard } from "./board";
import { Views } from "./views";

const PAGE = 50;
const MOST = 200;

export default function RunCheckpoints({ run }: { run: RunDetail }) {
  const [limit, setLimit] = useState(PAGE);
  const found = useLive({
    key: ["checkpoints", run.id, limit],
    ask: () =>
      take(
        api.GET("/api/console/runs/{run_id}/checkpoints", {
          params: { path: { run_id: run.id }, query: { limit } },
        }),
      ),
    everyMs: paceOf(run.state),
  });
  if (found.error && !found.data)
    return <Failed error={found.error} retry={() => found.refetch()} />;
  if (!found.data) return <Loading what="checkpoints" />;
  const { checkpoints, total } = found.data;
  return (
    <Views of={{ run: run.id }}>
      {!total && <HowToSave />}
      <CheckpointBoard rows={checkpoints} team={run.team} run={run.id} />
      {total > checkpoints.length && limit < MOST && (
        <p className="more">
          <button type="button" onClick={() => setLimit(MOST)}>
            Show more of {total}
          </button>
        </p>
      )}
    </Views>
  );
}

function HowToSave() {
  return (
    <div className="card hint-card">
      <h2>No checkpoints</h2>
      <p>Two lines save this run's weights, to train on and to sample from:</p>
      <pre>
        <code>
          {'training.save_state("step-100")\ntraining.save_weights_for_sampler("step-100")'}
        </code>
      </pre>
    </div>
  );
}
