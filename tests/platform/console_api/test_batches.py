"""Batches: steps, datums of a step, one datum position by position, examples seen again; bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from captures import batches, blocks, keeping
from captures.models import DatumStat, KeptTokens
from catalog.models import BaseModel
from checkpoints import leftovers
from console_api import base
from core import database
from tests.conftest import REPOSITORY
from tests.platform.console_api.conftest import Api, Browser, log, make_run
from tests.support.by_worker import by_worker
from tests.support.captured import datum, step, write

NANO = REPOSITORY / "gpu_workers" / "nano" / "nano-qwen3"


async def test_a_run_that_logs_nothing_has_curves(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    steps = [step(run, n, loss_sum=8.0 / (n + 1), accuracy=None) for n in range(3)]
    await write(steps, [])
    names = {one["key"]: one for one in (await browser.shown(f"runs/{run}/metrics"))["metrics"]}
    assert names["engine/loss"]["first_value"] == 2.0
    assert names["engine/loss"]["last_value"] == pytest.approx(2 / 3)
    assert names["engine/loss"]["better"] == "down"
    assert "engine/accuracy" not in names
    found = await browser.shown(f"runs/{run}/series", key=["engine/loss", "engine/margin"])
    loss, margin = found["series"]
    assert (loss["steps"], loss["last"]) == ([0, 1, 2], [2.0, 1.0, pytest.approx(2 / 3)])
    assert margin["total"] == 0
    (row,) = (await browser.shown("runs"))["runs"]
    assert row["headline"]["key"] == "engine/loss"
    assert row["headline"]["spark"][0] == 2.0
    assert row["headline"]["spark"][-1] == pytest.approx(2 / 3)
    assert row["step"] == 2


async def test_what_a_program_logs_goes_before_what_is_captured(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    await write([step(run, 0, accuracy=0.5)], [])
    await log(api, run, ("train/nll", 0, 2.0))
    (row,) = (await browser.shown("runs"))["runs"]
    assert row["headline"]["key"] == "train/nll"


async def test_captured_names_are_not_for_programs(api: Api) -> None:
    run = await make_run(api)
    body = {"metrics": [{"key": "engine/loss", "step": 0, "value": 1.0}]}
    response = await api.call(f"runs/{run}/metrics", **body)
    assert response.status_code == 400
    assert "engine/loss" in response.text


async def test_steps_newest_first(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    datums = [datum(run, n, place) for n in range(5) for place in range(2)]
    await write([step(run, n) for n in range(4)], datums)  # the last one is not complete
    page = await browser.shown(f"runs/{run}/batches", limit=3)
    assert [one["step"] for one in page["steps"]] == [4, 3, 2]
    assert [one["loss"] for one in page["steps"]] == [None, 1.5, 1.5]
    assert page["steps"][0]["trained_tokens"] == 4
    rest = await browser.shown(f"runs/{run}/batches", before=page["next"], limit=3)
    assert ([one["step"] for one in rest["steps"]], rest["next"]) == ([1, 0], None)


async def test_a_batch_tells_what_is_odd(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    await write([], [datum(run, 0, place, hash=7, loss=4.0) for place in range(1)])
    rows = [
        datum(run, 1, 0, hash=7, loss=2.0),
        datum(run, 1, 1, hash=8, loss=9.0, prompt_hash=5),
        datum(run, 1, 2, hash=8, loss=9.0, prompt_hash=0),
        datum(run, 1, 3, hash=9, trained_tokens=0, loss=0.0, advantage=0.0),
    ]
    await write([], rows)
    page = await browser.shown(f"runs/{run}/batches/1", order="loss", limit=2)
    batch = page["batch"]
    assert (batch["total"], batch["untrained"], batch["twice"], batch["constant"]) == (4, 1, 1, 1)
    assert [one["place"] for one in batch["datums"]] == [1, 2]
    rest = await browser.shown(f"runs/{run}/batches/1", order="loss", limit=2, offset=page["next"])
    assert ([one["place"] for one in rest["batch"]["datums"]], rest["next"]) == ([0, 3], None)
    first = rest["batch"]["datums"][0]
    assert (first["seen"], first["before"], first["kept"]) == (2, 2.0, False)
    by_prompt = await browser.shown(f"runs/{run}/batches/1", order="prompt")
    found = [(one["group"], one["place"]) for one in by_prompt["batch"]["datums"]]
    assert found == [(0, 0), (0, 2), (1, 1), (2, 3)]
    (example,) = (await browser.shown(f"runs/{run}/examples"))["examples"]
    assert (example["seen"], example["step"]) == (2, 1)


async def test_a_datum_position_by_position(
    browser: Browser, api: Api, data_folder: Path, base_model: BaseModel
) -> None:
    await BaseModel.objects.filter(pk=base_model.pk).aupdate(source=str(NANO), tokenizer_id="x")
    run = await make_run(api)
    arrays = {
        "tokens": np.array([40, 41, 42], "<i4"),
        "targets": np.array([41, 42, 43], "<i4"),
        "trained": np.array([False, True, True]),
        "logprobs": np.array([-3, -2, np.nan], "<f2"),
        "weights": np.array([0, 1, 0.5], "<f4"),
    }
    encoded = blocks.encode([arrays])
    key = blocks.key(run, 0)
    (offset,) = blocks.append(key, [encoded])
    where = {"block": key, "offset": offset, "length": len(encoded), "part": 0}
    kept = keeping.Kept(run, 0, key, len(encoded))
    await write([], [datum(run, 0, 0, **where)], kept)
    row = await DatumStat.objects.aget(run=run)
    shown = await browser.shown(f"runs/{run}/datums/{row.pk}")
    positions = shown["datum"]["positions"]
    assert positions["tokens"] == [40, 41, 42, 43]
    assert positions["trained"] == [False, False, True, True]
    assert positions["logprobs"] == [None, -3.0, -2.0, None]
    assert positions["weights"] == [None, 0.0, 1.0, 0.5]
    assert positions["advantages"] == positions["sampled"] == []
    assert len(shown["texts"]) == 4
    assert shown["datum"]["times"] == [{"step": 0, "loss": 1.5, "logprob": -1.5}]


async def test_tokens_that_are_gone_are_told_so(
    browser: Browser, api: Api, data_folder: Path
) -> None:
    run = await make_run(api)
    where = {"block": blocks.key(run, 0), "offset": 0, "length": 9, "part": 0}
    await write([], [datum(run, 0, 0, **where)])
    row = await DatumStat.objects.aget(run=run)
    shown = await browser.shown(f"runs/{run}/datums/{row.pk}")
    assert (shown["datum"]["positions"], shown["texts"]) == (None, [])


async def test_damaged_blocks_are_no_server_error() -> None:
    arrays = {"tokens": np.arange(9, dtype="<i4")}
    encoded = blocks.encode([arrays])
    assert (blocks.decode(encoded, 0)["tokens"] == np.arange(9)).all()
    for wrong in (encoded[:-3], b"", b"x" * 40, blocks.encode([]), b"\x28\xb5\x2f\xfd" + b"\0" * 8):
        with pytest.raises(blocks.NotKept):
            blocks.decode(wrong, 0)


async def test_long_datums_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_TOKENS", 3)
    arrays = {
        "tokens": np.arange(5, dtype="<i4"),
        "targets": np.arange(1, 6, dtype="<i4"),
        "trained": np.ones(5, bool),
        "logprobs": np.zeros(5, "<f2"),
    }
    positions = batches._positions(arrays)
    assert (positions.tokens, positions.cut) == ([0, 1, 2, 3], 2)
    assert len(positions.trained) == len(positions.logprobs) == 4


async def test_above_the_ceiling_the_oldest_go(api: Api, data_folder: Path) -> None:
    run = await make_run(api)
    kept = []
    for number in range(40):
        key = blocks.key(run, number)
        blocks.append(key, [b"x" * 100])
        kept.append(keeping.Kept(run, number, key, 100))
        where = {"block": key, "offset": 0, "length": 100, "part": 0}
        await write([], [datum(run, number, 0, **where)], kept[-1])

    def thin(most: int) -> None:
        with database.connect() as conn:
            keeping.thin(conn, [run], most_of_run=most)
            leftovers.delete_due(conn)

    await by_worker(lambda conn: thin(3000))
    left = {row.step async for row in KeptTokens.objects.filter(run=run)}
    # steps 3 to 9 and 11 to 13 are worth least and go oldest first
    assert left == set(range(40)) - {3, 4, 5, 6, 7, 8, 9, 11, 12, 13}
    assert not (blocks.store.path(blocks.key(run, 3)) / blocks.FILE).exists()
    assert (blocks.store.path(blocks.key(run, 0)) / blocks.FILE).exists()
    assert await DatumStat.objects.filter(run=run).acount() == 40
    assert await DatumStat.objects.filter(run=run, block=None).acount() == 10
    await by_worker(lambda conn: thin(1000))
    assert await KeptTokens.objects.filter(run=run).acount() == 10
    assert (await KeptTokens.objects.filter(run=run).order_by("step").afirst()).step == 30  # type: ignore[union-attr]


async def test_strangers_find_nothing(stranger: Browser, api: Api) -> None:
    run = await make_run(api)
    await write([step(run, 0)], [datum(run, 0, 0)])
    row = await DatumStat.objects.aget(run=run)
    for address in ("batches", "batches/0", f"datums/{row.pk}", "examples"):
        assert (await stranger.get(f"runs/{run}/{address}")).status_code == 404


async def test_a_datum_of_another_run_is_not_found(browser: Browser, api: Api) -> None:
    run, other = await make_run(api), await make_run(api)
    await write([], [datum(run, 0, 0)])
    row = await DatumStat.objects.aget(run=run)
    assert (await browser.get(f"runs/{other}/datums/{row.pk}")).status_code == 404


async def test_unknown_orders_are_refused_by_name(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    response = await browser.get(f"runs/{run}/batches/0", params={"order": "size"})
    assert response.status_code == 400
    assert "place, loss, prompt" in response.text
    for address in ("batches", "batches/0"):
        response = await browser.get(f"runs/{run}/{address}", params={"size": "1"})
        assert (response.status_code, "'size'" in response.text) == (400, True)


@pytest.mark.parametrize("address", ["datums/1", "examples"])
async def test_unknown_parameters_are_refused_by_name(
    browser: Browser, api: Api, address: str
) -> None:
    run = await make_run(api)
    response = await browser.get(f"runs/{run}/{address}", params={"limits": "1"})
    assert response.status_code == 400, response.text
    assert "limits" in response.text


async def test_a_page_of_what_is_all_the_same_is_read_once(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = await make_run(api)
    await write([], [datum(run, 0, 0, hash=7, prompt_hash=7)])
    async with database.connection() as conn:
        await conn.execute(
            """
            INSERT INTO captures_datumstat (run_id, team_id, step, seq, place, loss_fn, tokens,
                                            trained_tokens, loss, hash, prompt_hash)
            SELECT run_id, team_id, 1 + n / 500, 1 + n / 500, n %% 500, loss_fn, tokens,
                   trained_tokens, loss, hash, prompt_hash
            FROM captures_datumstat, generate_series(0, 29999) n WHERE run_id = %s
            """,
            (run,),
        )
        await conn.execute("ANALYZE captures_datumstat")
    monkeypatch.setattr(base, "STATEMENT_WITHIN_S", 1)
    page = await browser.shown(f"runs/{run}/batches/60", limit=500)
    assert {one["seen"] for one in page["batch"]["datums"]} == {61}
