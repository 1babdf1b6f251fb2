"""Bad input and bad luck: named, undone, and nobody else's problem."""

from __future__ import annotations

import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.lora import peft_io
from gpu_workers.engine.types import (
    AdapterSpec,
    CreateRun,
    Datum,
    ForwardBackward,
    LoadState,
    OptimStep,
    PublishSampler,
    RunWork,
    Sample,
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


def datum(loss: str = "cross_entropy", **changes: Any) -> Datum:
    """A good datum of five tokens, made bad: tokens or an input replaced, None takes it away."""
    good = Draw(0).datum(5, loss)
    inputs: dict[str, Any] = {**good.inputs, **changes}
    tokens = inputs.pop("tokens", good.tokens)
    return Datum(tokens, {name: value for name, value in inputs.items() if value is not None})


def work(loss: str = "cross_entropy", config: Any = None, **changes: Any) -> ForwardBackward:
    return ForwardBackward([Draw(1).datum(3, loss), datum(loss, **changes)], loss, config or {})


FLOATS = np.zeros(5, np.float32)
NAN = np.array([0, 0, np.nan, 0, 0], np.float32)
BAD: list[tuple[RunWork | Sample, str]] = [
    (CreateRun(AdapterSpec(0, 1)), r"rank is 0: allowed are 1 to 64"),
    (CreateRun(AdapterSpec(65, 1)), r"rank is 65: allowed are 1 to 64"),
    (CreateRun(AdapterSpec(8, 1, False, False, False)), r"train_attn, train_mlp, train_unembed"),
    (ForwardBackward([], "cross_entropy"), r"no data"),
    (ForwardBackward([datum()], "hinge"), r"loss function 'hinge': allowed are cross_entropy, imp"),
    (work(config={"beta": 1.0}), r"key 'beta' for cross_entropy: allowed are none"),
    (work("ppo", {"clip": 1.0}), r"'clip' for ppo: allowed are clip_low_threshold, clip_high_thr"),
    (work("dro", {"beta": math.nan}), r"beta is nan: a finite number"),
    (work("dro", {"beta": "big"}), r"beta is 'big': a finite number"),
    (work("ppo", {"clip_low_threshold": 3.0}), r"clip_low_threshold 3.0 is above .* 1.2"),
    (
        work(tokens=np.array([1, 2, VOCABULARY, 1, 1], np.int32)),
        r"Datum 1: token 131 at position 2",
    ),
    (work(tokens=np.array([1, 2, -1, 1, 1], np.int32)), r"token -1 at position 2 .* 0 to 130"),
    (work(tokens=np.zeros(0, np.int32)), r"non-empty"),
    (work(tokens=np.zeros((1, 5), np.int32)), r"flat"),
    (work(tokens=np.zeros(5, np.float32)), r"integers"),
    (work(target_tokens=np.full(5, VOCABULARY)), r"target token 131 at position 0"),
    (
        work(target_tokens=np.zeros(4, np.int64)),
        r"target_tokens has shape \[4\]: \[5\] or \[5, K\]",
    ),
    (work(target_tokens=np.zeros((5, 0), np.int64)), r"target_tokens has shape \[5, 0\]"),
    (
        work(target_tokens=np.zeros((5, 129), np.int64)),
        r"shape \[5, 129\]: at most 128 targets a token are allowed, \[5, 128\]",
    ),
    (work(target_tokens=np.zeros(5, np.float32)), r"dtype float32: int64"),
    (work("ppo", target_tokens=np.zeros((5, 2), np.int64)), r"\[5, 2\]: \[5\] is allowed"),
    (work(weights=None), r"missing loss input 'weights': cross_entropy needs target_tokens, weigh"),
    (work(target_tokens=None), r"missing loss input 'target_tokens'"),
    (work("ppo", advantages=None), r"missing loss input 'advantages'"),
    (work(advantages=FLOATS), r"unknown loss input 'advantages' for cross_entropy: allowed are"),
    (work("ppo", sequence_ratio_mask=FLOATS), r"unknown loss input 'sequence_ratio_mask' for ppo"),
    (work(weights=np.zeros(6, np.float32)), r"weights has shape \[6\]: .* \[5\]"),
    (work(weights=np.zeros((5, 1), np.float32)), r"weights has shape \[5, 1\]"),
    (work(weights=NAN), r"Datum 1: weights is nan at position 2"),
    (work("ppo", logprobs=NAN), r"logprobs is nan"),
    (work("ppo", advantages=np.full(5, np.inf, np.float32)), r"advantages is inf at position 0"),
    (ForwardBackward([Draw(0).datum(101)], "cross_entropy"), r"101 tokens: at most 100"),
    (OptimStep(learning_rate=-1.0), r"learning_rate is -1.0"),
    (OptimStep(learning_rate=math.nan), r"learning_rate is nan"),
    (OptimStep(beta1=1.0), r"beta1 is 1.0"),
    (OptimStep(eps=0.0), r"eps is 0.0"),
    (OptimStep(grad_clip_norm=math.inf), r"grad_clip_norm is inf"),
    (Sample(prompt=[VOCABULARY]), r"131"),
    (Sample(prompt=[1], temperature=-1.0), r"temperature"),
]


@pytest.fixture(scope="module")
def limited(
    base: BaseModel, model_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """An engine with small limits, not started: validation needs no thread."""
    from gpu_workers.engine.engine import Engine, EngineOptions

    small = BaseModel.load(model_directory, dtype="float32", max_context_length=100)
    options = EngineOptions(tmp_path_factory.mktemp("limited"), max_rank=64)
    engine = Engine(small, options)
    yield engine
    engine.stop()


@pytest.mark.parametrize(("bad", "message"), BAD, ids=[message for _, message in BAD])
def test_mistakes_are_named_before_they_are_queued(bad: Any, message: str, limited: Any) -> None:
    with pytest.raises(UserError, match=message):
        limited.validate(bad)


def test_good_work_is_let_through(limited: Any) -> None:
    good: list[Any] = [
        CreateRun(AdapterSpec(64, 2**62)),
        work(),
        work("ppo", {"clip_low_threshold": 0.5}, clip_high_threshold=FLOATS + 2),
        work("gspo", sequence_ratio_mask=None),
        work(weights=np.full(5, -1e30, np.float32)),
        OptimStep(),
        Sample(prompt=[1, 2]),
    ]
    for one in good:
        limited.validate(one)


OVERFLOWS = {
    "in the loss": ForwardBackward(
        [datum("ppo", logprobs=FLOATS - 1e4, advantages=FLOATS - 1)], "ppo"
    ),
    "in the gradient": ForwardBackward(
        [datum(weights=np.full(5, 1e25, np.float32))], "cross_entropy"
    ),
    "in a late chunk": ForwardBackward(
        [*Draw(3).data([40, 40, 40, 40]), datum(weights=np.full(5, 3e38, np.float32))],
        "cross_entropy",
    ),
}


@pytest.mark.parametrize("dirty", [False, True], ids=["clean", "with a gradient from before"])
@pytest.mark.parametrize("what", OVERFLOWS)
def test_an_overflow_is_the_users_error_and_is_undone(
    what: str, dirty: bool, client: Client, tmp_path: Path
) -> None:
    """The gradient is what it was before; what follows in the queue is done."""
    create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    if dirty:
        client.do("run", ForwardBackward(Draw(5).data([30]), "cross_entropy"))
    before = client.state("run", tmp_path / "before")
    with client.together():
        failing = client.submit("run", OVERFLOWS[what])
        state = client.submit("run", SaveState(tmp_path / "after", gradient=True))
        good = client.submit("run", ForwardBackward(Draw(6).data([20]), "cross_entropy"))
    with pytest.raises(UserError, match="not finite"):
        failing.result(60)
    state.result(60)
    after = load_file(tmp_path / "after" / peft_io.OPTIMIZER)
    assert_equal(after, {k: v for k, v in before.items() if k in after})
    assert any(name.startswith("grad.") for name in after) == dirty
    assert math.isfinite(good.result(60).metrics["loss:sum"])


def test_an_overflow_spoils_nothing_for_the_neighbours_in_the_pass(
    base: BaseModel, tmp_path: Path
) -> None:
    """The same pass with and without a neighbour that overflows: the same bits."""
    states = []
    good = ForwardBackward(Draw(7).data([10, 20]), "ppo")
    good.loss_fn, good.data = "cross_entropy", Draw(7).data([10, 20])
    for number, other in enumerate((work("ppo"), OVERFLOWS["in the loss"])):
        directory = tmp_path / str(number)
        directory.mkdir()
        with running(base, directory) as client:
            for run in ("bad", "good"):
                create_random(client, run, AdapterSpec(8, 3), directory / run)
            with client.together():
                failing = client.submit("bad", other)
                future = client.submit("good", good)
            assert (failing.exception(60) is None) == (number == 0)
            states.append((future.result(60).metrics, client.state("good", directory / "state")))
    assert states[0][0] == states[1][0]
    assert_equal(states[1][1], states[0][1])


def test_weights_that_exploded_fail_passes_until_others_are_loaded(
    client: Client, tmp_path: Path
) -> None:
    files = create_random(client, "run", AdapterSpec(8, 3), tmp_path / "adapter")
    data = Draw(8).data([20])
    client.do("run", ForwardBackward(data, "cross_entropy"))
    client.do("run", OptimStep(learning_rate=1e30))
    with pytest.raises(UserError, match="not finite"):
        client.do("run", ForwardBackward(data, "cross_entropy"))
    client.do("run", LoadState(files, optimizer=True))
    client.do("run", ForwardBackward(data, "cross_entropy"))


class Poison(RuntimeError):
    """What a test's broken part raises."""


@pytest.mark.parametrize("where", ["in forward", "in backward"])
def test_an_unexpected_exception_fails_only_the_work_at_fault(
    where: str, base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs in one pass, one of which makes the pass raise: the others get their numbers."""
    client_options: dict[str, Any] = {"chunk_tokens": 48}
    works = {run: ForwardBackward(Draw(i).data([30, 40]), "cross_entropy")
             for i, run in enumerate(("a", "poisoned", "b"))}  # fmt: skip
    expected: dict[str, Any] = {}
    for poisoned in (False, True):
        directory = tmp_path / str(poisoned)
        directory.mkdir()
        with running(base, directory, **client_options) as client:
            for run in works:
                create_random(client, run, AdapterSpec(8, 3), directory / run)
            client.do("b", works["a"])  # so that there is a gradient to put back
            if poisoned:
                poison(client, monkeypatch, where)
            with client.together():
                futures = {run: client.submit(run, one) for run, one in works.items()}
            for run, future in futures.items():
                if run == "poisoned" and poisoned:
                    assert isinstance(future.exception(60), Poison)
                    assert client.gradient(run, directory / "state") == {}
                    continue
                result = future.result(60).metrics, client.state(run, directory / f"{run}.state")
                if poisoned:
                    assert result[0] == expected[run][0]
                    assert_equal(result[1], expected[run][1])
                expected[run] = result


def poison(client: Client, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Make every pass that the run "poisoned" is in raise."""
    row = client.engine._runs["poisoned"].row
    assert row is not None

    class Bomb(list[Any]):
        def __getitem__(self, index: Any) -> Any:
            if index == 3:
                raise Poison
            return super().__getitem__(index)

    if where == "in forward":
        row.weights = Bomb(row.weights)
    else:
        row.grads = Bomb(row.grads or [])


def test_a_folder_that_is_there_stays_as_it_is(client: Client, tmp_path: Path) -> None:
    client.do("run", CreateRun(AdapterSpec(8, 3)))
    client.do("run", SaveState(tmp_path / "saved"))
    before = sorted((p.name, p.read_bytes()) for p in (tmp_path / "saved").iterdir())
    again = client.do("run", SaveState(tmp_path / "saved", optimizer=False))
    assert again.size_bytes == sum(len(content) for _, content in before)
    assert sorted((p.name, p.read_bytes()) for p in (tmp_path / "saved").iterdir()) == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


LOADS: list[tuple[AdapterSpec, str]] = [
    (AdapterSpec(9, 1), r"checkpoint has rank 8; this run has 9"),
    (AdapterSpec(8, 1, train_mlp=False), r"train_mlp True; this run has False"),
]


@pytest.mark.parametrize(("spec", "message"), LOADS)
def test_a_checkpoint_of_another_shape_is_refused(
    spec: AdapterSpec, message: str, client: Client, tmp_path: Path
) -> None:
    client.do("one", CreateRun(AdapterSpec(8, 3)))
    client.do("one", SaveState(tmp_path / "saved"))
    client.do("two", CreateRun(spec))
    before = client.state("two", tmp_path / "before")
    with pytest.raises(UserError, match=message):
        client.do("two", LoadState(tmp_path / "saved", optimizer=True))
    assert_equal(client.state("two", tmp_path / "after"), before)


def test_optimizer_state_that_was_not_saved_cannot_be_loaded(
    client: Client, tmp_path: Path
) -> None:
    client.do("run", CreateRun(AdapterSpec(8, 3)))
    client.do("run", PublishSampler("v1", tmp_path / "v1"))
    with pytest.raises(UserError, match="no optimizer state"):
        client.do("run", LoadState(tmp_path / "v1", optimizer=True))
    client.do("run", LoadState(tmp_path / "v1", optimizer=False))


def test_other_alphas_are_refused(client: Client, tmp_path: Path) -> None:
    client.do("run", CreateRun(AdapterSpec(8, 3)))
    client.do("run", SaveState(tmp_path / "saved"))
    config = tmp_path / "saved" / peft_io.CONFIG
    config.write_text(re.sub(r'"lora_alpha": 32', '"lora_alpha": 16', config.read_text()))
    with pytest.raises(UserError, match="lora_alpha is 16; 32 is allowed"):
        client.do("run", LoadState(tmp_path / "saved", optimizer=True))


def test_files_that_are_gone_fail_the_load_alone(client: Client, tmp_path: Path) -> None:
    client.do("run", CreateRun(AdapterSpec(8, 3)))
    client.do("run", SaveState(tmp_path / "saved"))
    shutil.rmtree(tmp_path / "saved")
    with pytest.raises(FileNotFoundError):
        client.do("run", LoadState(tmp_path / "saved", optimizer=True))
    client.do("run", ForwardBackward(Draw(1).data([9]), "cross_entropy"))
