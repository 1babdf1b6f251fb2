/// Asking for curves: the server smooths over all points and cuts them into buckets.
import { api, take } from "../../api/client";
import { useLive } from "../../api/live";
import type { Axis } from "../../components/chart";

export interface Wanted {
  runId: string;
  keys: string[];
  axis: Axis;
  smoothing: number;
  from: number | null;
  to: number | null;
  buckets: number;
  everyMs: number;
  enabled?: boolean;
}

export function useCurves(wanted: Wanted) {
  const { runId, keys, axis, smoothing, from, to, buckets, everyMs, enabled = true } = wanted;
  return useLive({
    key: ["series", runId, keys, axis, smoothing, from, to, buckets],
    ask: async () => {
      const query = {
        key: keys,
        x: axis,
        buckets,
        ...(smoothing > 0 && { smoothing }),
        ...(from !== null && { from }),
        ...(to !== null && { to }),
      };
      const answer = await take(
        api.GET("/api/console/runs/{run_id}/series", {
          params: { path: { run_id: runId }, query },
        }),
      );
      return answer.series;
    },
    everyMs,
    enabled: enabled && keys.length > 0,
  });
}
