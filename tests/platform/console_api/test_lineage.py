"""Where weights came from and went to: noted with what brought them, shown within bounds."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from checkpoints.models import Checkpoint
from core import database
from events.models import Event
from runs import lineage, parents
from runs.models import Parent, TrainingRun
from tests.platform.console_api.conftest import Api, Browser, make_run
from tests.support.saved import address, save_checkpoint

pytestmark = pytest.mark.usefixtures("data_folder")


async def load(run: str, source: str, *, seq: int = 1, optimizer: bool = True) -> None:
    """What a worker writes when a run has loaded a checkpoint."""

    def note() -> None:
        with database.connect() as conn, conn.transaction():
            parents.note(
                conn,
                run_id=run,
                seq=seq,
                how=parents.How.LOADED if seq else parents.How.CREATED,
                source=source,
                optimizer=optimizer,
            )

    await asyncio.to_thread(note)


async def shown(browser: Browser, **which: str) -> Any:
    """The lineage: names of saves by run with how they stand, and edges."""
    found = await browser.shown("lineage", **which)
    saves = {(one["run_id"], one["name"]): one["standing"] for one in found["saves"]}
    edges = [
        (one["source_run"], one["source_name"], one["how"], one["optimizer"], one["run_id"])
        for one in found["edges"]
    ]
    return {one["id"] for one in found["runs"]}, saves, edges


async def test_loads_are_noted_once_and_told(browser: Browser, api: Api) -> None:
    first = await save_checkpoint(await make_run(api))
    run = await make_run(api)
    for _ in range(2):
        await load(run, first.path, seq=3, optimizer=False)
    event = await Event.objects.aget(kind="run.loaded")
    assert (event.about, event.run_id) == (run, run)
    assert event.data == {"seq": 3, "how": "loaded", "source": first.path, "optimizer": False}
    _, _, edges = await shown(browser, run=run)
    assert edges == [(first.run_id, "s1", "loaded", False, run)]


async def test_a_run_shows_all_that_hangs_together_with_it(browser: Browser, api: Api) -> None:
    a, b, c, other = [await make_run(api) for _ in range(4)]
    first = await save_checkpoint(a)
    await save_checkpoint(a, "sampler_weights")
    second = await save_checkpoint(b)
    await save_checkpoint(other)
    await load(b, first.path, seq=0)
    await load(c, second.path, seq=0, optimizer=False)
    await load(a, second.path, seq=9)  # a circle
    for run in (a, b, c):
        runs, saves, edges = await shown(browser, run=run)
        assert runs == {a, b, c}
        assert saves == {(a, "s1"): "kept", (b, "s1"): "kept"}
        assert sorted(edges) == sorted(
            [
                (a, "s1", "created", True, b),
                (b, "s1", "created", False, c),
                (b, "s1", "loaded", True, a),
            ]
        )
    runs, saves, _ = await shown(browser)
    assert runs == {a, b, c, other}
    found = await browser.shown("lineage", run=a)
    one = next(save for save in found["saves"] if save["run_id"] == a)
    assert one["segments"] == ["weights", "sampler_weights"]


async def test_a_copy_comes_from_its_source(browser: Browser, api: Api) -> None:
    item = await save_checkpoint(await make_run(api))
    body = {"source_path": item.path, "destination_project_id": "p"}
    path = (await api.call("copy_weights", **body)).json()["tinker_path"]
    run = path.split("/")[2]
    _, _, edges = await shown(browser, run=run)
    assert edges == [(item.run_id, "s1", "copied", True, run)]
    assert await Event.objects.filter(kind="run.loaded", about=run).aexists()


async def test_what_is_gone_deleted_or_another_teams_is_said(
    browser: Browser, stranger: Browser, api: Api, other_api: Api
) -> None:
    foreign = await save_checkpoint(await make_run(other_api), public=True)
    old, gone = (
        await save_checkpoint(await make_run(api)),
        await save_checkpoint(await make_run(api), name="x"),
    )
    run = await make_run(api)
    for seq, item in enumerate((foreign, old, gone)):
        await load(run, item.path, seq=seq)
    assert (await api.delete(address(old))).is_success
    await Checkpoint.objects.filter(pk=gone.pk).aupdate(expires_at=timezone.now())
    runs, saves, _ = await shown(browser, run=run)
    assert runs == {run, old.run_id, gone.run_id}
    assert saves == {
        (foreign.run_id, "s1"): "foreign",
        (old.run_id, "s1"): "deleted",
        (gone.run_id, "x"): "gone",
    }
    # whose checkpoint was loaded does not learn by whom
    runs, saves, edges = await shown(stranger)
    assert (runs, edges) == ({foreign.run_id}, [])
    assert (await stranger.get(f"lineage?run={run}")).status_code == 404
    assert run not in (await stranger.get(f"lineage?run={foreign.run_id}")).text
    # nor where that came from in turn
    published = await save_checkpoint(await make_run(api), public=True)
    await load(foreign.run_id, published.path, seq=3)
    runs, _, _ = await shown(browser, run=run)
    assert published.run_id not in runs


async def test_many_saves_are_folded_and_many_runs_are_cut(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [await make_run(api) for _ in range(3)]
    for at, run in enumerate(runs):
        for name in ("a", "b", "c"):
            await save_checkpoint(run, name=name)
        created = timezone.now() + timedelta(seconds=at)
        await TrainingRun.objects.filter(pk=run).aupdate(created_at=created)
    await load(runs[2], f"tinker://{runs[1]}/weights/b", seq=0)
    monkeypatch.setattr(lineage, "MAX_SAVES", 8)
    found = await browser.shown("lineage")
    assert (found["folded"], found["cut"]) == (True, False)
    assert [(one["run_id"], one["name"]) for one in found["saves"]] == [(runs[1], "b")]
    assert [one["saves"] for one in found["runs"]] == [3, 3, 3]
    monkeypatch.setattr(lineage, "MAX_RUNS", 2)
    found = await browser.shown("lineage")
    assert found["cut"]
    assert [one["id"] for one in found["runs"]] == runs[1:]
    # the run that is asked for is there, and what is cut is not taken for another team's
    await load(runs[2], f"tinker://{runs[0]}/weights/a", seq=1)
    assert runs[0] in (await shown(browser, run=runs[0]))[0]
    _, saves, _ = await shown(browser)
    assert saves[runs[0], "a"] == "kept"


async def test_the_run_in_an_address_is_what_the_index_finds(browser: Browser, api: Api) -> None:
    item = await save_checkpoint(await make_run(api))
    await load(await make_run(api), item.path)
    noted = await Parent.objects.aget()
    assert noted.source_run == item.run_id
    assert re.match(r"tinker://(.*)/weights/s1$", noted.source)[1] == item.run_id  # type: ignore[index]
    refused = await browser.get("lineage?what=else")
    assert (refused.status_code, "'what'" in refused.text) == (400, True)
