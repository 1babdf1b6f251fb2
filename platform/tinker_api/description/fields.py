"""What the fields of the wire protocol's bodies and answers mean."""

from __future__ import annotations

from checkpoints.services import MAX_TTL_S, MIN_TTL_S
from core import ids
from operations import bodies, results
from tinker_api import schemas
from tinker_api.description import answers, listings
from tinker_api.views import recordings

# A name that means the same wherever it stands
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

_NULL = "Null: other forms of this request use it."

FIELDS: dict[type, dict[str, str]] = {
    answers.Health: {"status": "Always `ok`."},
    answers.TelemetryTaken: {"status": "Always `accepted`."},
    answers.ClientConfig: {
        "pjwt_auth_enabled": "Clients may exchange their key for short-lived tokens.",
        "credential_default_source": "What a client that was given no credential asks for.",
        "parallel_fwdbwd_chunks": "Send the chunks of a batch side by side.",
        "proto_compress_fwdbwd": "Compress batches with zstd.",
        "fwdbwd_max_chunk_len": "Datums a chunk of a batch may have.",
        "fwdbwd_max_chunk_bytes_count": "Bytes a chunk of a batch may have.",
        "sample_use_retrieve_futures": "Wait for all samples of a session with one poll.",
        "sample_join_sampling_session": "Ask for a number of one's own on a shared sampler.",
        "custom_loss_server_side": "Always false: custom losses are computed by the client.",
        "proto_write_fwdbwd": "Send batches as protobuf.",
        "fwd_via_fwdbwd": "Ask `forward_backward` for passes without gradients, too.",
        "create_model_via_load_weights": "Make runs from checkpoints with `load_weights`.",
    },
    answers.DynamicConfig: {
        "refresh_interval_sec": "When to ask again.",
        "sample_cancel_enabled": "Tell the server of samples that nobody waits for any more.",
        "sample_cancel_max_batch_size": "How many to tell of at once.",
    },
    answers.OfferedModel: {
        "trainable": "Whether runs can be made on it.",
        "sampleable": "Whether it can be sampled from as it is.",
    },
    answers.Capabilities: {"supported_models": "The base models on offer."},
    answers.Token: {"jwt": "Send it instead of the key. It lasts 15 minutes."},
    answers.KeyTeam: {"name": "The team's name."},
    answers.KeyUser: {"email": "Always empty."},
    answers.KeyDetails: {"org_details": "The team.", "user_details": "Nobody."},
    answers.Key: {
        "key_id": "The key's number.",
        "name": "What the key is called.",
        "note": "Always empty.",
        "details": "Whose key it is.",
    },
    answers.SampleFuture: {
        "sample_sequence_ids": "Name each sequence, so that training data can say what it is from."
    },
    answers.Waiting: {
        "queue_state": "`active`: workers are at it; `paused_capacity`: no worker serves the model "
        "at the moment, or a request before it has not come; `paused_rate_limit`: others come "
        "first.",
        "queue_state_reason": "The same in words.",
    },
    answers.Failure: {
        "error": "What went wrong, and what is allowed.",
        "category": "Whose fault it is.",
    },
    results.StepDone: {"metrics": "`name:reduction` to number."},
    results.WeightsLoaded: {"path": "What was loaded."},
    results.WeightsSaved: {"path": "The checkpoint's `tinker://` path."},
    results.ExternalSaved: {"path": "The checkpoint's `tinker://` path."},
    results.SamplerSaved: {
        "path": "The checkpoint's `tinker://` path; null when an ephemeral sampler was asked for.",
        "sampling_session_id": "The ephemeral sampler's id.",
    },
    answers.ResultSize: {
        "status": "Always `complete_metadata`.",
        "response_payload_size": "The result's size in bytes.",
    },
    answers.OldPassResult: {
        "loss_fn_output_type": "What kind of output it is.",
        "loss_fn_outputs": "For each datum its tensors by name, e.g. `logprobs`.",
        "metrics": "`name:reduction` to number; null: not finite.",
    },
    answers.OldSequence: {
        "stop_reason": "Why it ended.",
        "logprobs": "The log-probability of each token; null: not finite.",
        "topk_logprobs": "The likeliest tokens at each place, with their log-probabilities.",
    },
    answers.OldAltTokens: {"tokens": "The tokens.", "logprobs": "Their log-probabilities."},
    answers.OldSampleResult: {
        "sequences": "The samples.",
        "prompt_logprobs": "The log-probability of each token of the prompt; null: none.",
        "topk_prompt_logprobs": "The likeliest tokens at each place of the prompt.",
        "target_prompt_logprobs": "The log-probabilities of the tokens asked for.",
        "prompt_alt_tokens": "The tokens drawn.",
    },
    answers.EndedSample: {
        "state": "How it ended.",
        "response_payload_uncompressed_size": "The result's size in bytes.",
    },
    answers.Completions: {
        "completions": "Which samples; `retrieve_future` gives each result.",
        "cursor": "Send it as `prev_cursor` for those that end later.",
        "queue_state": "Only where nothing ends because no worker serves the model.",
        "queue_state_reason": "The same in words.",
    },
    answers.Cancelled: {"cancelled": "False: it had ended already, or is not to be given up."},
    answers.Withdrawn: {"standing": "Numbers whose requests had come and may have been begun."},
    answers.Joined: {"client_counter": "The number, from 1."},
    answers.OptimizerFamily: {"type": "Always `adamw`."},
    answers.ModelData: {"arch": "The architecture."},
    answers.RunInfo: {"model_data": "The base model."},
    answers.Sampler: {"sampler_id": "The sampler's id."},
    answers.Tokenizer: {"files": "The text of each file, by its name."},
    listings.Checkpoints: {"checkpoints": "The checkpoints."},
    listings.TrainingRun: {
        "training_run_id": "The run's id.",
        "last_checkpoint": "The newest with the optimizer's state.",
        "last_sampler_checkpoint": "The newest for sampling.",
    },
    listings.TrainingRuns: {"training_runs": "The runs."},
    listings.Sessions: {"sessions": "Their ids."},
    listings.Session: {
        "training_run_ids": "The runs made in it.",
        "sampler_ids": "The samplers made in it.",
    },
    listings.SessionReason: {
        "type": "`success`, `errored`, `interrupted` or `training_run`.",
        "training_run_id": "The run whose failure ended the session.",
    },
    listings.SessionStatus: {
        "type": "`active`, or how it ended.",
        "category": "Whose fault a failure was.",
        "message": "The failure in words.",
    },
    listings.FoundSession: {
        "checkpoints_count": "Checkpoints of its runs.",
        "checkpoint_storage_bytes": "What they take.",
    },
    listings.FoundSessions: {
        "sessions": "Those that fit.",
        "next_cursor": "Send it as `cursor` for the next page; missing on the last.",
    },
    listings.TraceLink: {"status": "Always `ready`: a trace is written while it is downloaded."},
    listings.AuditEntry: {
        "timestamp": "When it happened.",
        "event": "What happened, e.g. `checkpoint_published`.",
        "event_details": "To what and by which key, and what else is known.",
        "purpose": "What it was done for.",
    },
    listings.AuditLog: {"entries": "What happened, in order."},
    listings.UsedWhat: {
        "type": "The kind of use.",
        "token_count": "Tokens.",
        "cached": "Whether the prompt was known already.",
        "count": "Checkpoints.",
        "gigabyte_hours": "Gigabytes of 1,000,000,000 bytes, times the hours that checkpoints took "
        "them; of the hour that is now, so far.",
        "free": "False: no storage is free.",
    },
    listings.UsageEvent: {
        "bucket_start": "The hour's beginning.",
        "bucket_end": "The hour's end.",
        "user_id": "The team.",
        "session_id": "The session that used it; null for storage.",
        "estimated_cost_usd": "Null when the catalog had no price, as for storage.",
        "effective_rate_usd_per_million_tokens": "The price at the time of use.",
        "event_info": "What was used.",
    },
    listings.Usage: {
        "data": "A row for each hour, session and kind; of storage for each hour, project and base "
        "model.",
        "sessions": "The sessions that the rows speak of, by their ids.",
    },
    listings.StoredCheckpoints: {
        "org_user_urn": "The team.",
        "checkpoint_count": "How many there are.",
        "size_gigabytes": "The same in gigabytes of 1,000,000,000 bytes.",
    },
    listings.CheckpointStorage: {"data": "A row for each project."},
    listings.Recorded: {
        "recorded": "Rows; one that was there already counts again.",
        "escaped": "Places of rows with NUL characters, which are kept as `\\u0000`; if there are.",
        "detail": "The same in words.",
    },
    listings.RecordedMetrics: {
        "metrics": "The numbers.",
        "cursor": "Send it as `after` for those that come later.",
    },
    listings.RecordedRollouts: {"rollouts": "The episodes."},
    schemas.CreateSession: {"tags": "Words to find the session by."},
    schemas.FinishReason: {"type": "`success`, `errored` or `interrupted`."},
    bodies.LoraConfig: {
        "rank": "The adapter's rank; the model on offer says how large it may be.",
        "seed": "The same seed gives the same first weights; null: any.",
    },
    bodies.OptimizerConfig: {"type": "`adamw`, the only family offered."},
    bodies.CreateFromCheckpoint: {
        "path": "The `tinker://` path of training weights.",
        "optimizer": "Whether the optimizer's state comes along.",
        "base_model": "Checked against the checkpoint's, if given.",
        "model_id": _NULL,
        "seq_id": _NULL,
    },
    schemas.CreateSamplingSession: {
        "sampling_session_seq_id": "The sampler's number in its session; sent again, it gives the "
        "same sampler.",
        "base_model": "The base model's name; needed when there is no `model_path`.",
    },
    schemas.Withdraw: {
        "first": "The first number.",
        "last": "The last number.",
        "reason": "Why, for whoever asks for their results.",
    },
    schemas.RetrieveFuture: {
        "allow_metadata_only": "Whether a large result may be announced by its size first.",
    },
    schemas.FuturesTarget: {
        "type": "`sampling_session`.",
        "cloned_sampler_id": "The client's own number on a shared sampler.",
    },
    schemas.RetrieveFutures: {
        "target": "Whose samples are waited for.",
        "prev_cursor": "`cursor` of the answer before; 0 unless given.",
        "timeout": "How many seconds to wait at most.",
        "retrieved_request_ids": "Samples whose results were fetched: they are not listed again.",
    },
    schemas.CopyWeights: {
        "source_path": "The `tinker://` path of what to copy.",
        "destination_project_id": f"The project that the copy is counted to: {ids.PROJECT_FORM}.",
        "session_id": "Null: a copy gets a session of its own.",
        "model_seq_id": "Null: a copy gets a run of its own.",
    },
    schemas.SearchOwner: {
        "type": "`own` and `accessible`: the team's; `user`: those named.",
        "owner_urns": "Teams, as `owner` shows them.",
    },
    schemas.StatusQuery: {
        "type": "How it stands.",
        "reasons": "Only those that ended so.",
    },
    schemas.SearchSessions: {
        "session_id": "Only this session.",
        "project_ids": "Only sessions of these projects.",
        "user_metadata": "Only sessions that hold all of these.",
        "display_name": "Only sessions whose name holds this.",
        "owner": "Whose sessions.",
        "statuses": "Only sessions that stand in one of these ways.",
        "cursor": "`next_cursor` of the page before.",
    },
    recordings.Metrics: {"metrics": "The numbers."},
    recordings.Rollouts: {"rollouts": "The episodes."},
    bodies.OptimStepBody: {
        "optimizer_params": "Parameters of other optimizers, which are refused by name.",
    },
    bodies.AdamParams: {
        "learning_rate": "The step's size.",
        "beta1": "How long the mean of the gradient lasts.",
        "beta2": "How long the mean of its square lasts.",
        "eps": "Added to the denominator.",
        "weight_decay": "Decoupled decay, times the learning rate.",
        "grad_clip_norm": "Clip the gradient to this norm; 0: do not.",
    },
    bodies.SaveWeightsBody: {
        "path": "The checkpoint's name.",
        "overwrite": "Whether a checkpoint of this name may be replaced.",
    },
    bodies.LoadWeightsBody: {
        "path": "The `tinker://` path of training weights.",
        "optimizer": "Whether the optimizer's state is loaded; otherwise it starts anew.",
        "session_id": _NULL,
        "model_seq_id": _NULL,
    },
    bodies.SaveForSamplerBody: {
        "path": "The checkpoint's name; null: make an ephemeral sampler.",
        "kind": "`snapshot`; an ephemeral sampler may also be `inflight`: its weights follow the "
        "run's later saves.",
        "sampling_session_seq_id": "The ephemeral sampler's number in the session.",
    },
    bodies.SaveExternalBody: {
        "path": "The checkpoint's name.",
        "age_encryption_recipients": "Encrypt the files with age for these public keys, 1 to 10: "
        "`age1…`, `ssh-ed25519 …` or `ssh-rsa …`. They then have `.age` after their names, and "
        "this server cannot read them.",
    },
    bodies.TensorData: {
        "data": "The numbers, row by row; of a sparse tensor only those listed.",
        "dtype": "What they are.",
        "shape": "One dimension unless given.",
        "sparse_crow_indices": "Where each row begins in `data`, and its end.",
        "sparse_col_indices": "The column of each number.",
    },
    bodies.OldDatum: {
        "model_input": "The tokens.",
        "loss_fn_inputs": "Tensors by the names that the loss knows, e.g. `target_tokens`.",
    },
    bodies.OldPassInput: {
        "data": "The batch.",
        "loss_fn": "The loss's name, e.g. `cross_entropy`.",
        "loss_fn_config": "The loss's settings.",
    },
    bodies.OldPassBody: {
        "forward_input": "The batch, if there is to be no gradient.",
        "forward_backward_input": "The batch, if its gradient is to be added.",
    },
    bodies.Chunk: {
        "type": "`encoded_text`, the only type offered.",
        "tokens": "The tokens.",
    },
    bodies.Prompt: {"chunks": "What the prompt is put together from."},
    bodies.SamplingParams: {
        "max_tokens": "How many to sample; null: as many as fit.",
        "seed": "The same seed gives the same samples; null: any.",
        "stop": "Stop at one of these texts or tokens; null: at the model's end tokens, `[]`: "
        "nowhere.",
        "temperature": "1 unless given. Below 0.00001: the likeliest token, and the model's own "
        "logprobs.",
        "top_k": "Draw from the k likeliest tokens; -1: from all.",
        "top_p": "Draw from the likeliest tokens that have this share together.",
    },
    bodies.SampleBody: {
        "prompt": "What to continue.",
        "sampling_params": "How to sample.",
        "num_samples": "How many sequences; 1 unless given.",
        "prompt_logprobs": "Score the prompt's own tokens, too.",
        "topk_prompt_logprobs": "The k likeliest tokens at every place of the prompt.",
        "topk_sample_logprobs": "The k likeliest tokens at every sampled place.",
        "prompt_alt_tokens_k": "Draw k other tokens at every place of the prompt.",
        "record_stability_info": "Keep the sampled logprobs for losses that ask for them.",
        "target_prompt_logprobs": "Score these tokens at every place of the prompt.",
        "prompt_logprobs_last_n": "Score only the prompt's last n places.",
        "report_tokens": "Announce tokens as they are sampled.",
    },
}
