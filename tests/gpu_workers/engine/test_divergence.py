"""Runs that diverge: said at the step that does it, undone bit for bit, never saved, never blamed
on the data; and data that overflows is never blamed on the run.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gpu_workers.engine.arena import Row
from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.lora import peft_io
from gpu_workers.engine.trainer import UNIFORM
from gpu_workers.engine.types import (
    AdapterSpec,
    CreateRun,
    Datum,
    ForwardBackward,
    LoadState,
    OptimStep,
    PublishSampler,
    SaveState,
    UserError,
)
from tests.gpu_workers.engine.harness import (
    VOCABULARY,
    Client,
    Draw,
    assert_equal,
    create_random,
    running,
)

SPEC = AdapterSpec(8, 3)
DIVERGING = {
    "a huge learning rate": OptimStep(learning_rate=1e39),
    "a huge weight decay": OptimStep(learning_rate=1.0, weight_decay=1e300),
    "both, with clipping": OptimStep(learning_rate=1e39, weight_decay=1e3, grad_clip_norm=0.1),
    "a huge rate in moments": OptimStep(learning_rate=1e300, beta1=0.0, beta2=0.0, eps=1e-30),
}
GOOD = OptimStep(learning_rate=1e-3, grad_clip_norm=0.5)


def numbers(seed: int = 0) -> ForwardBackward:
    return ForwardBackward(Draw(seed).data([20, 9]), "cross_entropy")


def row_of(client: Client, run: str) -> Row:
    row = client.engine._runs[run].row
    assert row is not None
    return row


@pytest.mark.parametrize("what", DIVERGING)
def test_a_diverging_step_changes_nothing_but_drops_the_gradient(
    what: str, client: Client, tmp_path: Path
) -> None:
    """Weights, moments and step count are the bits from before, and what follows goes on."""
    create_random(client, "run", SPEC, tmp_path / "adapter")
    client.do("run", numbers())
    client.do("run", GOOD)
    before = client.state("run", tmp_path / "before")
    client.do("run", numbers(1))
    with pytest.raises(UserError, match=r"^The run diverged: this step .* smaller learning rate"):
        client.do("run", DIVERGING[what])
    assert_equal(client.state("run", tmp_path / "after"), before)
    assert not any(name.startswith("grad.") for name in before)
    client.do("run", numbers(1))
    client.do("run", GOOD)
    assert math.isfinite(client.do("run", numbers(2)).metrics["loss:sum"])


def test_a_diverging_step_is_nobody_elses_business(client: Client, tmp_path: Path) -> None:
    """Three runs step together, one diverges: the others' bits are those of a step without it."""
    states: list[dict[str, Any]] = []
    for round_number, bad in enumerate((OptimStep(learning_rate=1e39), GOOD)):
        directory = tmp_path / str(round_number)
        runs = [f"{name}-{round_number}" for name in ("one", "bad", "two")]
        for run in runs:
            create_random(client, run, SPEC, directory / run)
            client.do(run, numbers())
        with client.together():
            futures = [client.submit(run, bad if run.startswith("bad") else GOOD) for run in runs]
        failed = [future.exception(60) is not None for future in futures]
        assert failed == [False, round_number == 0, False]
        for run in (runs[0], runs[2]):
            states.append(client.state(run, directory / f"{run}.state"))
    for other in states[1:]:
        assert_equal(other, states[0])


