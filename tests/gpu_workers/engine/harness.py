"""What the engine's tests stand on: tiny models, a blocking client, random data, PEFT as oracle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from gpu_workers.engine.arena import Layout, RowState
from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.engine import Engine, EngineOptions
from gpu_workers.engine.lora import peft_io
from gpu_workers.engine.types import (
    AdapterSpec,
    CreateRun,
    Datum,
    ForwardBackward,
    LoadState,
    PassResult,
    RunWork,
    SaveState,
)
from tinsmith.losses import LOSSES

WAIT_S = 60.0
VOCABULARY = 131  # odd, so that rows do not fill vector registers


def tiny_model(family: str) -> PreTrainedModel:
    """A random model: "qwen3" is tied with grouped heads, "llama" untied with biases."""
    torch.manual_seed(11)
    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 88,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "initializer_range": 0.1,
    }
    if family == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**shape, tie_word_embeddings=True))
    model = LlamaForCausalLM(LlamaConfig(**shape, attention_bias=True, mlp_bias=True))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    return model


class Client:
    """An engine's user who waits for answers."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def submit(self, run: str, work: RunWork, team: str = "team") -> Future[Any]:
        """Queue valid work; its answer comes as a future."""
        self.engine.validate(work)
        return self.submit_unchecked(run, work, team)

    def submit_unchecked(self, run: str, work: RunWork, team: str = "team") -> Future[Any]:
        """Queue work that `validate` would refuse."""
        future: Future[Any] = Future()

        def done(result: Any) -> None:
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        self.engine.submit(run, work, team=team, done=done)
        return future

    def do(self, run: str, work: RunWork, team: str = "team") -> Any:
        """Submit and wait; raises what went wrong."""
        return self.submit(run, work, team).result(WAIT_S)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is submitted inside reaches the engine thread all at once, on leaving."""
        gate = threading.Event()

        def wait() -> None:
            gate.wait(WAIT_S)

        self.engine._post(wait)
        try:
            yield
        finally:
            gate.set()

    def gradient(self, run: str, directory: Path) -> dict[str, Tensor]:
        """The run's gradient by PEFT names (empty: there is none)."""
        state = self.state(run, directory)
        return {k.removeprefix("grad."): v for k, v in state.items() if k.startswith("grad.")}

    def state(self, run: str, directory: Path) -> dict[str, Tensor]:
        """All of the run's numbers: weights, moments, step, gradient."""
        self.do(run, SaveState(directory, optimizer=True, gradient=True))
        return load_file(directory / peft_io.WEIGHTS) | load_file(directory / peft_io.OPTIMIZER)


@contextmanager
def running(base: BaseModel, directory: Path, **options: Any) -> Iterator[Client]:
    """An engine on `base`, started and stopped."""
    engine = Engine(base, EngineOptions(park_directory=directory / "parked", **options))
    engine.start()
    try:
        yield Client(engine)
    finally:
        engine.stop()


def random_adapter(
    base: BaseModel, spec: AdapterSpec, directory: Path, scale: float = 0.05
) -> Path:
    """PEFT files of an adapter whose A and B are both random, made from the spec's seed."""
    generator = torch.Generator().manual_seed(spec.seed)
    layout = Layout(base.modules, spec)
    master = torch.zeros(layout.size)
    for view in layout.views(master):
        for matrix in view or ():
            matrix.copy_(torch.randn(matrix.shape, generator=generator) * scale)
    state = RowState(master, (torch.zeros(layout.size), torch.zeros(layout.size)), None, 0)
    peft_io.save(directory, layout, spec, state, base_name="tiny", optimizer=True, durable=False)
    return directory


def create_random(client: Client, run: str, spec: AdapterSpec, directory: Path) -> Path:
    """A run with a random adapter; gives the adapter's files."""
    files = random_adapter(client.engine.base, spec, directory)
    client.submit(run, CreateRun(spec))
    client.do(run, LoadState(files, optimizer=True))
    return files


