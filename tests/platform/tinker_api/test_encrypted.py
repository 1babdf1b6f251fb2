"""Checkpoints that are encrypted with age: who may be a recipient, and what they are good for."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pyrage
import pytest

from checkpoints import store
from checkpoints.models import Checkpoint
from operations.models import Operation, Payload
from runs.models import Sampler, TrainingRun
from tests.platform.tinker_api.conftest import Api, saved
from tests.support.hand import Hand
from tests.support.saved import address, files_of

KEY = "age1dwpvtrzmvnnrwqxefa07ntxafvkpytzsweg0tpc0gw3tnnsn75qst43mun"
SSH_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN somebody"
)
SECRETS = [str(pyrage.x25519.Identity.generate()), "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl"]
NAMES = ["adapter_config.json.age", "adapter_model.safetensors.age"]


pytestmark = pytest.mark.usefixtures("data_folder")


async def save_external(api: Api, run: str, recipients: Any) -> Any:
    """Ask for external weights."""
    return await api.call(
        "save_weights_external",
        model_id=run,
        seq_id=1,
        path="e",
        age_encryption_recipients=recipients,
    )


async def encrypted(api: Api) -> Checkpoint:
    """An encrypted checkpoint of a new run."""
    item = await saved(api, "external_weights", encrypted=True)
    folder = store.path(item.key)
    for path in list(folder.iterdir()):
        path.rename(folder / f"{path.name}.age")
    return item


class TestRecipients:
    """Whom files can be encrypted for is known before anything is queued."""

    @pytest.mark.parametrize("recipients", [[KEY], [SSH_KEY], [KEY] * 10, [KEY, SSH_KEY], None])
    async def test_these_are_queued(self, api: Api, recipients: Any) -> None:
        run = await api.run(await api.session())
        response = await save_external(api, run, recipients)
        assert response.json() == {"request_id": f"{run}:1", "model_id": run}
        assert (await Operation.objects.aget(target=run, seq=1)).kind == "save_weights_external"

    @pytest.mark.parametrize(
        ("recipients", "words"),
        [
            ([], "1 to 10 public keys, not 0"),
            ([KEY] * 11, "1 to 10 public keys, not 11"),
            (KEY, "must be a list"),
            ({}, "must be a list"),
            ([KEY, 5], "age_encryption_recipients[1] is no text"),
            ([KEY, "age1xyz"], "age_encryption_recipients[1], 'age1xyz'"),
            (["age1" + "q" * 58], "Bech32"),
            ([KEY + "\n"], "age_encryption_recipients[0]"),
            (["ssh-ed25519 AAAA"], "age_encryption_recipients[0]"),
            (["me@example.org"], "allowed: age1… (X25519), ssh-ed25519"),
            ([""], "allowed: age1… (X25519), ssh-ed25519"),
        ],
    )
    async def test_others_are_refused_by_name(
        self, api: Api, hand: Hand, recipients: Any, words: str
    ) -> None:
        run = await api.run(await api.session())
        response = await save_external(api, run, recipients)
        assert (response.status_code, words in response.json()["detail"]) == (400, True)
        assert "age_encryption_recipients" in response.json()["detail"]
        # the client has counted the request, so its place in the run's order is taken
        await api.call("optim_step", model_id=run, seq_id=2, adam_params={})
        for _ in range(3):
            claimed = hand.claim()
            for operation in claimed:
                hand.answer(operation)
        kinds = Operation.objects.filter(target=run).order_by("seq").values_list("kind", "state")
        assert [item async for item in kinds] == [
            ("create_run", "done"),
            ("refused", "done"),
            ("optim_step", "done"),
        ]

    @pytest.mark.parametrize("secret", SECRETS, ids=["age", "ssh"])
    async def test_a_secret_key_is_neither_stored_nor_repeated(self, api: Api, secret: str) -> None:
        run = await api.run(await api.session())
        response = await save_external(api, run, [KEY, secret])
        assert (response.status_code, "is a secret key" in response.text) == (400, True)
        assert secret not in response.text
        stored = [bytes(item.body) async for item in Payload.objects.all()]
        assert not any(secret.encode() in body for body in stored)

    async def test_another_teams_run_is_not_there(self, api: Api, other_api: Api) -> None:
        run = await api.run(await api.session())
        assert (await save_external(other_api, run, [])).status_code == 404
        assert not await Operation.objects.filter(target=run, seq=1).aexists()


class TestWhatCanBeDone:
    """Files that the server cannot read can be handed out, kept and deleted."""

    async def test_the_files_have_their_own_names(self, api: Api) -> None:
        item = await encrypted(api)
        urls = (await api.get(f"{address(item)}/external_weights_urls")).json()["urls"]
        assert sorted(urls) == NAMES
        for name, url in urls.items():
            content = (await api.get(url)).content
            assert content == (store.path(item.key) / name).read_bytes()
        archive = (await api.get((await api.get(f"{address(item)}/archive")).json()["url"])).content
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            assert opened.getnames() == [*NAMES, "checkpoint_complete"]

    async def test_a_copy_is_encrypted_too(self, api: Api) -> None:
        item = await encrypted(api)
        copied = await api.call(
            "copy_weights", source_path=item.path, destination_project_id="archive"
        )
        found = await Checkpoint.objects.exclude(id=item.id).aget()
        assert (found.path, found.encrypted) == (copied.json()["tinker_path"], True)
        assert files_of(found) == NAMES
        urls = (await api.get(f"{address(found)}/external_weights_urls")).json()["urls"]
        assert sorted(urls) == NAMES

    async def test_published_it_is_handed_out_to_others(self, api: Api, other_api: Api) -> None:
        item = await encrypted(api)
        await api.post(f"{address(item)}/publish")
        urls = (await other_api.get(f"{address(item)}/external_weights_urls")).json()["urls"]
        assert sorted(urls) == NAMES

    async def test_it_is_listed_and_told_of(self, api: Api) -> None:
        item = await encrypted(api)
        listed = (await api.get("checkpoints")).json()["checkpoints"]
        assert [entry["tinker_path"] for entry in listed] == [item.path]
        assert (await api.call("weights_info", tinker_path=item.path)).json()["lora_rank"] == 8


class TestWhatCannotBeDone:
    """The server would have to read the weights."""

    async def test_no_run_starts_from_it(self, api: Api) -> None:
        item = await encrypted(api)
        session = await api.session()
        response = await api.call(
            "load_weights", session_id=session, model_seq_id=0, path=item.path, optimizer=False
        )
        assert response.status_code == 400
        assert f"{item.path} is encrypted with age" in response.json()["detail"]
        assert not await TrainingRun.objects.filter(session_id=session).aexists()

    async def test_nothing_samples_from_it(self, api: Api) -> None:
        item = await encrypted(api)
        response = await api.call(
            "create_sampling_session",
            session_id=await api.session(),
            sampling_session_seq_id=0,
            model_path=item.path,
        )
        assert response.status_code == 400
        assert f"{item.path} is encrypted with age" in response.json()["detail"]
        chat = await api.post(
            "http://testserver/v1/chat/completions",
            headers={"Authorization": f"Bearer {api.headers['X-API-Key']}"},
            json={"model": item.path, "messages": [{"role": "user", "content": "Hello"}]},
        )
        assert chat.status_code == 400
        assert f"{item.path} is encrypted with age" in chat.json()["error"]["message"]
        assert not await Sampler.objects.aexists()
