/// A run as tests want it.
import type { RunDetail } from "../api/client";

export function aRun(changes: Partial<RunDetail> = {}): RunDetail {
  return {
    id: "f4f63908-838a-48ea-9020-7452d4f75421:train:0",
    team: "team",
    name: "math",
    base_model: "tiny",
    rank: 8,
    created_at: "2026-01-01T11:00:00Z",
    moved_at: "2026-01-01T11:59:00Z",
    state: "training",
    ended_because: null,
    operations: 40,
    planned_steps: 40,
    session_id: "f4f63908-838a-48ea-9020-7452d4f75421",
    tags: [],
    step: 9,
    headline: { key: "reward", value: 0.5, first_value: 0.1, better: "up", spark: [0.1, 0.5] },
    usage: { kinds: [], tokens: 0, cost: null, partly: false },
    seed: 0,
    train_attn: true,
    train_mlp: true,
    train_unembed: true,
    loaded_from: null,
    user_metadata: {},
    session: null,
    metrics: [],
    counts: [],
    failures: [],
    unserved: null,
    first_operation_at: null,
    ...changes,
  };
}