class Draw:
    """Random data from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def datum(self, length: int, loss: str = "cross_entropy", width: int = 0) -> Datum:
        """A datum whose inputs suit the loss; weights of any sign, a quarter of them zero."""
        shape = (length, width) if width else (length,)
        inputs: dict[str, Any] = {"target_tokens": self.tokens(*shape).astype(np.int64)}
        if loss == "cross_entropy":
            inputs["weights"] = self.floats(*shape) * (self.rng.random(shape) > 0.25)
        else:
            # Logprobs such that ratios fall on both sides of every clip threshold.
            inputs["logprobs"] = self.floats(length) - 5
            inputs["advantages"] = self.floats(length) * (self.rng.random(length) > 0.25)
        if loss == "bradley_terry":
            weights = self.floats(*shape)
            inputs = {"target_tokens": inputs["target_tokens"], "weights": weights}
        if loss == "dpo":
            inputs["weights"] = (self.rng.random(length) > 0.3) | (np.arange(length) == length - 1)
            del inputs["advantages"]
        if loss in ("gspo", "stable_reinforce"):
            mask = self.rng.random(length) > 0.3
            inputs["sequence_ratio_mask"] = mask.astype(np.float32)
        inputs = {k: v if k == "target_tokens" else v.astype(np.float32) for k, v in inputs.items()}
        return Datum(self.tokens(length).astype(np.int32), inputs)

    def data(self, lengths: list[int], loss: str = "cross_entropy") -> list[Datum]:
        """Datums of these lengths; one more, as long as the last, where a pair is not whole."""
        lengths = lengths + lengths[-1:] * (-len(lengths) % LOSSES[loss].group)
        return [self.datum(length, loss) for length in lengths]

    def tokens(self, *shape: int) -> Any:
        return self.rng.integers(0, VOCABULARY, shape)

    def floats(self, *shape: int) -> Any:
        return self.rng.standard_normal(shape)


def reference_pair(beta: float, p: list[Tensor], pair: list[Datum]) -> Tensor:
    """The loss of a chosen and a rejected datum as the papers have it, for autograd.

    Without `logprobs`, which dpo compares with, it is that of bradley_terry."""
    rewards = []
    for own, datum in zip(p, pair, strict=True):
        given = {name: torch.from_numpy(array) for name, array in datum.inputs.items()}
        rewards.append(((own - given.get("logprobs", 0)) * given["weights"]).sum())
    return -torch.nn.functional.logsigmoid(beta * (rewards[0] - rewards[1]))


def reference_loss(loss: str, config: dict[str, float], p: Tensor, datum: Datum) -> Tensor:
    """One datum's loss by the documented formulas, for autograd; p [N] or [N, K]."""
    given = {name: torch.from_numpy(array) for name, array in datum.inputs.items()}
    if loss == "cross_entropy":
        return (-given["weights"] * p).sum()
    q, advantages = given["logprobs"], given["advantages"]
    ratio = torch.exp(p - q)
    if loss == "importance_sampling":
        return -(ratio * advantages).sum()
    if loss == "dro":
        return -(p * advantages - config.get("beta", 0.05) / 2 * (p - q) ** 2).sum()
    if loss == "stable_reinforce":
        weight = ratio.clamp(max=config.get("max_ratio", 2.0)).detach()
        weight = weight * given.get("sequence_ratio_mask", torch.ones_like(q))
        penalty = config.get("kl_coeff", 0.0) / 2 * (weight * (p - q) ** 2).sum()
        return penalty - (weight * advantages * p).sum()
    low = config.get("clip_low_threshold", {"cispo": 0.0, "gspo": 1 - 3e-4}.get(loss, 0.8))
    high = config.get("clip_high_threshold", {"cispo": 4.0, "gspo": 1 + 4e-4}.get(loss, 1.2))
    low = given.get("clip_low_threshold", torch.tensor(low))
    high = given.get("clip_high_threshold", torch.tensor(high))
    if loss == "cispo":
        return -(ratio.clamp(low, high).detach() * p * advantages).sum()
    if loss == "gspo":
        mask = given.get("sequence_ratio_mask", torch.ones_like(q))
        mean = ((p - q) * mask).sum() / mask.sum().clamp(min=1)
        ratio = torch.exp(mean).detach() * torch.exp(p - p.detach())
    return -torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages).sum()


class PeftOracle:
    """One adapter in PEFT, padded batches, full logits, autograd: nothing of the engine."""

    def __init__(self, model_directory: Path, adapter: Path) -> None:
        model = AutoModelForCausalLM.from_pretrained(model_directory, dtype=torch.float32)
        self.model = PeftModel.from_pretrained(model, adapter, is_trainable=True)

    def logits(self, data: list[Datum]) -> Tensor:
        """[B, longest, V] of right-padded sequences."""
        longest = max(len(datum.tokens) for datum in data)
        ids = torch.zeros(len(data), longest, dtype=torch.int64)
        mask = torch.zeros(len(data), longest, dtype=torch.int64)
        for row, datum in enumerate(data):
            ids[row, : len(datum.tokens)] = torch.from_numpy(datum.tokens)
            mask[row, : len(datum.tokens)] = 1
        return self.model(input_ids=ids, attention_mask=mask).logits

    def forward_backward(self, work: ForwardBackward) -> PassResult:
        """What the engine should answer; gradients pile up in the model."""
        logprobs = self.logits(work.data).log_softmax(-1)
        outputs, loss = [], torch.zeros(())
        config: dict[str, Any] = dict(work.loss_config)
        chosen: list[Tensor] = []
        beta = config.get("dpo_beta", 0.1) if work.loss_fn == "dpo" else 1.0
        for row, datum in enumerate(work.data):
            targets = torch.from_numpy(datum.inputs["target_tokens"])
            columns = targets if targets.dim() == 2 else targets.unsqueeze(-1)
            p = logprobs[row, : len(datum.tokens)].gather(-1, columns).view(targets.shape)
            if LOSSES[work.loss_fn].group == 1:
                loss = loss + reference_loss(work.loss_fn, config, p, datum)
            elif row % 2:
                pair = work.data[row - 1 : row + 1]
                loss = loss + reference_pair(beta, [*chosen, p], pair)
            chosen = [p]
            outputs.append(p.detach().numpy())
        if not work.forward_only:
            loss.backward()
        return PassResult(outputs, {"loss:sum": loss.item()})

    def gradient(self) -> dict[str, Tensor]:
        """The gradient by the names of PEFT's files."""
        return {
            name.replace(".default", ""): parameter.grad
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad and parameter.grad is not None
        }

    def parameters(self) -> dict[str, Tensor]:
        """What is trained, by the names of PEFT's files."""
        return {
            name.replace(".default", ""): parameter
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        }


def assert_close(
    found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-5
) -> None:
    """The same names, and numbers within `tolerance` of the largest of each (at least of 1)."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        scale = max(1.0, tensor.abs().max().item())
        assert (found[name] - tensor).abs().max().item() <= tolerance * scale, name


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """The same names and the same bits."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
