"""What the description says in more than one place: of names, parts of paths, and refusals."""

from __future__ import annotations

from checkpoints.services import MAX_TTL_S, MIN_TTL_S
from core import ids
from operations import order
from operations.order import Place

WORDS = {
    "adam_params": "AdamW's parameters for this step.",
    "base_model": "The base model's name.",
    "checkpoint_id": "`<segment>/<name>`: the checkpoint's address within its run.",
    "checkpoint_type": "What the checkpoint is for.",
    "completion": "The episode's answer as text.",
    "completion_tokens": "The episode's answer in tokens.",
    "corrupted": "The run failed and cannot be trained on; its checkpoints are good.",
    "created_at": "When it was made.",
    "cursor": "Where the page stands.",
    "data": "Anything else that belongs to the episode.",
    "detail": "In words.",
    "display_name": "What people call it.",
    "expires": "When the addresses stop working.",
    "expires_at": "When the checkpoint is deleted; null: never.",
    "group": "Episodes of one prompt share a group.",
    "index": "The episode's place in its group.",
    "is_lora": "Always true.",
    "key": "The metric's name.",
    "last_created_at": "When the last session of the page was made.",
    "last_request_time": "When a program last asked something of the run.",
    "last_session_id": "The last session of the page.",
    "limit": "Rows a page.",
    "lora_config": "The adapter to train; it has to be given.",
    "lora_rank": "The adapter's rank.",
    "max_context_length": "Tokens that prompt and completion may have together.",
    "model_id": "The training run's id.",
    "model_name": "The base model's name.",
    "model_owner": "The team that the run belongs to.",
    "model_path": "The `tinker://` path of sampler weights.",
    "model_seq_id": "The run's number in its session, from 0; sent again, it gives the same run.",
    "offset": "Rows before the page.",
    "optimizer_config": "The optimizer family: `adamw`.",
    "owner": "The team that the session belongs to.",
    "project_id": "The project it is counted to, a label of the team's own: "
    f"{ids.PROJECT_FORM}; sessions without one count as `{ids.DEFAULT_PROJECT}`.",
    "prompt": "The prompt as text.",
    "prompt_tokens": "The prompt in tokens.",
    "public": "Whether every team may read it.",
    "reason": "Why it ended.",
    "request_id": "Names the operation.",
    "reward": "The episode's reward; `nan`, `inf` and `-inf` come as texts.",
    "sampling_session_id": "The sampler's id.",
    "sdk_version": "The client's release.",
    "seq_id": "The operation's number on its run or sampler. Operations are done in this order, "
    "and one that is sent again is done once.",
    "session_id": "The session's id.",
    "size_bytes": "The size of its files.",
    "status": "How it stands.",
    "step": "The training step.",
    "tags": "Words to find it by.",
    "time": "When it was kept.",
    "tokens": "The tokens.",
    "tinker_path": "The checkpoint's `tinker://` path.",
    "tokenizer_id": "The hub id that the tokenizer comes from, else the base model's name.",
    "total_count": "Rows there are.",
    "train_attn": "Whether attention layers are trained.",
    "train_mlp": "Whether MLP layers are trained.",
    "train_unembed": "Whether the output layer is trained.",
    "ttl_seconds": f"Delete the checkpoint after so many seconds, {MIN_TTL_S} to {MAX_TTL_S}; "
    "null: keep it.",
    "type": "The name of this message.",
    "url": "Where to get it; no key is asked for.",
    "urls": "Where to get each file, by its name; no key is asked for.",
    "user_metadata": "Names with texts that belong to whoever made it; other values become texts.",
    "user_name": "The team's name.",
    "value": "The number; `nan`, `inf` and `-inf` come as texts.",
    "weights_access_token": "A key that may read the checkpoint, if the caller's own may not.",
}

# Parts of paths
PARTS = {
    "session_id": "The session's id.",
    "sampler_id": "The sampler's id.",
    "run_id": "The training run's id, `<session>:train:<number>`.",
    "segment": "`weights`, `sampler_weights` or `external_weights`.",
    "name": "The checkpoint's, the file's or the base model's name; the latter may hold slashes.",
    "signed": "The signed part of an address that another route gave.",
}

FULL = "The request body is larger than the server takes."
ENDED = "The session has ended."
FAST = "Answers at once; `retrieve_future` gives the result."
PLACE = (
    f"A refusal's header `{order.HEADER}` says whether it `{Place.HELD}` the place of its `seq_id` "
    f"(later requests go on behind it) or left it `{Place.FREE}` for another request."
)
