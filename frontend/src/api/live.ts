/// What is asked again by itself while a page is open: when the page is told that something happened
/// (told.ts), and now and then. Often only while nothing can be told.
import { keepPreviousData, type QueryKey, useQuery } from "@tanstack/react-query";
import { isTold } from "./told";

export const OFTEN_MS = 2_000;
export const SELDOM_MS = 15_000;

interface Asked<T> {
  key: QueryKey;
  ask: () => Promise<T>;
  /** How soon to ask again; by default seldom. */
  everyMs?: number | ((data: T | undefined) => number);
  enabled?: boolean;
}

/** Data that follows what the server knows; what was shown stays while new data comes. */
export function useLive<T>({ key, ask, everyMs = SELDOM_MS, enabled = true }: Asked<T>) {
  return useQuery<T>({
    queryKey: key,
    queryFn: ask,
    enabled,
    placeholderData: keepPreviousData,
    refetchInterval: (query) =>
      pace(typeof everyMs === "number" ? everyMs : everyMs(query.state.data)),
  });
}

/** How soon to ask again what would be asked that often if nothing were told. */
export const pace = (everyMs: number) => (isTold() ? Math.max(everyMs, SELDOM_MS) : everyMs);

/** How often what belongs to a run is asked for: often only while the run moves. */
export function paceOf(state: string | undefined): number {
  return state === "training" || state === "waiting" ? OFTEN_MS : SELDOM_MS;
}
