/// What can be done with the chosen checkpoints together, and what became of it.
import * as Menu from "@radix-ui/react-dropdown-menu";
import type { Checkpoint } from "../../api/client";
import { bytes } from "../../lib/format";
import type { Changes } from "./changes";
import { TIMES } from "./menu";
import { beyondBest, KEPT_BEST, sizeOf } from "./selection";

interface BarProps {
  rows: Checkpoint[];
  chosen: ReadonlySet<string>;
  choose: (paths: string[]) => void;
  changes: Changes;
}

export function SelectionBar({ rows, chosen, choose, changes }: BarProps) {
  const paths = [...chosen];
  const spare = beyondBest(rows);
  const act = (...given: Parameters<Changes["change"]>) => {
    void changes.change(...given);
    if (given[0] === "delete") choose([]);
  };
  return (
    <div className="selection" role="toolbar" aria-label="Chosen checkpoints">
      <label className="check">
        <input
          type="checkbox"
          checked={rows.length > 0 && chosen.size === rows.length}
          onChange={(event) => choose(event.target.checked ? rows.map((one) => one.path) : [])}
        />
        {chosen.size ? `${chosen.size} chosen` : "Choose all"}
      </label>
      <button
        type="button"
        disabled={!spare.length}
        title={
          spare.length
            ? `Choose all but the best ${KEPT_BEST} by the headline metric and the last one`
            : "Nothing to choose: the score of a checkpoint is what was recorded before its save"
        }
        onClick={() => choose(spare)}
      >
        Keep best {KEPT_BEST} + last
      </button>
      {chosen.size > 0 && (
        <>
          <button type="button" disabled={changes.busy} onClick={() => act("publish", paths)}>
            Publish
          </button>
          <button type="button" disabled={changes.busy} onClick={() => act("unpublish", paths)}>
            Unpublish
          </button>
          <Menu.Root modal={false}>
            <Menu.Trigger disabled={changes.busy}>Keep for ▾</Menu.Trigger>
            <Menu.Portal>
              <Menu.Content className="menu" align="start" sideOffset={4} collisionPadding={8}>
                {TIMES.map(({ text, seconds }) => (
                  <Menu.Item key={text} onSelect={() => act("ttl", paths, seconds)}>
                    {text}
                  </Menu.Item>
                ))}
              </Menu.Content>
            </Menu.Portal>
          </Menu.Root>
          <button
            type="button"
            className="danger"
            disabled={changes.busy}
            onClick={() => act("delete", paths)}
          >
            Delete {chosen.size}: frees {bytes(sizeOf(rows, chosen))}
          </button>
        </>
      )}
    </div>
  );
}

/** What became of it, with the way back. */
export function Notice({ changes }: { changes: Changes }) {
  const { told } = changes;
  return (
    <div className="told-of" role="status" aria-live="polite">
      {told && (
        <p className={told.refused.length ? "note failed" : "note done"}>
          <span>
            {told.text} {told.refused.slice(0, 3).join("; ")}
            {told.refused.length > 3 && ` and ${told.refused.length - 3} more refusals`}
          </span>
          {told.undo.length > 0 && (
            <button
              type="button"
              disabled={changes.busy}
              onClick={() => changes.again("restore", told.undo)}
            >
              Undo
            </button>
          )}
          <button type="button" className="quiet" onClick={() => changes.tell(null)}>
            Dismiss
          </button>
        </p>
      )}
    </div>
  );
}
