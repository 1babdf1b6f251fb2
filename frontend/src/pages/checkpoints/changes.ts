/// What is done to checkpoints: asked of the server, then all that shows them is asked for again.
import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { api, take } from "../../api/client";
import { bytes } from "../../lib/format";

export type Action = "publish" | "unpublish" | "ttl" | "delete";
export type Again = "restore" | "purge";

/** What became of it, in words; `undo` has the numbers of what can be brought back. */
export interface Told {
  text: string;
  refused: string[];
  undo: number[];
}

const WORDS: Record<Action | Again, string> = {
  publish: "Published",
  unpublish: "Unpublished",
  ttl: "Changed how long to keep",
  delete: "Deleted",
  restore: "Brought back",
  purge: "Gave up",
};
/** The server takes no more in one request. */
export const MOST_AT_ONCE = 200;

export function useChanges() {
  const queries = useQueryClient();
  const [told, tell] = useState<Told | null>(null);
  const [busy, setBusy] = useState(false);
  const running = useRef(false);

  const attempt = async (what: () => Promise<Told | null>) => {
    // a second press, before the first is drawn as under way, would only be refused
    if (running.current) return;
    running.current = true;
    setBusy(true);
    try {
      tell(await what());
    } catch (error) {
      tell({ text: "", refused: [error instanceof Error ? error.message : `${error}`], undo: [] });
    } finally {
      running.current = false;
      setBusy(false);
      for (const word of ["checkpoints", "deleted"]) {
        void queries.invalidateQueries({ queryKey: [word] });
      }
    }
  };
  const change = (action: Action, paths: string[], ttlSeconds?: number | null) =>
    attempt(async () => {
      const ttl = ttlSeconds !== undefined && { ttl_seconds: ttlSeconds };
      const done = await inParts(paths, (some) =>
        take(
          api.POST("/api/console/checkpoints/changes", {
            body: { action, paths: some, ...ttl } as never,
          }),
        ),
      );
      const undo = done.done.flatMap((one) => one.deleted_id ?? []);
      return inWords(action, done, undo);
    });
  const again = (action: Again, ids: number[]) =>
    attempt(async () => {
      const done = await inParts(ids, (some) =>
        take(api.POST("/api/console/checkpoints/deleted", { body: { action, ids: some } })),
      );
      return inWords(action, done, []);
    });
  const download = (path: string) =>
    attempt(async () => {
      const found = await take(api.POST("/api/console/checkpoints/archives", { body: { path } }));
      const link = document.createElement("a");
      link.href = found.url;
      link.download = found.name;
      link.click();
      const sealed = found.encrypted ? " It is encrypted: your age key opens it." : "";
      return { text: `Downloading ${found.name}.${sealed}`, refused: [], undo: [] };
    });
  return { told, tell, busy, change, again, download };
}

export type Changes = ReturnType<typeof useChanges>;

interface Done<T = unknown> {
  done: T[];
  refused: { detail: string }[];
  size_bytes: number;
}

/** As many requests as it takes. One that fails ends it, and what was done before is told. */
async function inParts<T, D>(all: T[], ask: (some: T[]) => Promise<Done<D>>): Promise<Done<D>> {
  const told: Done<D> = { done: [], refused: [], size_bytes: 0 };
  for (let at = 0; at < all.length; at += MOST_AT_ONCE) {
    try {
      const part = await ask(all.slice(at, at + MOST_AT_ONCE));
      told.done.push(...part.done);
      told.refused.push(...part.refused);
      told.size_bytes += part.size_bytes;
    } catch (error) {
      if (!told.done.length) throw error;
      told.refused.push({ detail: error instanceof Error ? error.message : `${error}` });
      break;
    }
  }
  return told;
}

/** What was done in a sentence. */
export function inWords(action: Action | Again, done: Done, undo: number[]): Told {
  const freed = action === "delete" ? `: frees ${bytes(done.size_bytes)} in 24 hours` : "";
  const number = done.done.length === 1 ? "1 checkpoint" : `${done.done.length} checkpoints`;
  const text = done.done.length ? `${WORDS[action]} ${number}${freed}.` : "";
  return { text, refused: done.refused.map((one) => one.detail), undo };
}