def test_a_step_that_might_diverge_but_does_not_is_the_same_step(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The careful way gives the bits of the quick one."""
    from gpu_workers.engine import optimizer

    states = []
    for name, safe in (("quick", 1e30), ("careful", -1.0)):
        with monkeypatch.context() as patch:
            patch.setattr(optimizer, "_SAFE_WEIGHT", safe)
            create_random(client, name, SPEC, tmp_path / name)
            for seed in range(3):
                client.do(name, numbers(seed))
                client.do(name, GOOD)
        states.append(client.state(name, tmp_path / f"{name}.state"))
    assert_equal(states[1], states[0])


def test_weights_beyond_the_compute_dtype_are_a_divergence(
    model_directory: Path, tmp_path: Path
) -> None:
    """What float32 holds and bfloat16 does not."""
    base = BaseModel.load(model_directory, dtype="bfloat16")
    with running(base, tmp_path) as client:
        client.do("run", CreateRun(SPEC))
        client.do("run", numbers())
        with pytest.raises(UserError, match="The run diverged"):
            client.do("run", OptimStep(learning_rate=3.395e38))
        row = row_of(client, "run")
        assert row.steps == 0
        assert row.shadow is not None
        assert row.shadow.isfinite().all()
        client.do("run", numbers())
        client.do("run", GOOD)


@pytest.mark.parametrize("kind", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["master", "moment1", "moment2"])
def test_what_is_not_finite_is_never_saved_nor_published_nor_stepped(
    kind: float, place: str, client: Client, tmp_path: Path
) -> None:
    """Should a run hold such numbers all the same, e.g. restored from an older release's copy."""
    client.do("run", CreateRun(SPEC))
    client.do("run", numbers())
    getattr(row_of(client, "run"), place)[5] = kind
    works = {"state": SaveState(tmp_path / "state"), "published": None}
    if place == "master":
        works["published"] = PublishSampler("v", tmp_path / "published")  # type: ignore[assignment]
    for name, work in works.items():
        if work is not None:
            with pytest.raises(UserError, match=r"The run diverged: .*nothing was saved"):
                client.do("run", work)
        assert not (tmp_path / name).exists()
    if place != "moment1" or not math.isinf(kind):
        with pytest.raises(UserError, match="The run diverged"):
            client.do("run", OptimStep(learning_rate=1e-3))


def test_files_that_are_not_finite_are_not_loaded(client: Client, tmp_path: Path) -> None:
    """Checkpoints of an older release may hold such; the run keeps what it has."""
    create_random(client, "run", SPEC, tmp_path / "adapter")
    before = client.state("run", tmp_path / "before")
    for name in (peft_io.WEIGHTS, peft_io.OPTIMIZER):
        directory = tmp_path / f"bad-{name}"
        client.do("run", SaveState(directory))
        tensors = load_file(directory / name)
        next(t for key, t in tensors.items() if t.dim() == 2)[0, 0] = math.nan
        save_file(tensors, directory / name)
        with pytest.raises(UserError, match=r"not finite.*diverged before it was saved"):
            client.do("run", LoadState(directory, optimizer=True))
    with pytest.raises(UserError, match="not finite"):
        peft_io.load_frozen(tmp_path / f"bad-{peft_io.WEIGHTS}", client.engine.base)
    assert_equal(client.state("run", tmp_path / "after"), before)


def test_weights_that_exploded_are_blamed_on_the_run(client: Client, tmp_path: Path) -> None:
    """A pass of finite, but hopeless weights: the data is not at fault, and the message says so."""
    create_random(client, "run", SPEC, tmp_path / "adapter")
    client.do("run", numbers())
    client.do("run", OptimStep(learning_rate=1e30))
    with pytest.raises(UserError) as caught:
        client.do("run", numbers())
    assert str(caught.value).startswith("The run diverged: its weights (the largest is 1e+30)")
    assert "not finite. The data is not at fault" in str(caught.value)
    assert "smaller learning rate" in str(caught.value)


def test_a_base_model_that_overflows_is_not_blamed_on_the_user(
    model_directory: Path, tmp_path: Path
) -> None:
    base = BaseModel.load(model_directory, dtype="float32")
    base.model.model.norm.weight.data.fill_(math.nan)
    with running(base, tmp_path) as client:
        client.do("run", CreateRun(SPEC))
        with pytest.raises(RuntimeError, match="base model's logprobs of datum 0"):
            client.do("run", numbers())


def big(loss: str, **inputs: float) -> ForwardBackward:
    """Two datums, of which the second has such numbers throughout."""
    data: list[Datum] = Draw(4).data([9, 5], loss)
    for name, value in inputs.items():
        data[1].inputs[name] = np.full(5, value, np.float32)
    return ForwardBackward(data, loss)


BLAMED = {
    "advantages": (big("dro", advantages=3e38), r"Datum 1: .*`advantages` goes up to 3e\+38"),
    "weights": (big("cross_entropy", weights=3e38), r"Datum 1: .*`weights` goes up to 3e\+38"),
    "ratios": (
        big("importance_sampling", logprobs=-1000.0),
        r"Datum 1: .*position \d `logprobs` says -1000, the run -.*their ratio overflows",
    ),
    "a gradient": (big("cross_entropy", weights=1e25), r"`weights` of datum 1 goes up to 1e\+25"),
}


@pytest.mark.parametrize("what", BLAMED)
def test_data_that_overflows_is_blamed_by_name(what: str, client: Client, tmp_path: Path) -> None:
    work, message = BLAMED[what]
    create_random(client, "run", SPEC, tmp_path / "adapter")
    with pytest.raises(UserError, match=message) as caught:
        client.do("run", work)
    assert "no gradient was added" in str(caught.value)
    assert "diverged" not in str(caught.value)
    assert not row_of(client, "run").dirty


def test_numbers_that_float32_cannot_hold_are_refused_before_they_are_queued(
    client: Client,
) -> None:
    datum = Draw(1).datum(5)
    datum.inputs["weights"] = np.full(5, 1e300)
    with pytest.raises(UserError, match=r"weights is 1e\+300 at position 0"):
        client.engine.validate(ForwardBackward([datum], "cross_entropy"))


def test_a_loss_of_exactly_n_ln_v_comes_with_a_warning(client: Client, tmp_path: Path) -> None:
    """Saturated weights make every token as likely as any other: finite, and never to be trained.

    A healthy run has no such metric.
    """
    work = numbers()
    create_random(client, "run", SPEC, tmp_path / "adapter")
    assert UNIFORM not in client.do("run", work).metrics
    row = row_of(client, "run")
    with torch.no_grad():  # squares of what comes out of the last layer overflow in its norm
        last = row.weights[-2]
        head = row.weights[-1]
        assert last is not None
        assert head is not None
        last[1].fill_(1e22)
        head[1].zero_()
    for forward_only in (True, False):
        result = client.do("run", ForwardBackward(work.data, work.loss_fn, {}, forward_only))
        np.testing.assert_allclose(np.concatenate(result.outputs), -math.log(VOCABULARY), rtol=1e-6)
        assert result.metrics[UNIFORM] == result.metrics["tokens:sum"] == 29
    assert row.gradient.isfinite().all()
