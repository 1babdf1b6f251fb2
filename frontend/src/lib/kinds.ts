/// What is counted in the ledger, in the words of pages.

export const KINDS: Record<string, string> = {
  train: "trained on",
  score: "scored",
  prefill: "read",
  prefill_cached: "read from the cache",
  sample: "sampled",
  checkpoint: "checkpoints",
};
