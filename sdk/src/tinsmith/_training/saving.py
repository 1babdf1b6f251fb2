"""The part of ``TrainingClient`` that saves and loads weights."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from tinsmith._session.futures import APIFuture
from tinsmith._session.ready import Ready
from tinsmith._session.replies import decode, encode_json, numbered
from tinsmith._session.session import Session
from tinsmith._training.lane import Lane
from tinsmith._words.mistakes import check_text, explained, texts
from tinsmith.types.rest import SaveWeightsExternalResponse
from tinsmith.types.results import (
    GetInfoResponse,
    LoadWeightsResponse,
    SaveWeightsForSamplerResponse,
    SaveWeightsResponse,
    check_path,
)

T = TypeVar("T")


class _Withdrawn(msgspec.Struct):
    """Reply to numbers given up."""

    standing: list[int]


@explained
class Saving(Ready[GetInfoResponse]):
    """Requests that have a place in the order of a run."""

    def __init__(self, session: Session, create: Callable[[], Awaitable[GetInfoResponse]]) -> None:
        async def made() -> GetInfoResponse:
            return await create()

        super().__init__(session.run(made()))
        self._session = session
        self._lane = Lane(self._wait_created, self._withdraw)

    async def _wait_created(self) -> None:
        await self._created

    def save_state(
        self,
        name: str,
        ttl_seconds: int | None = None,
        overwrite: bool = False,
        user_metadata: Mapping[str, str] | None = None,
    ) -> APIFuture[SaveWeightsResponse]:
        """Save weights and optimizer state as a checkpoint that training can go on from.

        Args:
            name: without ``/``.
            ttl_seconds: delete it after so long, 3600 up to ten years; None keeps it.
            overwrite: replace a checkpoint of this name; else that is an error.
            user_metadata: texts to keep with it.

        Returns:
            A future of its path, ``tinker://<run>/weights/<name>``.

        >>> training.save_state("step-100").result().path
        'tinker://...:train:0/weights/step-100'
        """
        _check_name(name)
        body = {
            "path": name,
            "ttl_seconds": ttl_seconds,
            "overwrite": overwrite,
            "user_metadata": texts("user_metadata", user_metadata),
        }
        return self._ordered("save_weights", body, SaveWeightsResponse)

    async def save_state_async(
        self,
        name: str,
        ttl_seconds: int | None = None,
        overwrite: bool = False,
        user_metadata: Mapping[str, str] | None = None,
    ) -> APIFuture[SaveWeightsResponse]:
        """Hand in `save_state`; the result is another ``await`` away."""
        return self.save_state(name, ttl_seconds, overwrite, user_metadata)

    def load_state(
        self, path: str, weights_access_token: str | None = None
    ) -> APIFuture[LoadWeightsResponse]:
        """Replace the run's weights by a checkpoint's; the optimizer starts afresh.

        Args:
            path: ``tinker://<run>/weights/<name>``.
            weights_access_token: another team's permission, if it is another team's checkpoint.
        """
        return self._load(path, weights_access_token, optimizer=False)

    async def load_state_async(
        self, path: str, weights_access_token: str | None = None
    ) -> APIFuture[LoadWeightsResponse]:
        """Hand in `load_state`; the result is another ``await`` away."""
        return self.load_state(path, weights_access_token)

    def load_state_with_optimizer(
        self, path: str, weights_access_token: str | None = None
    ) -> APIFuture[LoadWeightsResponse]:
        """Like `load_state`, with the optimizer's state: as if never interrupted."""
        return self._load(path, weights_access_token, optimizer=True)

    async def load_state_with_optimizer_async(
        self, path: str, weights_access_token: str | None = None
    ) -> APIFuture[LoadWeightsResponse]:
        """Hand in `load_state_with_optimizer`; the result is another ``await`` away."""
        return self.load_state_with_optimizer(path, weights_access_token)

    def save_weights_for_sampler(
        self,
        name: str,
        ttl_seconds: int | None = None,
        user_metadata: Mapping[str, str] | None = None,
    ) -> APIFuture[SaveWeightsForSamplerResponse]:
        """Save the weights alone as a checkpoint to sample from.

        Returns:
            A future of its path, ``tinker://<run>/sampler_weights/<name>``, for
            ``create_sampling_client``.
        """
        _check_name(name)
        body = {
            "path": name,
            "kind": "snapshot",
            "ttl_seconds": ttl_seconds,
            "user_metadata": texts("user_metadata", user_metadata),
        }
        return self._ordered("save_weights_for_sampler", body, SaveWeightsForSamplerResponse)

    async def save_weights_for_sampler_async(
        self,
        name: str,
        ttl_seconds: int | None = None,
        user_metadata: Mapping[str, str] | None = None,
    ) -> APIFuture[SaveWeightsForSamplerResponse]:
        """Hand in `save_weights_for_sampler`; the result is another ``await`` away."""
        return self.save_weights_for_sampler(name, ttl_seconds, user_metadata)

    def save_weights_external(
        self,
        name: str,
        ttl_seconds: int | None = None,
        age_encryption_recipients: list[str] | None = None,
    ) -> APIFuture[SaveWeightsExternalResponse]:
        """Save the adapter as files that PEFT and vLLM load, to be downloaded.

        Args:
            name: without ``/``.
            ttl_seconds: delete it after so long, 3600 up to ten years; None keeps it.
            age_encryption_recipients: encrypt the files with age for these public keys, 1 to 10:
                ``age1…``, ``ssh-ed25519 …`` or ``ssh-rsa …``. They get ``.age`` after their
                names; ``age --decrypt -i <key file>`` opens them. Nobody else can read them, the
                server neither: such a checkpoint is neither loaded nor sampled. None: plain files.

        Returns:
            A future of its path, ``tinker://<run>/external_weights/<name>``, for
            ``RestClient.download_checkpoint``.

        Raises:
            BadRequestError: from the future: nothing can be encrypted for a recipient.

        >>> path = training.save_weights_external("for-vllm").result().path
        >>> sorted(rest.get_external_weights_urls(path).result().urls)
        ['adapter_config.json', 'adapter_model.safetensors']
        """
        _check_name(name)
        body = {
            "path": name,
            "ttl_seconds": ttl_seconds,
            "age_encryption_recipients": age_encryption_recipients,
        }
        return self._ordered("save_weights_external", body, SaveWeightsExternalResponse)

    async def save_weights_external_async(
        self,
        name: str,
        ttl_seconds: int | None = None,
        age_encryption_recipients: list[str] | None = None,
    ) -> APIFuture[SaveWeightsExternalResponse]:
        """Hand in `save_weights_external`; the result is another ``await`` away."""
        return self.save_weights_external(name, ttl_seconds, age_encryption_recipients)

    def _load(
        self, path: str, token: str | None, *, optimizer: bool
    ) -> APIFuture[LoadWeightsResponse]:
        check_path(path)
        body = {"path": path, "optimizer": optimizer, "weights_access_token": token}
        return self._ordered("load_weights", body, LoadWeightsResponse)

    def _ordered(self, route: str, body: Mapping[str, Any], kind: type[T]) -> APIFuture[T]:
        """Hand in a JSON request in its turn; its result as a ``kind``.

        Raises:
            ValueError: the body cannot be sent; no number is taken then.
        """
        content = _encode(route, {**body, "type": route})

        async def post(seq: int) -> str:
            run = (await self._created).model_id
            request = numbered(content, model_id=run, seq_id=seq)
            return (await self._session.submit(route, request)).request_id

        async def work() -> T:
            (request_id,) = await self._lane.turn(lambda: self._lane.send([post]))
            run = (await self._created).model_id
            reply = await self._session.result(request_id, target=run, kind=route)
            return decode(reply, kind, route)

        return self._session.run(work())

    async def _withdraw(self, first: int, last: int, reason: str) -> list[int]:
        """Have the server give numbers up; those whose requests may have been begun."""
        run = (await self._created).model_id
        words = reason[:1000].encode(errors="replace").decode()
        body = {"first": first, "last": last, "reason": words}
        return (await self._session.post(f"runs/{run}/withdraw", body, _Withdrawn)).standing


def _encode(route: str, body: Mapping[str, Any]) -> bytes:
    try:
        return encode_json(body)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{route} cannot be sent: {error}") from error


def _check_name(name: object) -> None:
    check_text("a checkpoint's name", name, 'e.g. "step-100"')
