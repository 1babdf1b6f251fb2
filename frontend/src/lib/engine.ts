/// What the platform captures of every run by itself: metrics named `engine/…`, and short names for them.

const PREFIX = "engine/";

const LABELS: Record<string, string> = {
  loss: "Loss a trained token",
  grad_norm: "Gradient norm",
  learning_rate: "Learning rate",
  datums: "Datums",
  tokens: "Tokens",
  trained_tokens: "Trained tokens",
  trained_share: "Trained share",
  seconds: "Seconds a step",
  tokens_per_second: "Tokens a second",
  kl_sample_train_v1: "KL sampler to run, v1",
  kl_sample_train_v2: "KL sampler to run, v2",
  entropy: "Entropy of the sampler",
  ratio_p50: "Ratio, median",
  ratio_p99: "Ratio, 99th percentile",
  clipped_share: "Clipped share",
  groups: "Groups",
  mixed_share: "Mixed groups",
  constant_share: "Datums without advantage",
  length_mean: "Sampled tokens a datum",
  length_max: "Sampled tokens, longest",
  pair_loss: "Loss a pair",
  accuracy: "Pairs told apart",
  margin: "Margin",
  chosen: "Chosen",
  rejected: "Rejected",
  loss_sum: "Loss, summed",
};

/** Whether the platform captures it, and no program records it. */
export const isOfEngine = (key: string) => key.startsWith(PREFIX);

/** What to call a metric where there is room for a few words. */
export function labelOf(key: string): string {
  return isOfEngine(key) ? (LABELS[key.slice(PREFIX.length)] ?? key) : key;
}

const PLACES = Object.keys(LABELS);

/** Where a captured metric stands among the others: what is asked first comes first. */
export function placeOfEngine(key: string): number {
  const place = PLACES.indexOf(key.slice(PREFIX.length));
  return isOfEngine(key) && place >= 0 ? place : PLACES.length;
}
