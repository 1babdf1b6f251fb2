"""What people do to checkpoints in their browser, and how a deletion is undone."""

from __future__ import annotations

import errno
import io
import os
import tarfile
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import Membership, Role
from audit.models import Entry
from checkpoints import undo
from checkpoints.models import Checkpoint, Deleted, Leftover
from core import database, disk
from events.models import Event
from operations.models import Payload
from tests.platform.console_api.conftest import Api, Browser, log, make_run
from tests.support.saved import CONFIG, WEIGHTS, address, files_of, save_checkpoint, sweep
from usage import storage
from usage.models import EndedCheckpoint

pytestmark = pytest.mark.usefixtures("data_folder")


async def change(browser: Browser, action: str, *items: Checkpoint, **more: Any) -> Any:
    """Do something to checkpoints, which must be possible."""
    paths = [item.path for item in items]
    answer = await browser.post(
        "checkpoints/changes", json={"action": action, "paths": paths, **more}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def bring_back(browser: Browser, *ids: int, action: str = "restore") -> Any:
    """Ask for deleted checkpoints again."""
    return await browser.post("checkpoints/deleted", json={"action": action, "ids": list(ids)})


async def told() -> list[str]:
    """The events about checkpoints, and the entries in the audit log, which must be the same."""
    kinds = Event.objects.filter(kind__startswith="checkpoint.").order_by("id")
    entries = Entry.objects.filter(event__startswith="checkpoint.").order_by("id")
    found = [one.kind async for one in kinds]
    assert found == [one.event async for one in entries]
    return found


async def test_each_verb_does_tells_and_notes_it(browser: Browser, api: Api) -> None:
    item = await save_checkpoint(await make_run(api))
    assert (await change(browser, "publish", item))["done"] == [
        {"path": item.path, "deleted_id": None}
    ]
    await change(browser, "ttl", item, ttl_seconds=7200)
    await item.arefresh_from_db()
    assert item.public
    assert item.expires_at is not None
    assert timedelta(minutes=119) < item.expires_at - timezone.now() <= timedelta(hours=2)
    await change(browser, "ttl", item, ttl_seconds=None)
    await change(browser, "unpublish", item)
    await item.arefresh_from_db()
    assert (item.public, item.expires_at) == (False, None)
    assert await told() == [
        f"checkpoint.{verb}" for verb in ("published", "ttl_set", "ttl_set", "unpublished")
    ]


async def test_what_is_deleted_is_gone_everywhere_and_comes_back_as_it_was(
    browser: Browser, api: Api
) -> None:
    item = await save_checkpoint(
        await make_run(api), user_metadata={"a": "b"}, public=True, size_bytes=1000, step=7
    )
    link = (await api.get(f"{address(item)}/archive")).json()["url"]
    before = await Checkpoint.objects.values().aget()
    deleted = await change(browser, "delete", item)
    number = deleted["done"][0]["deleted_id"]
    assert (deleted["size_bytes"], number) == (1000, item.pk)
    # nobody loads, samples, downloads, copies or finds it, by whichever door
    assert (await browser.shown("checkpoints"))["total"] == 0
    assert (await browser.shown(f"runs/{item.run_id}/checkpoints"))["total"] == 0
    assert (await api.get("checkpoints")).json()["checkpoints"] == []
    assert (await api.get(link)).status_code == 404
    session = await api.session()
    for path, body in (
        ("weights_info", {"tinker_path": item.path}),
        ("load_weights", {"session_id": session, "model_seq_id": 5, "path": item.path}),
        ("create_sampling_session",
         {"session_id": session, "sampling_session_seq_id": 5, "model_path": item.path}),
        ("copy_weights", {"source_path": item.path, "destination_project_id": "p"}),
    ):  # fmt: skip
        assert (await api.call(path, **body)).status_code == 404, path
    archive = await browser.post("checkpoints/archives", json={"path": item.path})
    assert archive.status_code == 404
    (shown,) = (await browser.shown("checkpoints/deleted", run=item.run_id))["deleted"]
    assert (shown["id"], shown["path"], shown["size_bytes"]) == (number, item.path, 1000)
    assert sweep() == []
    assert len(files_of(item)) == 3

    assert (await bring_back(browser, number)).status_code == 200
    after = await Checkpoint.objects.values().aget()
    assert after.pop("restored_at") is not None
    before.pop("restored_at")
    assert after == before
    assert (await api.get(link)).status_code == 200
    assert not await Deleted.objects.aexists()
    assert not await Leftover.objects.aexists()
    assert (await bring_back(browser, number)).status_code == 404
    entry = await Entry.objects.aget(event="checkpoint.restored")
    assert (entry.target, entry.user_id is not None) == (item.path, True)


async def test_storage_counts_until_the_deletion_and_from_the_undo_on(
    browser: Browser, api: Api
) -> None:
    item = await save_checkpoint(await make_run(api))
    await Checkpoint.objects.aupdate(created_at=timezone.now() - timedelta(hours=5))
    await item.arefresh_from_db()
    await change(browser, "delete", item)
    assert (await api.get("billing/usage/checkpoints/current")).json() == {"data": []}
    await bring_back(browser, item.pk)
    first = await EndedCheckpoint.objects.aget()
    back = await Checkpoint.objects.aget()
    assert back.restored_at is not None
    assert (first.created_at, first.ended_at <= back.restored_at) == (item.created_at, True)
    await change(browser, "delete", back)
    second = await EndedCheckpoint.objects.order_by("id").alast()
    assert second is not None
    assert second.created_at == back.restored_at, "no second is counted twice"


async def test_the_mean_of_a_month_counts_no_second_twice(browser: Browser, api: Api) -> None:
    item = await save_checkpoint(await make_run(api), size_bytes=1000)
    hours = timedelta(hours=5)
    await Checkpoint.objects.aupdate(created_at=timezone.now() - hours)
    await change(browser, "delete", item)
    await bring_back(browser, item.pk)
    start, end = timezone.now() - 2 * hours, timezone.now() + hours
    stored = await storage.of_month(team_id=item.team_id, start=start, end=end)
    assert (stored.checkpoint_count, stored.mean_bytes) == (1, pytest.approx(500, abs=5))


async def test_a_name_that_was_taken_since_is_not_overwritten(browser: Browser, api: Api) -> None:
    old = await save_checkpoint(await make_run(api))
    await change(browser, "delete", old)
    new = await Checkpoint.objects.acreate(
        run_id=old.run_id, team_id=old.team_id, segment=old.segment, name=old.name,
        key="other", size_bytes=1,
    )  # fmt: skip
    refused = await bring_back(browser, old.pk)
    assert (refused.status_code, "has been saved anew" in refused.text) == (409, True)
    assert await Deleted.objects.filter(pk=old.pk).aexists()
    # past its time it takes no name, whether or not the sweep has been there
    await Checkpoint.objects.filter(pk=new.pk).aupdate(expires_at=timezone.now())
    assert (await bring_back(browser, old.pk)).status_code == 200
    assert (await Checkpoint.objects.aget()).pk == old.pk
    assert [one.key async for one in Leftover.objects.all()] == ["other"]


async def test_nothing_is_kept_beyond_its_own_time_or_the_day(browser: Browser, api: Api) -> None:
    soon = timezone.now() + timedelta(hours=2)
    item = await save_checkpoint(await make_run(api), expires_at=soon)
    other = await save_checkpoint(item.run_id, name="s2")
    await change(browser, "delete", item, other)
    until = {one.pk: one.until async for one in Deleted.objects.all()}
    assert until[item.pk] == soon
    assert abs(until[other.pk] - timezone.now() - timedelta(hours=24)) < timedelta(minutes=1)
    await Deleted.objects.filter(pk=other.pk).aupdate(until=timezone.now())
    assert (await bring_back(browser, other.pk)).status_code == 404
    assert [one["id"] for one in (await browser.shown("checkpoints/deleted"))["deleted"]] == [
        item.pk
    ]
    assert sweep() == [other.key]


async def test_giving_up_frees_the_room_at_once(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await save_checkpoint(await make_run(api))
    second = await save_checkpoint(first.run_id, name="s2")
    await change(browser, "delete", first, second)
    assert (await bring_back(browser, first.pk, action="purge")).status_code == 200
    assert (files_of(first), len(files_of(second))) == ([], 3)
    assert (await bring_back(browser, first.pk)).status_code == 404

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        assert (await bring_back(browser, second.pk, action="purge")).is_success
    assert files_of(second)
    assert sweep() == [second.key]


async def test_giving_up_spares_what_a_run_needs_after_a_crash(browser: Browser, api: Api) -> None:
    """An operation that has read the files is done again from them when its worker dies."""
    item = await save_checkpoint(await make_run(api))
    held = Payload.objects.filter(operation__target=item.run_id)
    assert await held.aupdate(reads=item.key) == 1
    await change(browser, "delete", item)
    assert (await bring_back(browser, item.pk, action="purge")).is_success
    assert (len(files_of(item)), sweep()) == (3, [])
    await held.aupdate(reads=None)
    assert sweep() == [item.key]


async def test_a_disk_that_is_nearly_full_ends_the_time_of_all(
    browser: Browser, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = await save_checkpoint(await make_run(api))
    await change(browser, "delete", item)
    monkeypatch.setattr(disk, "SCARCE_BYTES", 2**62)
    with database.connect() as conn:
        undo.end_due(conn)
    monkeypatch.undo()
    assert sweep() == [item.key]
    entry = await Entry.objects.aget(event="checkpoint.purged")
    assert entry.details == {"reason": "the disk is nearly full"}
    assert await told() == ["checkpoint.deleted", "checkpoint.purged"]


async def test_of_many_what_can_be_done_is_done(browser: Browser, api: Api) -> None:
    first = await save_checkpoint(await make_run(api), size_bytes=10)
    second = await save_checkpoint(first.run_id, name="s2", size_bytes=30)
    gone = Checkpoint(run_id=first.run_id, segment="weights", name="s3")
    changed = await change(browser, "delete", first, gone, second)
    assert [one["path"] for one in changed["done"]] == [first.path, second.path]
    assert [one["path"] for one in changed["refused"]] == [gone.path]
    assert changed["size_bytes"] == 40
    back = await bring_back(browser, *(one["deleted_id"] for one in changed["done"]))
    assert len(back.json()["done"]) == 2
    assert (await browser.shown("checkpoints"))["total"] == 2


@pytest.mark.parametrize("encrypted", [False, True])
async def test_an_archive_is_downloaded_by_its_name(
    browser: Browser, api: Api, encrypted: bool
) -> None:
    item = await save_checkpoint(await make_run(api), "external_weights", encrypted=encrypted)
    ending = ".age" if encrypted else ""
    if encrypted:
        for name in files_of(item):
            path = undo.store.path(item.key) / name
            path.rename(f"{path}.age")
    answer = await browser.post("checkpoints/archives", json={"path": item.path})
    told = answer.json()
    assert (told["name"], told["encrypted"]) == ("s1-external_weights.tar", encrypted)
    got = await browser.get(f"http://testserver{told['url']}")
    assert f'filename="{told["name"]}"' in got.headers["Content-Disposition"]
    with tarfile.open(fileobj=io.BytesIO(got.content), mode="r:") as opened:
        config, weights = (
            opened.extractfile(f"{name}{ending}")
            for name in ("adapter_config.json", "adapter_model.safetensors")
        )
        assert config is not None
        assert weights is not None
        assert (config.read(), weights.read()) == (CONFIG, WEIGHTS)


@pytest.mark.parametrize(
    "body",
    [
        {"action": "explode", "paths": ["x"]},
        {"action": "delete", "paths": []},
        {"action": "delete", "paths": ["nonsense"]},
        {"action": "delete", "paths": ["tinker://a\0/weights/b"]},
        {"action": "delete", "paths": ["x"] * 201},
        {"action": "ttl", "paths": ["tinker://a:train:0/weights/b"]},
        {"action": "ttl", "paths": ["tinker://a:train:0/weights/b"], "ttl_seconds": 5},
        {"action": "publish", "paths": ["tinker://a:train:0/weights/b"], "ttl_seconds": 7200},
        {"action": "publish", "paths": ["tinker://a:train:0/weights/b"], "more": 1},
        "text",
    ],
)
async def test_what_is_no_such_request_is_refused(browser: Browser, body: Any) -> None:
    assert (await browser.post("checkpoints/changes", json=body)).status_code == 400
    address = "checkpoints/changes?even=more"
    assert (await browser.post(address, json=body)).status_code == 400


async def test_a_viewer_changes_nothing_and_downloads(browser: Browser, api: Api) -> None:
    item = await save_checkpoint(await make_run(api))
    await change(browser, "delete", await save_checkpoint(item.run_id, name="s2"))
    number = (await Deleted.objects.aget()).pk
    await Membership.objects.aupdate(role=Role.VIEWER)
    for action in ("publish", "unpublish", "delete"):
        body = {"action": action, "paths": [item.path]}
        refused = await browser.post("checkpoints/changes", json=body)
        assert (refused.status_code, "yours is viewer" in refused.text) == (403, True)
    for action in ("restore", "purge"):
        assert (await bring_back(browser, number, action=action)).status_code == 403
    answer = await browser.post("checkpoints/archives", json={"path": item.path})
    assert answer.status_code == 200


async def test_another_team_finds_nothing(browser: Browser, stranger: Browser, api: Api) -> None:
    item = await save_checkpoint(await make_run(api), public=True)
    gone = await save_checkpoint(item.run_id, name="s2")
    await change(browser, "delete", gone)
    body = {"action": "delete", "paths": [item.path]}
    assert (await stranger.post("checkpoints/changes", json=body)).status_code == 404
    assert (await bring_back(stranger, gone.pk)).status_code == 404
    assert (await stranger.shown("checkpoints/deleted"))["total"] == 0
    assert (await stranger.get(f"checkpoints/deleted?run={item.run_id}")).status_code == 404


async def test_a_checkpoint_shows_its_step_and_its_score(browser: Browser, api: Api) -> None:
    run = await make_run(api)
    await log(api, run, ("reward", 3, 0.25), ("reward", 9, 0.75), ("loss", 9, 1.0))
    await save_checkpoint(run, name="a", step=5)
    await save_checkpoint(run, name="b", step=9)
    await save_checkpoint(run, name="c", step=1)
    await save_checkpoint(run, name="d")
    shown = (await browser.shown(f"runs/{run}/checkpoints"))["checkpoints"]
    scores = {one["name"]: (one["step"], one["score"]) for one in shown}
    reward = {"key": "reward", "better": "up"}
    assert scores == {
        "a": (5, {**reward, "value": 0.25}),
        "b": (9, {**reward, "value": 0.75}),
        "c": (1, None),
        "d": (None, None),
    }
