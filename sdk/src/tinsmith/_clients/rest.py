"""``RestClient``: training runs, checkpoints, sessions and usage as lists, without a session."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import msgspec

from tinsmith import errors
from tinsmith._clients import tokenizers
from tinsmith._clients.admin import AdminClient
from tinsmith._clients.rest_base import address, unlike
from tinsmith._clients.rest_checkpoints import Checkpoints
from tinsmith._session.futures import APIFuture
from tinsmith._words.mistakes import explained
from tinsmith.types.logs import MetricsResponse, RolloutsResponse
from tinsmith.types.rest import (
    ApiKeyInfo,
    AuthTokenResponse,
    GetSessionResponse,
    ListSessionsResponse,
    TraceExport,
    TrainingRun,
    TrainingRunsResponse,
    WhoamiResponse,
)
from tinsmith.types.results import (
    GetSamplerResponse,
    GetServerCapabilitiesResponse,
    ParsedCheckpointTinkerPath,
)
from tinsmith.types.sessions import SessionSearchRequest, SessionSearchResponse
from tinsmith.types.usage import AccessScope

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TRACE_POLL_S = 2.0


class _Claims(msgspec.Struct):
    """What a token says of its owner."""

    sub: str
    org_id: str
    email: str | None = None


@explained
class RestClient(Checkpoints, AdminClient):
    """Looks at what there is. Made by ``ServiceClient.create_rest_client``, or on its own.

    Every method returns a future at once and has an ``_async`` twin that waits.

    >>> rest = RestClient()
    >>> runs = rest.list_training_runs(limit=1).result()
    >>> runs.training_runs[0].base_model
    'tinsmith/nano-qwen3'
    """

    # ---- training runs

    def list_training_runs(
        self,
        limit: int = 20,
        offset: int = 0,
        access_scope: AccessScope = "owned",
        project_id: str | None = None,
    ) -> APIFuture[TrainingRunsResponse]:
        """A page of training runs, newest first.

        Args:
            limit: at most so many.
            offset: skip so many of the newest.
            access_scope: ``owned`` by the team, or all that are ``accessible``.
            project_id: of this project alone.
        """
        path = address(
            "training_runs",
            limit=limit,
            offset=offset,
            access_scope=access_scope,
            project_id=project_id,
        )
        return self._ask("GET", path, TrainingRunsResponse)

    async def list_training_runs_async(
        self,
        limit: int = 20,
        offset: int = 0,
        access_scope: AccessScope = "owned",
        project_id: str | None = None,
    ) -> TrainingRunsResponse:
        """`list_training_runs`, waited for."""
        return await self.list_training_runs(limit, offset, access_scope, project_id)

    def get_training_run(
        self, training_run_id: str, access_scope: AccessScope = "owned"
    ) -> APIFuture[TrainingRun]:
        """One training run with its newest checkpoints; NotFoundError when there is none."""
        path = address("training_runs", training_run_id, access_scope=access_scope)
        return self._ask("GET", path, TrainingRun)

    async def get_training_run_async(
        self, training_run_id: str, access_scope: AccessScope = "owned"
    ) -> TrainingRun:
        """`get_training_run`, waited for."""
        return await self.get_training_run(training_run_id, access_scope)

    def get_training_run_by_tinker_path(
        self, tinker_path: str, access_scope: AccessScope = "owned"
    ) -> APIFuture[TrainingRun]:
        """The training run that saved a checkpoint."""
        parsed = ParsedCheckpointTinkerPath.from_tinker_path(tinker_path)
        return self.get_training_run(parsed.training_run_id, access_scope)

    async def get_training_run_by_tinker_path_async(
        self, tinker_path: str, access_scope: AccessScope = "owned"
    ) -> TrainingRun:
        """`get_training_run_by_tinker_path`, waited for."""
        return await self.get_training_run_by_tinker_path(tinker_path, access_scope)

    def get_run_metrics(
        self,
        training_run_id: str,
        keys: Sequence[str] = (),
        after: int = 0,
        limit: int = 1000,
    ) -> APIFuture[MetricsResponse]:
        """What ``training.log`` recorded, in the order it arrived.

        Args:
            training_run_id: the run.
            keys: these metrics alone; none means all.
            after: the ``cursor`` of the page before.
            limit: at most so many, up to 10,000.

        >>> training.log({"reward": 0.5}, step=3).result()
        >>> rest.get_run_metrics(training.model_id, ["reward"]).result().metrics[-1].value
        0.5
        """
        query = urlencode([("after", after), ("limit", limit), *(("key", key) for key in keys)])
        path = f"{address('runs', training_run_id, 'metrics')}?{query}"
        return self._ask("GET", path, MetricsResponse)

    async def get_run_metrics_async(
        self,
        training_run_id: str,
        keys: Sequence[str] = (),
        after: int = 0,
        limit: int = 1000,
    ) -> MetricsResponse:
        """`get_run_metrics`, waited for."""
        return await self.get_run_metrics(training_run_id, keys, after, limit)

    def get_run_rollouts(
        self, training_run_id: str, step: int | None = None, limit: int = 100, offset: int = 0
    ) -> APIFuture[RolloutsResponse]:
        """What ``training.log_rollouts`` recorded, by step, group and index."""
        path = address("runs", training_run_id, "rollouts", step=step, limit=limit, offset=offset)
        return self._ask("GET", path, RolloutsResponse)

    async def get_run_rollouts_async(
        self, training_run_id: str, step: int | None = None, limit: int = 100, offset: int = 0
    ) -> RolloutsResponse:
        """`get_run_rollouts`, waited for."""
        return await self.get_run_rollouts(training_run_id, step, limit, offset)

    # ---- sessions and samplers

    def list_sessions(
        self, limit: int = 20, offset: int = 0, access_scope: AccessScope = "owned"
    ) -> APIFuture[ListSessionsResponse]:
        """A page of session ids, newest first."""
        path = address("sessions", limit=limit, offset=offset, access_scope=access_scope)
        return self._ask("GET", path, ListSessionsResponse)

    async def list_sessions_async(
        self, limit: int = 20, offset: int = 0, access_scope: AccessScope = "owned"
    ) -> ListSessionsResponse:
        """`list_sessions`, waited for."""
        return await self.list_sessions(limit, offset, access_scope)

    def get_session(
        self, session_id: str, access_scope: AccessScope = "owned"
    ) -> APIFuture[GetSessionResponse]:
        """The runs and samplers of a session; NotFoundError when there is none."""
        path = address("sessions", session_id, access_scope=access_scope)
        return self._ask("GET", path, GetSessionResponse)

    async def get_session_async(
        self, session_id: str, access_scope: AccessScope = "owned"
    ) -> GetSessionResponse:
        """`get_session`, waited for."""
        return await self.get_session(session_id, access_scope)

    def search_sessions(self, request: SessionSearchRequest) -> APIFuture[SessionSearchResponse]:
        """Sessions by name, metadata, project, state; newest first.

        >>> from tinsmith.types import SessionSearchRequest
        >>> found = RestClient().search_sessions(SessionSearchRequest(limit=5)).result()
        >>> 0 < len(found.sessions) <= 5
        True
        """
        body = {
            name: value
            for name, value in msgspec.structs.asdict(request).items()
            if value is not None
        }
        return self._ask("POST", "sessions/search", SessionSearchResponse, body)

    async def search_sessions_async(self, request: SessionSearchRequest) -> SessionSearchResponse:
        """`search_sessions`, waited for."""
        return await self.search_sessions(request)

    def assign_session_project(self, session_id: str, project_id: str) -> APIFuture[None]:
        """Move a session, with its runs and checkpoints, to a project.

        Args:
            session_id: a session of the team's.
            project_id: the project's label, 1 to 200 printable characters; it need not exist yet.
        """
        path = address("sessions", session_id, "project")
        return self._ask("PUT", path, None, {"project_id": project_id})

    async def assign_session_project_async(self, session_id: str, project_id: str) -> None:
        """`assign_session_project`, waited for."""
        await self.assign_session_project(session_id, project_id)

    def export_session_trace(self, session_id: str) -> APIFuture[str]:
        """What a session did and when, as a file for Perfetto (https://ui.perfetto.dev).

        Returns:
            A future of the file's address, which needs no key; it is done when the file is.

        Raises:
            RequestFailedError: from the future: it could not be made.
        """

        async def wait() -> str:
            path = address("sessions", session_id, "trace_export")
            while True:
                export = await self._session.ask("GET", path, TraceExport)
                if export.status == "ready" and export.url:
                    return export.url
                if export.status == "failed":
                    raise errors.RequestFailedError(
                        export.error or "the trace could not be made", "", "server"
                    )
                if export.status != "pending":
                    raise unlike("trace_export", f"unknown status {export.status!r}")
                await asyncio.sleep(TRACE_POLL_S)

        return self._session.run(wait())

    async def export_session_trace_async(self, session_id: str) -> str:
        """`export_session_trace`, waited for."""
        return await self.export_session_trace(session_id)

    def get_sampler(self, sampler_id: str) -> APIFuture[GetSamplerResponse]:
        """The base model and checkpoint of a sampler."""
        return self._ask("GET", address("samplers", sampler_id), GetSamplerResponse)

    async def get_sampler_async(self, sampler_id: str) -> GetSamplerResponse:
        """`get_sampler`, waited for."""
        return await self.get_sampler(sampler_id)

    # ---- the server, and who asks

    def get_server_capabilities(self) -> APIFuture[GetServerCapabilitiesResponse]:
        """The base models on offer."""
        return self._ask("GET", "get_server_capabilities", GetServerCapabilitiesResponse)

    async def get_server_capabilities_async(self) -> GetServerCapabilitiesResponse:
        """`get_server_capabilities`, waited for."""
        return await self.get_server_capabilities()

    def get_tokenizer(self, base_model: str) -> PreTrainedTokenizerBase:
        """A base model's tokenizer, fetched from the server once; needs transformers."""
        return tokenizers.load(self._session, base_model, None)

    def get_api_key(self) -> APIFuture[ApiKeyInfo]:
        """The key this client uses: its name, its team."""
        return self._ask("GET", "auth/apikey/me", ApiKeyInfo)

    async def get_api_key_async(self) -> ApiKeyInfo:
        """`get_api_key`, waited for."""
        return await self.get_api_key()

    def revoke_api_key(self) -> APIFuture[None]:
        """End the key this client uses, for good."""
        return self._ask("DELETE", "auth/apikey/me", None)

    async def revoke_api_key_async(self) -> None:
        """`revoke_api_key`, waited for."""
        await self.revoke_api_key()

    def whoami(self) -> APIFuture[WhoamiResponse]:
        """Whose key it is, as the token says that the server gives for it.

        >>> RestClient().whoami().result().org_urn != ""
        True
        """

        async def ask() -> WhoamiResponse:
            key = self._session.settings.api_key
            if not key.startswith("eyJ"):
                given = await self._session.ask("POST", "auth/token", AuthTokenResponse, {})
                key = given.jwt
            claims = read_claims(key)
            return WhoamiResponse(
                user_urn=claims.sub,
                org_urn=f"tml:organization:{claims.org_id}",
                email=claims.email or None,
            )

        return self._session.run(ask())

    async def whoami_async(self) -> WhoamiResponse:
        """`whoami`, waited for."""
        return await self.whoami()


def read_claims(token: str) -> _Claims:
    """What a JWT says; its signature is the server's business. Raises for what is no token."""
    try:
        body = token.split(".")[1]
        return msgspec.json.decode(
            base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=_Claims
        )
    except (IndexError, ValueError, msgspec.DecodeError) as error:
        raise unlike("auth/token", f"this is no token that names its owner: {error}") from None
