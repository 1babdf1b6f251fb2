"""Curves: buckets that lose no spike, smoothing over all points, what is not finite, bounds."""

from __future__ import annotations

import gc
import math
import time
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import database
from runs import series
from runs.series import FAR, Points, bucket, smoothed
from tests.platform.console_api.conftest import Api, Browser, log, make_run

MANY = 100_000


async def test_few_points_come_as_they_are(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    await log(api, run, *(("loss", step, 1 / (step + 1)) for step in range(5)))
    (found,) = (await browser.shown(f"runs/{run}/series", key="loss"))["series"]
    assert found["x"] == found["steps"] == [0, 1, 2, 3, 4]
    assert found["last"] == found["least"] == found["greatest"]
    assert found["last"] == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    assert (found["total"], found["smooth"], found["cut"]) == (5, [], False)


async def test_many_points_keep_their_spikes_and_come_soon(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    async with database.connection() as conn:
        await conn.execute(
            """
            INSERT INTO runs_metric (run_id, team_id, key, step, value)
            SELECT id, team_id, 'loss', step, CASE step WHEN 77777 THEN 1000 ELSE 1 END
            FROM runs_trainingrun, generate_series(0, %s) AS step WHERE id = %s
            """,
            (MANY - 1, run),
        )
    begun = time.perf_counter()
    answer = await browser.get(f"runs/{run}/series", params={"key": "loss", "smoothing": 0.9})
    seconds = time.perf_counter() - begun
    (found,) = answer.json()["series"]
    assert len(found["x"]) == 400
    assert (found["total"], found["steps"][-1]) == (MANY, MANY - 1)
    assert max(found["greatest"]) == 1000
    assert (min(found["least"]), found["last"].count(1)) == (1, 400)
    assert len(answer.content) < 50_000
    print(f"{MANY} points in {seconds * 1000:.0f} ms")


@pytest.mark.parametrize(
    ("most", "totals"), [(20, [4, 8, 8]), (27, [4, 11, 12]), (28, [4, 12, 12])]
)
async def test_metrics_share_the_points_that_are_read(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch, most: int, totals: list[int]
) -> None:
    monkeypatch.setattr(series, "MOST_POINTS", most)
    run = await make_run(api)
    has = {"a": 4, "b": 12, "c": 12}
    await log(api, run, *((key, step, step) for key, many in has.items() for step in range(many)))
    found = (await browser.shown(f"runs/{run}/series", key=[*has]))["series"]
    assert [one["total"] for one in found] == totals
    assert [one["steps"][-1] for one in found] == [many - 1 for many in has.values()]
    assert [one["cut"] for one in found] == [one["total"] < has[one["key"]] for one in found]


async def test_a_metric_is_put_into_buckets_before_the_next_is_read(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await make_run(api)
    await log(api, run, ("a", 0, 1.0), ("b", 0, 2.0))
    alive: list[weakref.ref[Any]] = []
    bucket = series.bucket

    def watching(found: Points, **asked: Any) -> series.Series:
        gc.collect()
        assert not any(one() is not None for one in alive)
        alive.append(weakref.ref(found.values))
        return bucket(found, **asked)

    monkeypatch.setattr(series, "bucket", watching)
    await browser.shown(f"runs/{run}/series", key=["a", "b"])
    assert len(alive) == 2


async def test_a_part_is_asked_for_by_its_steps(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    await log(api, run, *(("loss", step, step) for step in range(100)))
    asked: dict[str, Any] = {"key": "loss", "from": 10, "to": 29, "buckets": 5}
    (found,) = (await browser.shown(f"runs/{run}/series", **asked))["series"]
    assert found["total"] == 20
    assert (found["least"][0], found["last"][-1]) == (10, 29)
    assert len(found["x"]) == 5


async def test_time_runs_in_seconds_and_tells_the_steps(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    await log(api, run, *(("loss", step, step) for step in range(3)))
    async with database.connection() as conn:
        await conn.execute("UPDATE runs_metric SET time = to_timestamp(1e9 + 60 * step)")
    (found,) = (await browser.shown(f"runs/{run}/series", key="loss", x="time"))["series"]
    assert found["x"] == [1e9, 1e9 + 60, 1e9 + 120]
    assert found["steps"] == [0, 1, 2]


async def test_what_is_not_finite_leaves_a_gap_and_is_counted(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    await log(api, run, ("loss", 0, 1.0), ("loss", 1, "nan"), ("loss", 2, "inf"), ("loss", 3, 2.0))
    (found,) = (await browser.shown(f"runs/{run}/series", key="loss", smoothing=0.5))["series"]
    assert found["last"] == [1.0, None, None, 2.0]
    assert found["least"] == found["greatest"] == found["last"]
    assert found["not_finite"] == 2
    assert found["smooth"][1] == 1.0
    names = (await browser.shown(f"runs/{run}/metrics"))["metrics"]
    assert [(one["key"], one["last_step"], one["better"]) for one in names] == [("loss", 3, "down")]


async def test_several_metrics_come_in_one_answer(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    name = "<b>&/%é"
    await log(api, run, ("a", 0, 1.0), (name, 0, 2.0))
    found = (await browser.shown(f"runs/{run}/series", key=["a", name, "none"]))["series"]
    assert [(one["key"], one["last"]) for one in found] == [
        ("a", [1.0]),
        (name, [2.0]),
        ("none", []),
    ]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"key": [str(number) for number in range(25)]},
        {"key": "x" * 201},
        {"key": "a\0"},
        {"key": "a", "buckets": 0},
        {"key": "a", "buckets": 2001},
        {"key": "a", "smoothing": 1},
        {"key": "a", "smoothing": "nan"},
        {"key": "a", "x": "tokens"},
        {"key": "a", "from": -1},
        {"key": "a", "to": 2**63},
    ],
)
async def test_what_is_out_of_bounds_is_refused(
    browser: Browser, api: Api, query: dict[str, Any]
) -> None:
    run = await make_run(api)
    assert (await browser.get(f"runs/{run}/series", params=query)).status_code == 400


def points(values: list[float]) -> Points:
    """Values at steps from 0 on, a second each."""
    steps = np.arange(len(values))
    return Points("m", steps, np.array(values, dtype=np.float64), steps.astype(np.float64))


@given(st.floats(-1e6, 1e6), st.floats(0, 0.999), st.integers(1, 300))
def test_a_constant_stays_constant_however_smooth(value: float, weight: float, length: int) -> None:
    assert np.allclose(smoothed(np.full(length, value), weight), value)


@given(
    st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=300),
    st.integers(1, 60),
)
def test_buckets_lose_no_extreme_and_no_point(values: list[float], buckets: int) -> None:
    found = bucket(points(values), axis="step", buckets=buckets, smoothing=0)
    finite = [value for value in values if math.isfinite(value)]
    assert len(found.x) <= max(buckets, 1)
    assert found.total == len(values)
    assert found.not_finite == len(values) - len(finite)
    least = [one for one in found.least if one is not None]
    greatest = [one for one in found.greatest if one is not None]
    if finite:
        assert min(least) == pytest.approx(min(finite), rel=1e-8)
        assert max(greatest) == pytest.approx(max(finite), rel=1e-8)
        shown = [one for one in found.last if one is not None]
        assert shown[-1] == pytest.approx(finite[-1], rel=1e-8)
    else:
        assert not least
        assert not greatest


def one_by_one(values: list[float], weight: float) -> list[float]:
    """The average as one would write it down, from value to value."""
    found = []
    total, norm = 0.0, 0.0
    for value in values:
        if math.isfinite(value):
            total, norm = total * weight + value, norm * weight + 1
        found.append(total / norm if norm else math.nan)
    return found


@pytest.mark.parametrize("weight", [0.5, 0.999])
def test_long_metrics_are_smoothed_one_by_one(weight: float) -> None:
    values = np.random.default_rng(1).normal(size=3 * FAR).tolist()
    assert smoothed(np.array(values), weight) == pytest.approx(one_by_one(values, weight))


@given(
    st.lists(
        st.one_of(st.floats(-1e9, 1e9), st.sampled_from([math.nan, math.inf, -math.inf])),
        max_size=500,
    ),
    st.floats(0, 0.999),
)
def test_smoothing_in_blocks_is_smoothing_one_by_one(values: list[float], weight: float) -> None:
    found = smoothed(np.array(values), weight)
    assert np.allclose(found, one_by_one(values, weight), rtol=1e-9, atol=1e-3, equal_nan=True)


def test_smoothing_is_done_before_the_buckets_are_cut() -> None:
    values = [float(number % 7) for number in range(1000)]
    few = bucket(points(values), axis="step", buckets=10, smoothing=0.9)
    all_of_them = bucket(points(values), axis="step", buckets=1000, smoothing=0.9)
    assert few.smooth == [all_of_them.smooth[step] for step in few.steps]
