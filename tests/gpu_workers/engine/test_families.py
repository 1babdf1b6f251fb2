"""Every family on offer: proven at load, trained like PEFT, sampled like transformers' generate."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from catalog import sources
from gpu_workers.engine.engine import Engine, EngineOptions
from gpu_workers.engine.families import loading, refusals
from gpu_workers.engine.families.shrink import random_model
from gpu_workers.engine.types import AdapterSpec, ForwardBackward, Sample, SampleResult
from tests.gpu_workers.engine.cases import CASES, WINDOW, tiny_config
from tests.gpu_workers.engine.harness import (
    WAIT_S,
    Client,
    Draw,
    PeftOracle,
    assert_close,
    create_random,
    running,
)

LENGTHS = [5 * WINDOW, 3, WINDOW + 1, 60]
"""Shorter than the window, just longer, far longer; beyond every rope's original context."""


@pytest.fixture(scope="module", params=list(CASES))
def directory(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a tiny random model whose every parameter matters."""
    directory = tmp_path_factory.mktemp("family")
    random_model(tiny_config(request.param)).save_pretrained(directory)
    return directory


@pytest.mark.parametrize("kernel", ["loop", "grouped"])
def test_gradients_equal_peft(kernel: str, directory: Path, tmp_path: Path) -> None:
    base = loading.load(directory, dtype="float32")
    base.context.kernel = kernel
    work = ForwardBackward(Draw(0).data(LENGTHS), "cross_entropy")
    with running(base, tmp_path, chunk_tokens=48, micro_batch_tokens=160) as client:
        files = create_random(client, "run", AdapterSpec(8, 1), tmp_path / "adapter")
        found = client.do("run", work)
        gradient = client.gradient("run", tmp_path / "state")
    oracle = PeftOracle(directory, files)
    expected = oracle.forward_backward(work)
    for mine, theirs in zip(found.outputs, expected.outputs, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-4)
    assert found.metrics["loss:sum"] == pytest.approx(expected.metrics["loss:sum"], rel=1e-4)
    assert_close(gradient, oracle.gradient(), 1e-4)


def test_samples_equal_generate(directory: Path, tmp_path: Path) -> None:
    """Token for token, with generate's logprobs, far beyond the window."""
    prompt = Draw(1).tokens(3 * WINDOW).tolist()
    own = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    generated = own.generate(
        torch.tensor([prompt]),
        max_new_tokens=24,
        do_sample=False,
        eos_token_id=None,
        return_dict_in_generate=True,
        output_logits=True,
    )
    tokens = generated.sequences[0, len(prompt) :]
    logprobs = torch.stack(generated.logits)[:, 0].log_softmax(-1)
    expected = logprobs.gather(-1, tokens[:, None])[:, 0]
    engine = Engine.load(directory, EngineOptions(park_directory=tmp_path, dtype="float32"))
    engine.start()
    try:
        answers: list[object] = []
        work = Sample(prompt, max_tokens=24, temperature=0.0, stop_tokens=[], stop_strings=[])
        future = _sample(Client(engine), work, answers)
        assert future.wait(WAIT_S)
    finally:
        engine.stop()
    (result,) = answers
    assert isinstance(result, SampleResult)
    assert result.sequences[0].tokens.tolist() == tokens.tolist()
    np.testing.assert_allclose(result.sequences[0].logprobs, expected.numpy(), atol=1e-4)


def _sample(client: Client, work: Sample, answers: list[object]) -> threading.Event:
    """Sample from the base model; set once the answer is there."""
    done = threading.Event()

    def hear(answer: object) -> None:
        answers.append(answer)
        done.set()

    client.engine.sample(None, None, work, team="team", done=hear)
    return done


def test_the_catalog_offers_what_is_tested_here_and_nothing_else() -> None:
    assert {family for family, _ in CASES.values()} == set(sources.FAMILIES)
    assert sources.ROPES == refusals.ROPES
