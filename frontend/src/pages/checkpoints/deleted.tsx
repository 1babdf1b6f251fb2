/// What was deleted and can still be brought back.
import { api, take } from "../../api/client";
import { useLive } from "../../api/live";
import { Ago } from "../../components/controls";
import { Failed } from "../../components/notes";
import { ago, bytes, shortId } from "../../lib/format";
import type { Changes } from "./changes";

interface DeletedProps {
  /** Of one run, or of a team. */
  of: { run: string } | { team: string };
  changes: Changes;
  mayChange: boolean;
}

export function DeletedCheckpoints({ of, changes, mayChange }: DeletedProps) {
  const found = useLive({
    key: ["deleted", of],
    ask: () => take(api.GET("/api/console/checkpoints/deleted", { params: { query: of } })),
  });
  if (found.error && !found.data)
    return <Failed error={found.error} retry={() => found.refetch()} />;
  if (!found.data?.total) return null;
  const { deleted, total } = found.data;
  return (
    <section className="deleted" aria-labelledby="deleted">
      <h2 id="deleted">Deleted, and can be brought back</h2>
      <p className="soft">
        {total > deleted.length && `The last ${deleted.length} of ${total}. `}
        Nobody can load, sample or download these. Their files are kept for 24 hours, at no cost.
      </p>
      <ul className="card">
        {deleted.map((one) => (
          <li key={one.id}>
            <span>
              <strong>{one.name}</strong>{" "}
              <span className="soft">
                {one.segment} · {"team" in of && `${shortId(one.run_id)} · `}
                {bytes(one.size_bytes)} · deleted <Ago at={one.deleted_at} /> · gone for good{" "}
                {ago(one.until)}
              </span>
            </span>
            {mayChange && (
              <span className="ways-back">
                <button
                  type="button"
                  disabled={changes.busy}
                  aria-label={`Bring back ${one.name}, ${one.segment}`}
                  onClick={() => changes.again("restore", [one.id])}
                >
                  Bring back
                </button>
                <button
                  type="button"
                  className="quiet"
                  disabled={changes.busy}
                  aria-label={`Give up for good ${one.name}, ${one.segment}`}
                  onClick={() => changes.again("purge", [one.id])}
                >
                  Give up for good
                </button>
              </span>
            )}
          </li>
        ))}
      </ul>
    </section>
  );
}
