"""Typical mistakes of new users, and what the message of each must hold.

What a message says: what is wrong (in the names that the user wrote), where, and what to do next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import BatchEncoding

import tinsmith
from tinsmith import AdamParams, Datum, ModelInput, SamplingParams, TensorData

# What Python and its libraries say about their own insides
NEVER = (
    "msgspec",
    "struct`",
    "object has no attribute",
    "invalid literal",
    "NoneType",
    "unexpected keyword",
    "positional argument",
    "is not iterable",
    "not subscriptable",
    "is unsupported",
    "ScalarType",
    "Traceback",
    "object at 0x",
    "built-in operation",
    "Expected `",
)

TOKENS = [5, 6, 7, 8]
PROMPT = ModelInput.from_ints(TOKENS)
PARAMS = SamplingParams(max_tokens=2)
DATUM = Datum.from_tokens(TOKENS)


@dataclass(frozen=True)
class People:
    """What somebody who makes a mistake has at hand."""

    url: str
    base_model: str
    service: tinsmith.ServiceClient
    training: tinsmith.TrainingClient
    sampler: tinsmith.SamplingClient


@dataclass(frozen=True)
class Mistake:
    """One way to get it wrong.

    Attributes:
        says: what the message must hold: what, where, what next.
        accepted: it is none any more: this must work.
        needs_server: only a whole platform can tell.
    """

    name: str
    make: Callable[[People], Any]
    says: tuple[str, ...] = ()
    needs_server: bool = False
    accepted: bool = False

    def check(self, people: People) -> None:
        """Make the mistake and read what it says."""
        try:
            made = self.make(people)
        except Exception as error:
            if self.accepted:
                raise
            words = str(error)
        else:
            assert self.accepted, f"{self.name} passes as if it were right: {made!r}"
            return
        for part in self.says:
            assert part in words, words
        assert all(bad not in words for bad in NEVER), words
        assert len(words) < 700, words


def _encoding(batch: bool = False) -> BatchEncoding:
    row = torch.tensor(TOKENS)
    return BatchEncoding({"input_ids": row[None] if batch else TOKENS, "attention_mask": TOKENS})


def _closed(people: People) -> Any:
    service = tinsmith.ServiceClient(base_url=people.url, api_key="tml-x")
    service.close().result(10)
    return service.create_lora_training_client(people.base_model)


def _misspelt_checkpoint(people: People) -> Any:
    path = people.training.save_state("step-100").result(60).path
    return people.service.create_training_client_from_state(f"{path}0").result(60)


MISTAKES = (
    # ---- tokens
    Mistake(
        "text for tokens",
        lambda p: Datum.from_tokens("The tinsmith"),  # type: ignore[arg-type]
        ("tokens must be token ids, not text", "tokenizer.encode(text)"),
    ),
    Mistake(
        "text for a prompt",
        lambda p: p.sampler.sample("The tinsmith", 1, PARAMS),  # type: ignore[arg-type]
        ("prompt must be a ModelInput, not text", "ModelInput.from_ints(tokenizer.encode(text))"),
    ),
    Mistake(
        "a list of tokens for a prompt",
        lambda p: p.sampler.sample(TOKENS, 1, PARAMS),  # type: ignore[arg-type]
        ("prompt must be a ModelInput, not a list", "ModelInput.from_ints(tokens)"),
    ),
    Mistake(
        "a tensor of two dimensions for tokens",
        lambda p: ModelInput.from_ints(torch.tensor([TOKENS])),
        ("tokens must be one flat sequence", "(1, 4)", "tokens[0]"),
    ),
    Mistake(
        "a list of lists for tokens",
        lambda p: Datum.from_tokens([TOKENS]),  # type: ignore[list-item]
        ("tokens must be one flat list", "tokens[0]"),
    ),
    Mistake(
        "a tokenizer's whole output",
        lambda p: ModelInput.from_ints(_encoding()),  # type: ignore[arg-type]
        ("tokens must be token ids, not a BatchEncoding", "['input_ids']"),
    ),
    Mistake(
        "a tokenizer's whole batch",
        lambda p: Datum.from_tokens(_encoding(batch=True)),  # type: ignore[arg-type]
        ("not a BatchEncoding", "['input_ids'][0]"),
    ),
    Mistake(
        "floating point tokens",
        lambda p: ModelInput.from_ints(torch.tensor([1.0, 2.0])),
        ("tokens must be integers, not torch.float32",),
    ),
    Mistake(
        "tokens for a datum's input",
        lambda p: Datum(TOKENS, {"weights": [1.0] * 4}),  # type: ignore[arg-type]
        ("model_input must be a ModelInput, not a list", "ModelInput.from_ints(tokens)"),
    ),
    # ---- data
    Mistake(
        "one datum for a list",
        lambda p: p.training.forward_backward(DATUM, "cross_entropy"),  # type: ignore[arg-type]
        ("data must be a list of datums, not one Datum", "[datum]"),
    ),
    Mistake(
        "tokens for data",
        lambda p: p.training.forward_backward(TOKENS, "cross_entropy"),  # type: ignore[arg-type]
        ("data[0] must be a Datum, not an int", "Datum.from_tokens("),
    ),
    Mistake(
        "a function for the name of a loss",
        lambda p: p.training.forward_backward([DATUM], torch.nn.functional.cross_entropy),  # type: ignore[arg-type]
        ("loss_fn must be the name of a loss", "'cross_entropy'", "forward_backward_custom"),
    ),
    Mistake(
        "bfloat16 weights",
        lambda p: p.training.forward_backward(
            [Datum.from_tokens(TOKENS, weights=torch.ones(4, dtype=torch.bfloat16))],
            "cross_entropy",
        ).result(60),
        accepted=True,
    ),
    Mistake(
        "bfloat16 advantages in TensorData",
        lambda p: TensorData(torch.ones(4, dtype=torch.bfloat16, requires_grad=True), "float32"),
        accepted=True,
    ),
    Mistake(
        "text among numbers",
        lambda p: Datum(PROMPT, {"target_tokens": ["a", "b"], "weights": [1.0, 1.0]}),
        ("loss_fn_inputs['target_tokens']", "text ('a')"),
    ),
    Mistake(
        "labels for targets",
        lambda p: Datum(PROMPT, {"labels": TOKENS}),
        ("loss_fn_inputs['labels']", "did you mean target_tokens?"),
    ),
    # ---- parameters
    Mistake(
        "AdamParams(lr=…)",
        lambda p: AdamParams(lr=1e-4),  # type: ignore[call-arg]
        ("AdamParams takes no 'lr'", "did you mean learning_rate=?"),
    ),
    Mistake(
        "AdamParams(1e-4)",
        lambda p: AdamParams(1e-4),  # type: ignore[misc]
        ("by name: AdamParams(learning_rate=",),
    ),
    Mistake(
        "a learning rate as text",
        lambda p: AdamParams(learning_rate="1e-4"),  # type: ignore[arg-type]
        ("learning_rate must be a number, not text",),
    ),
    Mistake(
        "optim_step(1e-4)",
        lambda p: p.training.optim_step(1e-4),  # type: ignore[arg-type]
        ("must be AdamParams, not a float", "optim_step(AdamParams(learning_rate=0.0001))"),
    ),
    Mistake(
        "optim_step(lr=1e-4)",
        lambda p: p.training.optim_step(lr=1e-4),  # type: ignore[call-arg]
        ("optim_step takes no 'lr'", "did you mean optim_params=?"),
    ),
    Mistake(
        "max_new_tokens",
        lambda p: SamplingParams(max_new_tokens=8),  # type: ignore[call-arg]
        ("SamplingParams takes no 'max_new_tokens'", "did you mean max_tokens=?"),
    ),
    Mistake(
        "a number for SamplingParams",
        lambda p: p.sampler.sample(PROMPT, 1, 64),  # type: ignore[arg-type]
        ("sampling_params must be SamplingParams, not an int", "SamplingParams(max_tokens=64)"),
    ),
    Mistake(
        "one stop token",
        lambda p: SamplingParams(stop=7),  # type: ignore[arg-type]
        ("stop must be a text", "[7]"),
    ),
    Mistake(
        "model= for base_model=",
        lambda p: p.service.create_lora_training_client(model="x"),  # type: ignore[call-arg]
        ("create_lora_training_client takes no 'model'", "did you mean base_model=?"),
    ),
    Mistake(
        "lora_rank= for rank=",
        lambda p: p.service.create_lora_training_client("x", lora_rank=8),  # type: ignore[call-arg]
        ("takes no 'lora_rank'", "did you mean rank=?"),
    ),
    Mistake(
        "a rank as text",
        lambda p: p.service.create_lora_training_client("x", rank="8"),  # type: ignore[arg-type]
        ("rank must be a whole number, not text",),
    ),
    # ---- results
    Mistake(
        "the result of a future that was not waited for",
        lambda p: p.training.forward_backward([DATUM], "cross_entropy").loss,  # type: ignore[attr-defined]
        ("this is a future", "future.result().loss"),
    ),
    Mistake(
        "an entry of a future that was not waited for",
        lambda p: p.sampler.compute_logprobs(PROMPT)[0],  # type: ignore[index]
        ("this is a future", "future.result()[…]"),
    ),
    Mistake(
        "a future for a path",
        lambda p: p.training.load_state(p.training.save_state("a")),  # type: ignore[arg-type]
        ("a checkpoint's path must be text", "still a future", ".result().path"),
    ),
    Mistake(
        "a whole response for a path",
        lambda p: p.service.create_sampling_client(
            p.training.save_weights_for_sampler("b").result(60)  # type: ignore[arg-type]
        ),
        ("a checkpoint's path must be text, not a SaveWeightsForSamplerResponse", "its .path"),
    ),
    # ---- names
    Mistake(
        "a method of another library",
        lambda p: p.sampler.generate(PROMPT),  # type: ignore[attr-defined]
        ("a SamplingClient has no 'generate'", "did you mean sample?"),
    ),
    Mistake(
        "a misspelt method",
        lambda p: p.training.forward_backwards([DATUM]),  # type: ignore[attr-defined]
        ("a TrainingClient has no 'forward_backwards'", "did you mean forward_backward?"),
    ),
    Mistake(
        "a misspelt class",
        lambda p: tinsmith.AdamParam,  # type: ignore[attr-defined]
        ("tinsmith has no 'AdamParam'", "did you mean tinsmith.AdamParams?"),
    ),
    Mistake(
        "a misspelt class of types",
        lambda p: tinsmith.types.SamplingParam,  # type: ignore[attr-defined]
        ("tinsmith.types has no 'SamplingParam'", "did you mean SamplingParams?"),
    ),
    # ---- which weights
    Mistake(
        "a misspelt kind of checkpoint",
        lambda p: p.training.load_state("tinker://run:train:0/weight/step-100"),
        ("is no checkpoint", "tinker://<run>/<kind>/<name>", "did you mean weights?"),
    ),
    Mistake(
        "a base model for a checkpoint",
        lambda p: p.service.create_sampling_client(p.base_model),
        ("tinker://", "base_model="),
    ),
    Mistake("a client that was closed", _closed, ("is closed", "make a new one")),
    # ---- the server
    Mistake(
        "no key",
        lambda p: tinsmith.ServiceClient(base_url="http://127.0.0.1:1", api_key=" "),
        ("no API key for http://127.0.0.1:1", "tinsmith login", "TINSMITH_API_KEY", "api_key="),
    ),
    Mistake(
        "nobody at the address",
        lambda p: tinsmith.ServiceClient(
            base_url="http://127.0.0.1:1",
            api_key="tml-x",
            retry_config=tinsmith.RetryConfig(budget_s=0.0),
        ).get_server_capabilities(),
        ("cannot reach http://127.0.0.1:1", "Is the server running?", "base_url="),
    ),
    Mistake(
        "/v1 too much",
        lambda p: tinsmith.ServiceClient(base_url=f"{p.url}/v1", api_key="tml-x"),
        ("goes without /v1", "base_url="),
    ),
    Mistake(
        "https to a server without TLS",
        lambda p: tinsmith.ServiceClient(
            base_url=p.url.replace("http:", "https:"), api_key="tml-x"
        ).get_server_capabilities(),
        ("write http:// instead of https://", "base_url="),
    ),
    Mistake(
        "a wrong key",
        lambda p: tinsmith.ServiceClient(
            base_url=p.url, api_key=f"tml-{'x' * 43}"
        ).get_server_capabilities(),
        ("Invalid API key", "HTTP 401", "tinsmith login", "api_key="),
        needs_server=True,
    ),
    Mistake(
        "a misspelt base model",
        lambda p: p.service.create_lora_training_client("tinsmith/nano-qwen").result(60),
        ("unknown base model 'tinsmith/nano-qwen'", "did you mean 'tinsmith/nano-qwen3'?"),
        needs_server=True,
    ),
    Mistake(
        "a misspelt checkpoint",
        _misspelt_checkpoint,
        ("there is no checkpoint tinker://", "did you mean 'tinker://", "/weights/step-100'?"),
        needs_server=True,
    ),
    Mistake(
        "a misspelt loss",
        lambda p: p.training.forward_backward([DATUM], "crossentropy").result(60),  # type: ignore[arg-type]
        ("'crossentropy'", "cross_entropy"),
        needs_server=True,
    ),
    Mistake(
        "one metric's name and value",
        lambda p: p.training.log("loss", 1.25),  # type: ignore[arg-type]
        ("metrics must be numbers by name, not text", '{"loss": 1.25}'),
    ),
    Mistake(
        "a text for a metric",
        lambda p: p.training.log({"loss": "low"}),
        ("the metric 'loss' must be a number, not text",),
    ),
    Mistake(
        "one rollout",
        lambda p: p.training.log_rollouts({"prompt": "1+1=", "completion": "2"}),  # type: ignore[arg-type]
        ("rollouts must be a list of rollouts, not one", "[rollout]"),
    ),
    Mistake(
        "texts for rollouts",
        lambda p: p.training.log_rollouts(["2"]),  # type: ignore[list-item]
        ("rollouts[0] must be a Rollout or a dict, not text",),
    ),
    Mistake(
        "a rollout's group by name",
        lambda p: p.training.log_rollouts([{"completion": "2", "group": "first"}]),
        ("rollouts[0]: group must be a whole number, not text",),
    ),
    Mistake(
        "text for a rollout's tokens",
        lambda p: p.training.log_rollouts([{"completion_tokens": "two"}]),
        ("rollouts[0]: completion_tokens must be token ids, not text",),
    ),
    Mistake(
        "a learning rate that has become NaN",
        lambda p: p.training.optim_step(AdamParams(learning_rate=float("nan"))).result(5),
        ("learning_rate must be a finite number, not nan",),
    ),
    Mistake(
        "a rank that no model takes",
        lambda p: p.service.create_lora_training_client(p.base_model, rank=4096).result(60),
        ("rank", "128"),
        needs_server=True,
    ),
    Mistake(
        "targets of another length",
        lambda p: p.training.forward_backward(
            [Datum(PROMPT, {"target_tokens": [1, 2], "weights": [1.0, 1.0]})], "cross_entropy"
        ).result(60),
        ("Datum 0", "target_tokens"),
        needs_server=True,
    ),
    Mistake(
        "ignored labels of -100",
        lambda p: p.training.forward_backward(
            [Datum(PROMPT, {"target_tokens": [-100, 2, 3, 4], "weights": [0.0, 1.0, 1.0, 1.0]})],
            "cross_entropy",
        ).result(60),
        ("-100",),
        needs_server=True,
    ),
    Mistake(
        "a float among tokens to sample after",
        lambda p: p.sampler.sample(ModelInput.from_ints([1, 2.5]), 1, PARAMS).result(60),  # type: ignore[list-item]
        ("token",),
        needs_server=True,
    ),
    Mistake(
        "a checkpoint's name with a slash",
        lambda p: p.training.save_state("runs/step-100").result(60),
        ("'runs/step-100' cannot name a checkpoint", "letters, digits"),
        needs_server=True,
    ),
    Mistake(
        "weights of numpy's integers",
        lambda p: p.training.forward_backward(
            [Datum.from_tokens(np.array(TOKENS), weights=np.array([0, 1, 1, 1]))], "cross_entropy"
        ).result(60),
        needs_server=True,
        accepted=True,
    ),
)
