"""Checkpoints' files and who may read them: downloads, other teams' keys, copies."""

from __future__ import annotations

import io
import tarfile
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from audit.models import Entry
from checkpoints import store
from checkpoints.models import Checkpoint, Deleted, Leftover
from core import links
from operations.models import Operation, Payload
from runs.models import Sampler, TrainingRun
from tests.platform.tinker_api.conftest import Api, saved
from tests.support.saved import CONFIG, WEIGHTS, address, files_of, sweep

pytestmark = pytest.mark.usefixtures("data_folder")


class TestDownloads:
    """Signed addresses: they need no key and give the files."""

    async def test_external_weights(self, api: Api) -> None:
        item = await saved(api, "external_weights")
        reply = (await api.get(f"{address(item)}/external_weights_urls")).json()
        assert set(reply["urls"]) == {"adapter_config.json", "adapter_model.safetensors"}
        left = datetime.fromisoformat(reply["expires"]) - datetime.now(UTC)
        assert timedelta(minutes=55) < left <= timedelta(hours=1)
        del api.headers["X-API-Key"]
        for name, content in (
            ("adapter_config.json", CONFIG),
            ("adapter_model.safetensors", WEIGHTS),
        ):
            assert reply["urls"][name].startswith("http://testserver/api/v1/downloads/")
            response = await api.get(reply["urls"][name])
            assert (response.status_code, response.content) == (200, content)
            assert response.headers["Content-Length"] == str(len(content))
            assert name in response.headers["Content-Disposition"]

    async def test_the_public_address_is_used_when_there_is_one(
        self, api: Api, settings: Any
    ) -> None:
        item = await saved(api, "external_weights")
        settings.PUBLIC_URL = "https://tinsmith.example.org"
        reply = (await api.get(f"{address(item)}/external_weights_urls")).json()
        for url in reply["urls"].values():
            assert url.startswith("https://tinsmith.example.org/api/v1/downloads/")

    async def test_an_archive_is_a_plain_tar(self, api: Api) -> None:
        item = await saved(api)
        reply = (await api.get(f"{address(item)}/archive")).json()
        assert set(reply) == {"url", "expires"}
        del api.headers["X-API-Key"]
        response = await api.get(reply["url"])
        assert response.headers["Content-Length"] == str(len(response.content))
        with tarfile.open(fileobj=io.BytesIO(response.content), mode="r:") as archive:
            members = {member.name: member for member in archive.getmembers()}
            assert list(members) == [
                "adapter_config.json",
                "adapter_model.safetensors",
                "checkpoint_complete",
            ]
            assert all(member.isreg() for member in members.values())
            config = archive.extractfile("adapter_config.json")
            weights = archive.extractfile("adapter_model.safetensors")
            assert config is not None
            assert weights is not None
            assert (config.read(), weights.read()) == (CONFIG, WEIGHTS)

    async def test_any_part_of_a_download_is_to_be_had(self, api: Api) -> None:
        item = await saved(api)
        archive = (await api.get(f"{address(item)}/archive")).json()["url"]
        item = await saved(api, "external_weights")
        files = (await api.get(f"{address(item)}/external_weights_urls")).json()["urls"]
        del api.headers["X-API-Key"]
        for url in (archive, *files.values()):
            whole = await api.get(url)
            size, version = len(whole.content), whole.headers["ETag"]
            assert whole.headers["Accept-Ranges"] == "bytes"
            head = await api.head(url)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["Content-Length"] == str(size)
            assert head.headers["ETag"] == version
            starts = {0, 1, size // 2, size - 1} | {at for at in range(511, 1600, 64) if at < size}
            for start in sorted(starts):
                for end in {start + 1, min(start + 700, size), size - size % 512 or size}:
                    if end <= start:
                        continue
                    part = await api.get(url, headers={"Range": f"bytes={start}-{end - 1}"})
                    assert (part.status_code, part.content) == (206, whole.content[start:end])
                    assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
                    assert part.headers["Content-Length"] == str(end - start)
            for asked, expected in (
                (f"bytes={size // 2}-", whole.content[size // 2 :]),
                ("bytes=-5", whole.content[-5:]),
                (f"bytes=-{size + 9}", whole.content),
                (f"bytes=3-{size + 9}", whole.content[3:]),
            ):
                part = await api.get(url, headers={"Range": asked, "If-Range": version})
                assert (part.status_code, part.content) == (206, expected)
            for asked in ("bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "bytes=x-", "bytes=-"):
                part = await api.get(url, headers={"Range": asked})
                assert (part.status_code, part.content) == (200, whole.content)
            old = {"Range": "bytes=1-", "If-Range": '"another"'}
            assert (await api.get(url, headers=old)).content == whole.content
            for asked in (f"bytes={size}-", "bytes=-0"):
                part = await api.get(url, headers={"Range": asked})
                assert part.status_code == 416
                assert part.headers["Content-Range"] == f"bytes */{size}"

    async def test_addresses_that_nobody_signed(self, api: Api) -> None:
        item = await saved(api)
        url = (await api.get(f"{address(item)}/archive")).json()["url"]
        head, signed, name = url.rsplit("/", 2)
        middle = len(signed) // 2
        swapped = "A" if signed[middle] != "A" else "B"
        forged = signed[:middle] + swapped + signed[middle + 1 :]
        for bad in (f"{head}/{forged}/{name}", f"{head}/{signed}/passwd", f"{head}/x:y/{name}"):
            response = await api.get(bad)
            assert response.status_code == 404, bad

    async def test_no_name_leads_out_of_the_checkpoint(self, api: Api) -> None:
        item = await saved(api)
        later = datetime.now(UTC) + timedelta(hours=1)
        for name in ("optimizer.safetensors", "..", "x"):
            signed = links.sign(later, kind="file", checkpoint=item.id, name=name)
            assert (await api.get(f"downloads/{signed}/{name}")).status_code == 404

    async def test_an_expired_address(self, api: Api) -> None:
        item = await saved(api)
        past = datetime.now(UTC) - timedelta(seconds=1)
        signed = links.sign(past, kind="archive", checkpoint=item.id, name="checkpoint.tar")
        assert (await api.get(f"downloads/{signed}/checkpoint.tar")).status_code == 410

    async def test_deleting_ends_the_addresses(self, api: Api) -> None:
        item = await saved(api)
        url = (await api.get(f"{address(item)}/archive")).json()["url"]
        await api.delete(address(item))
        assert (await api.get(url)).status_code == 404

    async def test_an_address_lasts_no_longer_than_its_checkpoint(self, api: Api) -> None:
        soon = timezone.now() + timedelta(minutes=5)
        item = await saved(api, expires_at=soon)
        reply = (await api.get(f"{address(item)}/archive")).json()
        assert datetime.fromisoformat(reply["expires"]) == soon

    async def test_reads_are_audited(self, api: Api) -> None:
        item = await saved(api)
        await api.get(f"{address(item)}/archive")
        entry = await Entry.objects.aget(event="checkpoint.read")
        assert (entry.target, entry.details) == (item.path, {"purpose": "download"})


class TestBorrowing:
    """`weights_access_token`: another team's key opens that team's checkpoints."""

    async def test_a_new_run_from_another_teams_checkpoint(
        self, api: Api, other_api: Api, other_key: str
    ) -> None:
        item = await saved(other_api)
        session = await api.session()
        body = {
            "session_id": session,
            "model_seq_id": 0,
            "path": item.path,
            "optimizer": True,
        }
        assert (await api.call("load_weights", **body)).status_code == 404
        refused = await api.call("load_weights", **body, weights_access_token="tml-nonsense")
        assert (refused.status_code, "weights_access_token" in refused.text) == (400, True)
        assert not await TrainingRun.objects.filter(session_id=session).aexists()

        made = await api.call("load_weights", **body, weights_access_token=other_key)
        assert made.json()["model_id"] == f"{session}:train:0"
        payload = await Payload.objects.aget(operation__target=f"{session}:train:0")
        assert other_key.encode() not in bytes(payload.body)
        assert f'"team:{item.team_id}"'.encode() in bytes(payload.body)
        entry = await Entry.objects.aget(event="checkpoint.read")
        assert (entry.team_id, entry.details) == (item.team_id, {"by_team": "Team"})

    async def test_loading_into_a_run(self, api: Api, other_api: Api, other_key: str) -> None:
        item = await saved(other_api)
        run = await api.run(await api.session())
        for seq, token in ((1, other_key), (2, "tml-nonsense"), (3, f"team:{item.team_id}")):
            response = await api.call(
                "load_weights",
                model_id=run,
                seq_id=seq,
                path=item.path,
                optimizer=True,
                weights_access_token=token,
            )
            assert response.json() == {"request_id": f"{run}:{seq}", "model_id": run}
        kinds = [op.kind async for op in Operation.objects.filter(target=run).order_by("seq")]
        assert kinds == ["create_run", "load_weights", "refused", "refused"]
        stored = [bytes(item.body) async for item in Payload.objects.order_by("operation_id")]
        assert not any(other_key.encode() in body for body in stored)


class TestCopying:
    """`copy_weights`."""

    async def copy(self, api: Api, source: str, key: str = "k1", **fields: Any) -> Any:
        """Ask for a copy."""
        body = {"source_path": source, "destination_project_id": "archive"} | fields
        return await api.post("copy_weights", json=body, headers={"X-Idempotency-Key": key})

    async def test_a_copy_is_a_checkpoint_of_its_own(self, api: Api) -> None:
        item = await saved(api, "sampler_weights", user_metadata={"a": "b"})
        first = await self.copy(api, item.path, ttl_seconds=7200)
        again = await self.copy(api, item.path, ttl_seconds=7200)
        assert first.json() == again.json()
        copied = await Checkpoint.objects.exclude(id=item.id).aget()
        assert first.json() == {"tinker_path": copied.path}
        assert (copied.segment, copied.name, copied.user_metadata) == (
            "sampler_weights",
            "s1",
            {"a": "b"},
        )
        assert copied.expires_at is not None
        await api.delete(address(item))
        await Deleted.objects.all().aupdate(until=timezone.now())
        assert sweep() == [item.key]
        assert files_of(copied) == ["adapter_config.json", "adapter_model.safetensors"]
        assert not await Leftover.objects.aexists()
        run = (await api.get("training_runs?project_id=archive")).json()["training_runs"][0]
        assert run["training_run_id"] == copied.run_id
        refused = await api.call("optim_step", model_id=copied.run_id, seq_id=1)
        assert (refused.status_code, "has ended" in refused.text) == (400, True)
        another = await self.copy(api, copied.path, key="k2")
        assert another.json()["tinker_path"] not in (copied.path, item.path)

    async def test_of_another_teams_checkpoint(
        self, api: Api, other_api: Api, other_key: str
    ) -> None:
        item = await saved(other_api)
        assert (await self.copy(api, item.path)).status_code == 404
        assert not await Checkpoint.objects.exclude(id=item.id).aexists()
        api.headers["X-Tinker-Weights-Access-Token"] = other_key
        copied = await self.copy(api, item.path, key="k2")
        assert copied.is_success
        listed = (await api.get("checkpoints")).json()["checkpoints"]
        assert [entry["tinker_path"] for entry in listed] == [copied.json()["tinker_path"]]

    async def test_a_copy_that_was_cut_short_is_swept(self, api: Api) -> None:
        store.path("checkpoints/x/train/0/weights/s1@0").mkdir(parents=True)
        await Leftover.objects.acreate(key="checkpoints/x/train/0/weights/s1@0")
        assert sweep() == ["checkpoints/x/train/0/weights/s1@0"]
        assert not store.path("checkpoints/x/train/0/weights/s1@0").exists()

    @pytest.mark.parametrize(
        ("fields", "word"),
        [
            ({"ttl_seconds": 5}, "3600"),
            ({"destination_project_id": ""}, "destination_project_id"),
            ({"session_id": "s", "model_seq_id": 0}, "session_id"),
            ({"weights_access_token": "tml-x"}, "weights_access_token"),
        ],
    )
    async def test_what_is_refused(self, api: Api, fields: dict[str, Any], word: str) -> None:
        item = await saved(api)
        response = await self.copy(api, item.path, **fields)
        assert (response.status_code, word in response.json()["detail"]) == (400, True)
        assert await Checkpoint.objects.acount() == 1
        assert not await Sampler.objects.aexists()
