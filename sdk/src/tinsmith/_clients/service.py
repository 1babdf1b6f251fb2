"""``ServiceClient``: the way in. Makes training and sampling clients."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from tinsmith._clients.rest import RestClient
from tinsmith._clients.sampling import SamplingClient, new_sampling_client
from tinsmith._clients.training import TrainingClient
from tinsmith._http.transport import RetryConfig
from tinsmith._session.futures import APIFuture
from tinsmith._session.session import Description, FinishReason, Session, how_it_ended
from tinsmith._session.waiting import WaitingHook
from tinsmith._settings.settings import from_environment, resolve
from tinsmith._training import creating
from tinsmith._training.loss_handles import LossHandle, PerDatumLossFn, make_handle
from tinsmith._words import mistakes
from tinsmith.types.params import LoraConfig, OptimizerConfig
from tinsmith.types.results import (
    GetServerCapabilitiesResponse,
)


@mistakes.explained
class ServiceClient(mistakes.Named):
    """One program's connection to a Tinsmith server.

    Nothing is sent until something is asked for. Close it, or use it in a ``with`` block, when you
    are done: its training runs then make room for others (checkpoints stay). A program that ends
    without closing does so on its way out.

    Args:
        user_metadata: texts to keep with the session.
        project_id: project the session belongs to, a label of your own; default
            TINSMITH_PROJECT_ID.
        display_name: a name for the session.
        base_url: the server; default TINSMITH_BASE_URL, TINKER_BASE_URL, the one of the last
            ``tinsmith login``, then http://127.0.0.1:8000.
        api_key: default TINSMITH_API_KEY, TINKER_API_KEY, then what ``tinsmith login`` stored
            for the server.
        default_headers_overrides: headers to send with every request.
        retry_config: how long to keep trying while the server cannot be reached.
        on_waiting: called with a ``Waiting`` whenever the server says that a request waits for
            capacity.

    Raises:
        ConfigurationError: no API key, or an address that is none.

    >>> import tinsmith
    >>> with tinsmith.ServiceClient() as short_lived:
    ...     new = short_lived.create_lora_training_client("tinsmith/nano-qwen3", rank=16)
    ...     new.get_info().lora_rank
    16
    """

    def __init__(
        self,
        user_metadata: Mapping[str, str] | None = None,
        project_id: str | None = None,
        *,
        display_name: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        default_headers_overrides: Mapping[str, str] | None = None,
        retry_config: RetryConfig | None = None,
        on_waiting: WaitingHook | None = None,
    ) -> None:
        self._session = Session(
            resolve(base_url, api_key, default_headers_overrides),
            retry=retry_config,
            on_waiting=on_waiting,
            description=Description(
                mistakes.texts("user_metadata", user_metadata),
                project_id or from_environment("PROJECT_ID"),
                display_name,
            ),
        )

    def __repr__(self) -> str:
        return f"<ServiceClient of {self._session.shown()}>"

    # ---- training

    def create_lora_training_client(
        self,
        base_model: str,
        rank: int = 32,
        seed: int | None = None,
        train_mlp: bool = True,
        train_attn: bool = True,
        train_unembed: bool = True,
        user_metadata: Mapping[str, str] | None = None,
        optimizer: OptimizerConfig | None = None,
    ) -> TrainingClient:
        """Start a training run: a new LoRA adapter on a base model.

        Args:
            base_model: a name from `get_server_capabilities`.
            rank: rank of the adapter, 1 up to the model's limit.
            seed: seed of its first values; None draws one.
            train_mlp, train_attn, train_unembed: which linears are trained; at least one.
            user_metadata: texts to keep with the run.
            optimizer: AdamW, which is also the default.

        Returns:
            The client, usable at once; ``.result()`` or ``await`` waits until the run exists.

        Raises:
            BadRequestError: from the client: unknown model or bad rank; names what is allowed.

        >>> new = service.create_lora_training_client("tinsmith/nano-qwen3", rank=4)
        >>> new.get_info().lora_rank
        4
        """
        mistakes.check_text("base_model", base_model)
        metadata = mistakes.texts("user_metadata", user_metadata)
        if not (train_mlp or train_attn or train_unembed):
            raise ValueError("at least one of train_mlp, train_attn and train_unembed must be true")
        lora = LoraConfig(
            rank=rank,
            seed=seed,
            train_mlp=train_mlp,
            train_attn=train_attn,
            train_unembed=train_unembed,
        )
        create = creating.new(self._session, base_model, lora, metadata, optimizer)
        return TrainingClient(self._session, create)

    async def create_lora_training_client_async(
        self,
        base_model: str,
        rank: int = 32,
        seed: int | None = None,
        train_mlp: bool = True,
        train_attn: bool = True,
        train_unembed: bool = True,
        user_metadata: Mapping[str, str] | None = None,
        optimizer: OptimizerConfig | None = None,
    ) -> TrainingClient:
        """`create_lora_training_client`, waited for."""
        return await self.create_lora_training_client(
            base_model,
            rank,
            seed,
            train_mlp,
            train_attn,
            train_unembed,
            user_metadata,
            optimizer,
        )

    def create_training_client_from_state(
        self,
        path: str,
        base_model: str | None = None,
        user_metadata: Mapping[str, str] | None = None,
        weights_access_token: str | None = None,
        optimizer: OptimizerConfig | None = None,
    ) -> TrainingClient:
        """Start a training run from a checkpoint's weights, with a fresh optimizer.

        Args:
            path: ``tinker://<run>/weights/<name>``.
            base_model: default: the checkpoint's.
            user_metadata: texts to keep with the run.
            weights_access_token: another team's permission, if it is another team's checkpoint.
            optimizer: AdamW, which is also the default.

        Returns:
            The client of the new run, usable at once.

        Raises:
            NotFoundError: from the client: no such checkpoint.
        """
        return self._from_state(
            path, base_model, user_metadata, weights_access_token, optimizer, False
        )

    async def create_training_client_from_state_async(
        self,
        path: str,
        base_model: str | None = None,
        user_metadata: Mapping[str, str] | None = None,
        weights_access_token: str | None = None,
        optimizer: OptimizerConfig | None = None,
    ) -> TrainingClient:
        """`create_training_client_from_state`, waited for."""
        return await self.create_training_client_from_state(
            path, base_model, user_metadata, weights_access_token, optimizer
        )

    def create_training_client_from_state_with_optimizer(
        self,
        path: str,
        base_model: str | None = None,
        user_metadata: Mapping[str, str] | None = None,
        weights_access_token: str | None = None,
    ) -> TrainingClient:
        """Start a training run that goes on exactly where the checkpoint was saved.

        Like `create_training_client_from_state`, with the optimizer's state.
        """
        return self._from_state(path, base_model, user_metadata, weights_access_token, None, True)

    async def create_training_client_from_state_with_optimizer_async(
        self,
        path: str,
        base_model: str | None = None,
        user_metadata: Mapping[str, str] | None = None,
        weights_access_token: str | None = None,
    ) -> TrainingClient:
        """`create_training_client_from_state_with_optimizer`, waited for."""
        return await self.create_training_client_from_state_with_optimizer(
            path, base_model, user_metadata, weights_access_token
        )

    def _from_state(
        self,
        path: str,
        base_model: str | None,
        user_metadata: Mapping[str, str] | None,
        token: str | None,
        optimizer: OptimizerConfig | None,
        with_optimizer: bool,
    ) -> TrainingClient:
        create = creating.from_state(
            self._session,
            path,
            base_model,
            mistakes.texts("user_metadata", user_metadata),
            token,
            optimizer,
            with_optimizer=with_optimizer,
        )
        return TrainingClient(self._session, create)

    # ---- sampling

    def create_sampling_client(
        self,
        model_path: str | None = None,
        base_model: str | None = None,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
    ) -> SamplingClient:
        """A client that samples from a checkpoint or from a base model.

        Args:
            model_path: ``tinker://<run>/sampler_weights/<name>``.
            base_model: a name from `get_server_capabilities`; one of the two must be given.
            retry_config: this client's patience, if other than the service client's.
            record_stability_info: ask the server to record what ``stable_reinforce`` needs.

        Returns:
            The client, usable at once; ``.result()`` or ``await`` waits until it exists.

        Raises:
            NotFoundError, BadRequestError: from the client: no such weights.
        """
        return new_sampling_client(
            self._session, model_path, base_model, retry_config, record_stability_info
        )

    async def create_sampling_client_async(
        self,
        model_path: str | None = None,
        base_model: str | None = None,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
    ) -> SamplingClient:
        """`create_sampling_client`, waited for."""
        return await self.create_sampling_client(
            model_path, base_model, retry_config, record_stability_info
        )

    # ---- losses of one's own

    def create_custom_loss(
        self, fn: PerDatumLossFn, input_ranks: Mapping[str, Any]
    ) -> APIFuture[LossHandle]:
        """Name a loss of one datum, written in torch, for ``forward_backward_custom``.

        It runs in this process; the server refuses uploaded losses.

        Args:
            fn: ``(logprobs, *inputs) -> (loss, metrics)``: a scalar tensor, and scalar tensors by
                names like ``custom/entropy:sum`` or ``custom/kl:mean``. Its parameters after
                ``logprobs`` are names of ``loss_fn_inputs``.
            input_ranks: the rank of every parameter: 1, or 2 for several targets a position.

        Returns:
            A future of the handle.

        Raises:
            ValueError: parameters that are no plain names, or ranks that do not fit them.

        >>> def weighted(logprobs, weights):
        ...     return -(logprobs * weights).sum(), {"custom/seen:sum": weights.sum()}
        >>> ranks = {"logprobs": 1, "weights": 1}
        >>> handle = service.create_custom_loss(weighted, ranks).result()
        >>> "custom/seen:sum" in training.forward_backward_custom(data, handle).result().metrics
        True
        """
        inputs = make_handle(fn, input_ranks, "")

        async def create() -> LossHandle:
            return inputs.in_session(await self._session.open())

        return self._session.run(create())

    # ---- the server

    def create_rest_client(self) -> RestClient:
        """A client of listings that uses this one's connections.

        >>> rest = service.create_rest_client()
        >>> rest.get_training_run(training.model_id).result().lora_rank
        8
        """
        return RestClient(self._session)

    def copy_weights(
        self,
        path: str,
        *,
        ttl_seconds: int | None = None,
        weights_access_token: str | None = None,
    ) -> APIFuture[str]:
        """Copy a checkpoint into a new run of one's own team; see ``RestClient.copy_weights``."""
        return self.create_rest_client().copy_weights(
            path, ttl_seconds=ttl_seconds, weights_access_token=weights_access_token
        )

    async def copy_weights_async(
        self,
        path: str,
        *,
        ttl_seconds: int | None = None,
        weights_access_token: str | None = None,
    ) -> str:
        """`copy_weights`, waited for."""
        return await self.copy_weights(
            path, ttl_seconds=ttl_seconds, weights_access_token=weights_access_token
        )

    def get_console_url(self) -> str:
        """Where the dashboard shows this session; all sessions, while it is not open."""
        opened = self._session.session_id
        sessions = f"{self._session.settings.base_url}/sessions"
        return sessions if opened is None else f"{sessions}/{opened}"

    def get_telemetry(self) -> None:
        """None: this client sends none."""
        return

    @property
    def holder(self) -> Session:
        """The connections and the session behind all clients made from this one."""
        return self._session

    def get_server_capabilities(self) -> GetServerCapabilitiesResponse:
        """The base models on offer. Needs no session, so it also tells whether the key is good."""
        return self._capabilities().result()

    async def get_server_capabilities_async(self) -> GetServerCapabilitiesResponse:
        """`get_server_capabilities`, for asynchronous code."""
        return await self._capabilities()

    def _capabilities(self) -> APIFuture[GetServerCapabilitiesResponse]:
        asked = self._session.get("get_server_capabilities", GetServerCapabilitiesResponse)
        return self._session.run(asked)

    # ---- the end

    def close(self, status: FinishReason = "success", detail: str | None = None) -> APIFuture[None]:
        """Finish the session: its runs and unsaved samplers are freed, new work is refused.

        Wait for the futures you care about first: what still runs is given up.

        Args:
            status: ``success``, ``errored`` or ``interrupted``; shown with the session.
            detail: a sentence to go with it.

        Returns:
            A future that is done when the server knows. Closing twice is fine.
        """
        return self._session.close(status, detail)

    def __enter__(self) -> ServiceClient:
        self._session.check_usable()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(*how_it_ended(error)).result()

    async def __aenter__(self) -> ServiceClient:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close(*how_it_ended(error))
