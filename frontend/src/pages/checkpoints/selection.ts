/// Which checkpoints are chosen, and which may go when the best and the last are to stay.
import type { Checkpoint } from "../../api/client";

export const KEPT_BEST = 3;

/** Of each run and kind, all but the best few by the headline metric, and the last one saved. */
export function beyondBest(rows: Checkpoint[], best: number = KEPT_BEST): string[] {
  const kinds = new Map<string, Checkpoint[]>();
  for (const one of rows) {
    const kind = `${one.run_id} ${one.segment}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), one]);
  }
  return [...kinds.values()].flatMap((kind) => beyondBestOf(kind, best));
}

function beyondBestOf(rows: Checkpoint[], best: number): string[] {
  const last = rows.reduce((a, b) => (Date.parse(b.created_at) > Date.parse(a.created_at) ? b : a));
  // nobody can tell whether one without a score is good: it stays
  const scored = rows.filter((one) => one.score?.better);
  const sign = (one: Checkpoint) => (one.score?.better === "down" ? -1 : 1);
  const order = [...scored].sort(
    (a, b) =>
      sign(b) * (b.score?.value ?? 0) - sign(a) * (a.score?.value ?? 0) ||
      Date.parse(b.created_at) - Date.parse(a.created_at),
  );
  return order
    .slice(best)
    .filter((one) => one !== last)
    .map((one) => one.path);
}

/** How much room some of the rows take. */
export function sizeOf(rows: Checkpoint[], paths: ReadonlySet<string>): number {
  return rows.reduce((sum, one) => sum + (paths.has(one.path) ? one.size_bytes : 0), 0);
}

/** How a checkpoint is fetched with the command line. */
export function command(one: Checkpoint): string {
  return `tinsmith checkpoints download ${one.path} --output ${one.name}`;
}

/** Two lines of Python that go on with a checkpoint. */
export function lines(one: Checkpoint): string {
  const service = `service = tinsmith.ServiceClient(base_url="${window.location.origin}")`;
  if (one.segment === "weights") {
    return `${service}\ntraining = service.create_training_client_from_state_with_optimizer("${one.path}")`;
  }
  if (one.encrypted) {
    return `${service}\nurls = service.create_rest_client().get_external_weights_urls("${one.path}").result()`;
  }
  return `${service}\nsampler = service.create_sampling_client(model_path="${one.path}")`;
}
