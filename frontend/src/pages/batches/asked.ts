/// What the page of batches asks for: steps, pages of a step's datums, one datum.
import { keepPreviousData, useQueries, useQuery } from "@tanstack/react-query";
import { api, type DatumRow, type RunDetail, take } from "../../api/client";
import { pace, paceOf, SELDOM_MS, useLive } from "../../api/live";

export type Order = "place" | "loss" | "prompt";
export const ORDERS: Order[] = ["place", "loss", "prompt"];

const STEPS = 300;
export const PAGE = 100;

/** The newest steps, and the one that is looked at, however old it is. */
export function useSteps(run: RunDetail, step: number | null) {
  const path = { run_id: run.id };
  const ask = (query: { before?: number; limit: number }) => () =>
    take(api.GET("/api/console/runs/{run_id}/batches", { params: { path, query } }));
  const newest = useLive({
    key: ["batches", run.id],
    ask: ask({ limit: STEPS }),
    everyMs: paceOf(run.state),
  });
  const steps = newest.data?.steps ?? [];
  const isOld = step !== null && steps.length === STEPS && !steps.some((one) => one.step === step);
  const old = useLive({
    key: ["batches", run.id, step],
    ask: ask({ before: (step ?? 0) + 1, limit: 1 }),
    enabled: isOld,
  });
  return {
    newest,
    steps,
    old: isOld ? old.data?.steps.find((one) => one.step === step) : undefined,
  };
}

/** Pages of a step's datums; those of a step that is not done may change. */
export function usePages(
  run: RunDetail,
  step: number,
  order: Order,
  pages: number[],
  open: boolean,
) {
  return useQueries({
    queries: pages.map((page) => ({
      queryKey: [open ? "batch" : "done batch", run.id, step, order, page],
      queryFn: () =>
        take(
          api.GET("/api/console/runs/{run_id}/batches/{step}", {
            params: {
              path: { run_id: run.id, step },
              query: { order, offset: page * PAGE, limit: PAGE },
            },
          }),
        ),
      staleTime: SELDOM_MS,
      refetchInterval: open ? () => pace(paceOf(run.state)) : (false as const),
    })),
    combine: (found) => {
      const rows = new Map<number, DatumRow>();
      found.forEach((one, place) => {
        one.data?.batch.datums.forEach((row, index) => {
          rows.set((pages[place] ?? 0) * PAGE + index, row);
        });
      });
      return {
        batch: found.find((one) => one.data)?.data?.batch,
        rows,
        error: found.find((one) => one.error)?.error ?? null,
        retry: () => found.forEach((one) => void (one.error && one.refetch())),
      };
    },
  });
}

/** One datum, position by position. */
export function useDatum(run: RunDetail, datum: number | null) {
  return useQuery({
    queryKey: ["datum", run.id, datum],
    queryFn: () =>
      take(
        api.GET("/api/console/runs/{run_id}/datums/{datum_id}", {
          params: { path: { run_id: run.id, datum_id: datum ?? 0 } },
        }),
      ),
    enabled: datum !== null,
    staleTime: 60_000,
    placeholderData: keepPreviousData,
  });
}
