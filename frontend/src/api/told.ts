/// What is told over a line, turned into which of a page's data to ask for again.
import { type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import type { Me } from "./client";
import { type Frame, openLine } from "./line";

// a person may have so many lines open, in all tabs together, that this many a page are few
const MOST_TEAMS = 8;

/** The lines of what happens in a person's teams; of those beyond the first few, pages ask. */
export const toldOfTeams = ({ teams }: Me) =>
  teams.slice(0, MOST_TEAMS).map(({ slug }) => `team=${encodeURIComponent(slug)}`);

/** A page asks at most this often for what it was told of, however much happens. */
export const GATHER_MS = 500;

let lines = 0;

/** Whether pages are told what happens, so that asking is a precaution. */
export const isTold = () => lines > 0;

/** The first words of the keys that a frame makes old; `*` is everything. */
export function madeOld(frame: Frame): Set<string> {
  if (frame.afresh) return new Set(["*"]);
  const old = new Set<string>();
  const add = (...words: string[]) => words.forEach((word) => void old.add(word));
  for (const { kind } of frame.events ?? []) {
    const [about] = kind.split(".");
    if (about === "metrics") add("run", "runs", "series");
    else if (about === "rollouts") add("steps", "groups", "group");
    else if (about === "checkpoint")
      add("checkpoints", "deleted", "lineage", "run", "usage", "since");
    else if (about === "steps") add("run", "runs", "series", "batches", "batch");
    else if (about === "member" || about === "key") add("me");
    else add("run", "runs", "lineage", "since");
  }
  if (frame.runs?.length) add("run", "runs", "timeline");
  if (frame.workers?.length) add("cluster");
  return old;
}

/** Have a page's data asked for again whenever something happens to a run, or in teams. */
export function useTold(queries: string[]): void {
  const client = useQueryClient();
  const all = queries.join(" ");
  useEffect(() => {
    if (!all) return;
    const old = new Set<string>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const renew = () => {
      const words = new Set(old);
      const predicate = ({ queryKey }: { queryKey: QueryKey }) =>
        words.has("*") || words.has(String(queryKey[0]));
      // an answer that is on its way would be thrown away, and a slow server never be heard
      if (client.isFetching({ predicate })) {
        timer = setTimeout(renew, GATHER_MS);
        return;
      }
      timer = undefined;
      old.clear();
      void client.invalidateQueries({ predicate });
    };
    const ends = all.split(" ").map((query) => {
      let isOpen = false;
      const count = (open: boolean) => {
        if (open !== isOpen) lines += open ? 1 : -1;
        isOpen = open;
      };
      const end = openLine(query, {
        open: count,
        signedOut: () => void client.invalidateQueries({ queryKey: ["me"] }),
        frame: (frame) => {
          for (const word of madeOld(frame)) old.add(word);
          if (old.size) timer ??= setTimeout(renew, GATHER_MS);
        },
      });
      return () => {
        end();
        count(false);
      };
    });
    return () => {
      clearTimeout(timer);
      for (const end of ends) end();
    };
  }, [all, client]);
}
