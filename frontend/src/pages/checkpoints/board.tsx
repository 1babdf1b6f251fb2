/// Checkpoints with all that can be done to them: the bar, the table, and what can be brought back.
import { useState } from "react";
import type { Checkpoint } from "../../api/client";
import { useMe } from "../../app";
import { useKeys } from "../../lib/keys";
import { Notice, SelectionBar } from "./bar";
import { useChanges } from "./changes";
import { DeletedCheckpoints } from "./deleted";
import { CheckpointTable } from "./table";

interface BoardProps {
  rows: Checkpoint[];
  /** The team's slug: what may be done depends on the role there. */
  team: string;
  run?: string;
}

export function CheckpointBoard({ rows, team, run }: BoardProps) {
  const me = useMe();
  const role = me.teams.find((one) => one.slug === team)?.role;
  const mayChange = role !== undefined && role !== "viewer";
  const changes = useChanges();
  const [wanted, setWanted] = useState<ReadonlySet<string>>(new Set());
  const [at, setAt] = useState({ path: "", place: -1 });
  // what is gone is chosen no more
  const chosen = new Set(rows.filter((one) => wanted.has(one.path)).map((one) => one.path));
  const choose = (paths: string[]) => setWanted(new Set(paths));
  const toggle = (path: string) =>
    choose(chosen.has(path) ? [...chosen].filter((one) => one !== path) : [...chosen, path]);
  // the keys speak of a row, wherever others that come and go move it; once it is gone, of the next
  const found = rows.findIndex((one) => one.path === at.path);
  const place = found < 0 ? Math.min(at.place, rows.length - 1) : found;
  const move = (to: number) => setAt({ path: rows[to]?.path ?? "", place: to });
  const current = rows[place];
  const those = () => (chosen.size ? [...chosen] : current ? [current.path] : []);
  useKeys({
    j: () => move(Math.min(place + 1, rows.length - 1)),
    k: () => move(Math.max(place - 1, 0)),
    ...(mayChange && {
      x: () => current && toggle(current.path),
      p: () => {
        const paths = those();
        if (!paths.length) return;
        const all = rows.filter((one) => paths.includes(one.path)).every((one) => one.public);
        void changes.change(all ? "unpublish" : "publish", paths);
      },
      d: () => {
        const paths = those();
        if (paths.length) void changes.change("delete", paths);
      },
    }),
  });
  return (
    <>
      {mayChange && rows.length > 0 && (
        <SelectionBar rows={rows} chosen={chosen} choose={choose} changes={changes} />
      )}
      <Notice changes={changes} />
      {rows.length > 0 && (
        <CheckpointTable
          rows={rows}
          ofRun={run !== undefined}
          place={place}
          chosen={chosen}
          toggle={mayChange ? toggle : undefined}
          changes={changes}
        />
      )}
      <DeletedCheckpoints of={run ? { run } : { team }} changes={changes} mayChange={mayChange} />
    </>
  );
}
