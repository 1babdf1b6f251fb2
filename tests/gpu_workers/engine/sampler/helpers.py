"""Tiny models, adapters and the plain ways of computing that the sampler is held against."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import peft
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, Qwen3Config
from transformers import Qwen3ForCausalLM as Qwen3

from gpu_workers.engine.arena import FrozenAdapter, Layout, RowState
from gpu_workers.engine.attention import packed_attention
from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.head import FusedHead, Part
from gpu_workers.engine.lora import peft_io
from gpu_workers.engine.lora.context import Segment
from gpu_workers.engine.sampler.local import LocalSampler
from gpu_workers.engine.sampler.options import SamplerOptions
from gpu_workers.engine.types import AdapterSpec, Sample, SampleResult

VOCABULARY = 300
EOS = 3
CONTEXT = 256
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": CONTEXT,
    "eos_token_id": EOS,
    "pad_token_id": 0,
    "bos_token_id": 1,
}


def tiny_model(family: str) -> PreTrainedModel:
    """A random model whose next-token distributions are neither flat nor certain."""
    torch.manual_seed(7)
    if family == "qwen3":
        model = Qwen3(Qwen3Config(**SHAPE, tie_word_embeddings=True))
    else:
        model = LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, 0.3 if "embed" in name or "lm_head" in name else 0.15)
    return model.float().eval()


@dataclass
class Tiny:
    """A model twice: as transformers has it, and as the engine has it."""

    reference: PreTrainedModel
    base: BaseModel

    @classmethod
    def of(cls, family: str) -> Tiny:
        reference = tiny_model(family)
        return cls(reference, BaseModel(copy.deepcopy(reference), "nowhere", None))

    def adapter(
        self, seed: int, rank: int = 8, spread: float = 0.15, **trained: bool
    ) -> FrozenAdapter:
        """A random adapter, far enough from nothing to change what is sampled."""
        layout = Layout(self.base.modules, AdapterSpec(rank=rank, seed=seed, **trained))
        row = torch.zeros(layout.size)
        generator = torch.Generator().manual_seed(seed)
        for view in filter(None, layout.views(row)):
            for matrix in view:
                bound = spread * (rank / 32) ** 0.5  # whatever the rank, B A of one size
                matrix.copy_(torch.randn(matrix.shape, generator=generator) * bound)
        return FrozenAdapter(layout, row)

    def save(self, adapter: FrozenAdapter, directory: Path, **trained: bool) -> Path:
        """Write an adapter as PEFT files."""
        spec = AdapterSpec(rank=adapter.rank, seed=0, **trained)
        state = RowState(adapter.row, None, None, 0)
        layout = Layout(self.base.modules, spec)
        peft_io.save(directory, layout, spec, state, base_name="tiny", optimizer=False)
        return directory

    def with_peft(self, directory: Path) -> torch.nn.Module:
        """transformers' model with PEFT's adapter from the files."""
        return peft.PeftModel.from_pretrained(copy.deepcopy(self.reference), directory).eval()

    def sampler(self, **options: int) -> LocalSampler:
        """A sampler that reads adapters from PEFT files."""
        return LocalSampler(
            self.base,
            lambda directory: peft_io.load_frozen(directory, self.base),
            SamplerOptions(**options),
        )

    def trainer_logprobs(self, tokens: Sequence[int], adapter: FrozenAdapter | None) -> np.ndarray:
        """Logprob of each token given those before it, by the trainer's forward: [N - 1]."""
        count = len(tokens) - 1
        rows = -(-count // 32) * 32
        inputs = torch.zeros(rows, dtype=torch.int64)
        inputs[:count] = torch.tensor(tokens[:-1])
        positions = torch.arange(rows)
        targets = torch.tensor(tokens[1:])
        self.base.context.begin([Segment(adapter, 0, count)], packed_attention, [(1, rows)])
        with torch.no_grad():
            hidden = self.base.hidden(inputs, positions)
        self.base.context.end()
        part = Part(0, count, adapter, targets, weights=torch.ones(count))
        head = FusedHead(self.base.head_weight, self.base.head_index, 32)
        head.run(hidden, [part], gradient=False)
        return part.logprobs.numpy()

    def generate(self, model: torch.nn.Module, prompt: list[int], new: int) -> list[int]:
        """Greedy continuation by transformers' generate, nothing stops it."""
        rows = torch.tensor([prompt])
        out = model.generate(
            input_ids=rows,
            attention_mask=torch.ones_like(rows),
            max_new_tokens=new,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        return out[0, len(prompt) :].tolist()


def prompt_of(length: int, seed: int = 0) -> list[int]:
    """A random prompt."""
    return np.random.default_rng([seed, length]).integers(4, VOCABULARY, length).tolist()


def endless(prompt: list[int], **parameters) -> Sample:
    """A Sample that nothing stops but max_tokens."""
    parameters = {"stop_tokens": [], "stop_strings": [], "max_tokens": 20, **parameters}
    return Sample(prompt, **parameters)


def drain(sampler: LocalSampler, limit: int = 5000) -> int:
    """Step until nothing is left to do; the number of steps."""
    steps = 0
    while sampler.has_work():
        sampler.step()
        steps += 1
        assert steps < limit, "the sampler goes on for ever"
    return steps


Asked = tuple[str | None, Sample]


def sample_some(
    sampler: LocalSampler, asked: Sequence[Asked], directories: dict[str, Path] | None = None
) -> list:
    """Submit everything at once and step until it is answered; results or errors in order."""
    results: list = [None] * len(asked)
    for number, (version, work) in enumerate(asked):

        def done(result, number=number) -> None:
            assert results[number] is None, "answered twice"
            results[number] = result

        directory = (directories or {}).get(version or "")
        sampler.submit(version, directory, work, f"team-{number % 3}", done)
    while any(result is None for result in results):
        sampler.step()
    return results


def sample_all(
    sampler: LocalSampler, asked: Sequence[Asked], directories: dict[str, Path] | None = None
) -> list:
    """`sample_some`, after which nothing may be left to do."""
    results = sample_some(sampler, asked, directories)
    assert not sampler.has_work()
    return results


def sample_one(sampler: LocalSampler, work: Sample, version: str | None = None) -> SampleResult:
    """Sample alone."""
    (result,) = sample_all(sampler, [(version, work)])
    if isinstance(result, BaseException):
        raise result
    return result


def tokens_of(result: SampleResult) -> list[list[int]]:
    return [sequence.tokens.tolist() for sequence in result.sequences]


def assert_same(one: SampleResult, other: SampleResult) -> None:
    """Equal bit for bit."""
    assert tokens_of(one) == tokens_of(other)
    for a, b in zip(one.sequences, other.sequences, strict=True):
        assert a.stop_reason == b.stop_reason
        np.testing.assert_array_equal(a.logprobs, b.logprobs)
    if one.prompt_logprobs is None:
        assert other.prompt_logprobs is None
    else:
        np.testing.assert_array_equal(one.prompt_logprobs, other.prompt_logprobs)
