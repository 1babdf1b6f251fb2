"""What scenarios share: a client module, data, and exceptions as values."""

from __future__ import annotations

import importlib.util
import inspect
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import numpy as np

NANO = Path(__file__).resolve().parents[3] / "gpu_workers" / "nano"
# Long enough for a busy machine, short enough to notice what never ends
WAIT_S = 120.0
RANK = 8
SEED = 7


class Kit:
    """A client module (`tinker` or `tinsmith`) with what every scenario needs of it."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._services: list[Any] = []

    def service(self, **arguments: Any) -> Any:
        """A ServiceClient, closed at the scenario's end; the environment says where to."""
        kept = os.environ["TINKER_API_KEY"]
        # old releases take the environment's key whatever they are given
        os.environ["TINKER_API_KEY"] = arguments.get("api_key", kept)
        try:
            service = self.client.ServiceClient(**arguments)
        finally:
            os.environ["TINKER_API_KEY"] = kept
        self._services.append(service)
        return service

    @property
    def speaks_json(self) -> bool:
        """Whether it is a release before protobuf, which refuses itself what JSON cannot say."""
        name = self.client.__name__
        return name == "tinker" and importlib.util.find_spec("tinker.proto") is None

    def losses(self, *names: str) -> list[str]:
        """Those of the losses that the release knows of, when it refuses others itself."""
        known = get_args(getattr(self.client.types, "LossFnType", None))
        return [name for name in names if not self.speaks_json or name in known]

    def close(self) -> None:
        """End the sessions that the scenario opened."""
        for service in self._services:
            with suppress(Exception):  # it may never have had a session
                self.finish(service)
        self._services.clear()

    def finish(self, service: Any) -> None:
        """End a session, where the release can; it is heard of no more in any case."""
        if hasattr(service, "close"):
            service.close("success").result(10)

    def training(self, base_model: str, service: Any = None, **arguments: Any) -> Any:
        """A TrainingClient of a new run; always the same one, as its seed is set."""
        options = {"rank": RANK, "seed": SEED} | arguments
        service = service or self.service()
        return done(service.create_lora_training_client(base_model, **options))

    def offer_tokenizers(self) -> None:
        """Where the public client looks for a tokenizer offline: a folder of the model's name."""
        home = Path(tempfile.mkdtemp())
        for folder in NANO.iterdir():
            if folder.is_dir():
                place = home / "tinsmith" / folder.name
                place.parent.mkdir(exist_ok=True)
                place.symlink_to(folder)
        os.chdir(home)

    def datum(self, tokens: Sequence[int], **inputs: Any) -> Any:
        """Next-token prediction on `tokens`, all weights 1 unless `inputs` say otherwise."""
        given = {"target_tokens": list(tokens[1:]), "weights": [1.0] * (len(tokens) - 1)}
        given |= inputs
        arrays = {name: value for name, value in given.items() if value is not None}
        return self.client.types.Datum(
            model_input=self.client.types.ModelInput.from_ints(list(tokens[:-1])),
            loss_fn_inputs=arrays,
        )

    def batch(self, count: int = 3, length: int = 12, seed: int = 0) -> list[Any]:
        """A few datums of different lengths."""
        return [self.datum(tokens) for tokens in token_lists(count, length, seed)]

    def prompt(self, tokens: Sequence[int]) -> Any:
        """A ModelInput."""
        return self.client.types.ModelInput.from_ints(list(tokens))

    def params(self, **arguments: Any) -> Any:
        """SamplingParams."""
        return self.client.types.SamplingParams(**arguments)

    def adam(self, learning_rate: float = 1e-2, **arguments: Any) -> Any:
        """AdamParams."""
        return self.client.types.AdamParams(learning_rate=learning_rate, **arguments)

    def step(self, training: Any, data: list[Any], learning_rate: float = 1e-2) -> float:
        """One pipelined training step; the loss before it."""
        passed = training.forward_backward(data, "cross_entropy")
        stepped = training.optim_step(self.adam(learning_rate))
        loss = passed.result(WAIT_S).metrics["loss:sum"]
        stepped.result(WAIT_S)
        return loss


def supported(call: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Those of the options that this release's call takes."""
    taken = inspect.signature(call).parameters
    return {name: value for name, value in options.items() if name in taken}


def token_lists(count: int = 3, length: int = 12, seed: int = 0) -> list[list[int]]:
    """Token lists of different lengths, all plain bytes of the nano vocabularies."""
    source = np.random.default_rng(seed)
    return [source.integers(97, 123, length + index).tolist() for index in range(count)]


def done(value: Any) -> Any:
    """The result of a future; clients of some releases return the thing itself."""
    return value.result(WAIT_S) if hasattr(value, "result") else value


def logprobs(output: Any) -> list[list[float]]:
    """The logprobs that a pass returned, datum by datum."""
    return [item["logprobs"].to_numpy().tolist() for item in output.loss_fn_outputs]


def failure(call: Callable[[], Any]) -> dict[str, Any]:
    """The exception that a call raises, as a value; `type` is None when it raises none."""
    try:
        value = call()
        if hasattr(value, "result"):
            value.result(WAIT_S)
    except Exception as error:
        category = getattr(error, "category", None)
        return {
            "type": type(error).__name__,
            "status": getattr(error, "status_code", None),
            "category": getattr(category, "value", category),
            "message": str(error),
        }
    return {"type": None}
