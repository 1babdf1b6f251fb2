"""``TrainingClient``: one training run, seen from the user's loop."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from tinsmith import errors
from tinsmith._clients import tokenizers
from tinsmith._clients.sampling import SamplingClient, new_sampling_client
from tinsmith._http.transport import RetryConfig
from tinsmith._sampling.samplers import SamplerRef
from tinsmith._session.futures import APIFuture
from tinsmith._session.session import Session
from tinsmith._training import batches, codec, custom_loss, passes
from tinsmith._training.custom_loss import CustomLossFn
from tinsmith._training.loss_handles import LossHandle
from tinsmith._training.run_log import RunLog
from tinsmith._training.saving import Saving
from tinsmith._words.mistakes import explained, title_of, unlike
from tinsmith.losses import LOSSES
from tinsmith.types.datum import Datum
from tinsmith.types.params import (
    AdamParams,
    DimuonParams,
    LossFnType,
    OptimParams,
    SamplingClientKind,
)
from tinsmith.types.results import (
    ForwardBackwardOutput,
    GetInfoResponse,
    OptimStepResponse,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LossFnConfig = Mapping[str, "float | str"]


class _SamplerSaved(msgspec.Struct):
    """Reply to an ephemeral save for sampling."""

    sampling_session_id: str


@explained
class TrainingClient(Saving, RunLog):
    """Trains one adapter. Made by the ``create_…_training_client`` methods of ``ServiceClient``.

    Methods that start work return a future at once and never wait for the server, so a step is one
    round trip when the optimizer step is handed in before the gradients are waited for. Requests
    are done in the order of the calls. A request the server refuses leaves the run usable.

    >>> fwd = training.forward_backward(data, "cross_entropy")
    >>> step = training.optim_step(AdamParams(learning_rate=1e-3))
    >>> fwd.result().loss > 0
    True
    """

    def __init__(self, session: Session, create: Callable[[], Awaitable[GetInfoResponse]]) -> None:
        """Not for direct use: ``ServiceClient`` makes clients."""

        super().__init__(session, create)
        self._passes = passes.Passes(session, self._lane, self._created)

    def _shown(self, made: GetInfoResponse) -> str:
        base = made.model_name or made.model_data.model_name
        return f"{made.model_id} of {base}" + (f", rank {made.lora_rank}" if made.lora_rank else "")

    @property
    def model_id(self) -> str:
        """The training run's id; waits until there is one."""
        return self.get_info().model_id

    # ---- passes

    def forward(
        self,
        data: Sequence[Datum],
        loss_fn: LossFnType,
        loss_fn_config: LossFnConfig | None = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """Compute the loss and log-probabilities, no gradient. See `forward_backward`."""
        return self._pass(data, loss_fn, loss_fn_config, forward_only=True)

    async def forward_async(
        self,
        data: Sequence[Datum],
        loss_fn: LossFnType,
        loss_fn_config: LossFnConfig | None = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """Hand in `forward`; the result is another ``await`` away."""
        return self.forward(data, loss_fn, loss_fn_config)

    def forward_backward(
        self,
        data: Sequence[Datum],
        loss_fn: LossFnType,
        loss_fn_config: LossFnConfig | None = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """Add the gradient of a loss over ``data`` to the run's gradient.

        The loss is a sum over all tokens of all datums. Gradients add up until the next
        `optim_step`. Large batches travel as several requests and come back as one result.

        Args:
            data: at least one datum; each at most as long as the model's context.
            loss_fn: ``cross_entropy``, ``importance_sampling``, ``ppo``, ``cispo``, ``dro``,
                ``gspo``, ``stable_reinforce``; ``dpo`` and ``bradley_terry`` take chosen
                and rejected in turn.
            loss_fn_config: the loss's settings, e.g. ``{"clip_high_threshold": 1.3}`` for ``ppo``.

        Returns:
            A future of the log-probabilities of all targets, a float32 tensor of the shape of
            ``target_tokens`` per datum, and metrics; ``loss:sum`` is the loss.

        Raises:
            ValueError: at once, for data that cannot be sent.
            RequestFailedError: from the future; no gradient is left behind then.

        >>> datum = Datum.from_tokens([1, 2, 3], [2, 3, 4], [0.0, 1.0, 1.0])
        >>> output = training.forward_backward([datum], "cross_entropy").result()
        >>> output.loss_fn_outputs[0]["logprobs"].shape, output.metrics["loss:sum"] > 0
        ([3], True)
        """
        return self._pass(data, loss_fn, loss_fn_config, forward_only=False)

    async def forward_backward_async(
        self,
        data: Sequence[Datum],
        loss_fn: LossFnType,
        loss_fn_config: LossFnConfig | None = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """Hand in `forward_backward`; the result is another ``await`` away.

        >>> async def step():
        ...     passed = await training.forward_backward_async(data, "cross_entropy")
        ...     stepped = await training.optim_step_async(AdamParams())
        ...     return (await passed).loss, (await stepped).metrics
        >>> asyncio.run(step())
        (..., {...})
        """
        return self.forward_backward(data, loss_fn, loss_fn_config)

    def forward_backward_custom(
        self,
        data: Sequence[Datum],
        loss_fn: CustomLossFn | LossHandle,
        *,
        loss_type_input: Any = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """Add the gradient of a loss of your own, written in torch.

        The server computes log-probabilities, ``loss_fn`` turns them into a loss in a thread of
        this process, and its gradient goes back to the server. Later requests of this client are
        sent once that is done.

        Args:
            data: every datum has ``target_tokens``; other inputs stay here, for ``loss_fn``.
            loss_fn: ``(data, logprobs) -> (loss, metrics)``; one float32 tensor a datum, of the
                shape of its targets, in; a scalar tensor and numbers by name out. Or what
                ``ServiceClient.create_custom_loss`` gave.
            loss_type_input: None or "logprobs"; there is no other.

        Returns:
            A future like `forward_backward`'s. Metrics are those of ``loss_fn``, ``loss:sum`` (its
            loss) and ``surrogate_loss:sum`` (what the server saw).

        Raises:
            What ``loss_fn`` raises, from the future: no gradient was added then.

        >>> def most_likely(data, logprobs):
        ...     loss = -sum(lp.sum() for lp in logprobs)
        ...     return loss, {"longest": max(len(lp) for lp in logprobs)}
        >>> training.forward_backward_custom(data, most_likely).result().metrics["longest"]
        4.0
        """
        if loss_type_input not in (None, "logprobs"):
            raise ValueError(f"loss_type_input must be 'logprobs', not {loss_type_input!r}")
        data = passes.checked(data)
        if isinstance(loss_fn, str):
            raise TypeError(
                f"forward_backward_custom takes a function of yours; {loss_fn!r} is a loss of the "
                f"server's: forward_backward(data, {loss_fn!r})"
            )
        if isinstance(loss_fn, LossHandle):
            loss_fn = loss_fn.checked(data, self._session.session_id)
        forward = passes.encode(custom_loss.forward_data(data))
        return self._session.run(self._passes.run_custom(data, forward, loss_fn))

    async def forward_backward_custom_async(
        self,
        data: Sequence[Datum],
        loss_fn: CustomLossFn | LossHandle,
        *,
        loss_type_input: Any = None,
    ) -> APIFuture[ForwardBackwardOutput]:
        """Hand in `forward_backward_custom`; the result is another ``await`` away."""
        return self.forward_backward_custom(data, loss_fn, loss_type_input=loss_type_input)

    def _pass(
        self,
        data: Sequence[Datum],
        loss_fn: str,
        loss_fn_config: LossFnConfig | None,
        *,
        forward_only: bool,
    ) -> APIFuture[ForwardBackwardOutput]:
        kind = "forward" if forward_only else "forward_backward"
        data = passes.checked(data)
        if not isinstance(loss_fn, str):
            own = "; forward_backward_custom(data, fn) takes one of yours" * callable(loss_fn)
            raise TypeError(
                f"loss_fn must be the name of a loss, e.g. 'cross_entropy', not "
                f"{title_of(loss_fn)}{own}"
            )
        loss = LOSSES.get(loss_fn)  # one that is not known here may be known to the server
        if loss is not None:  # what no single request shows, once the batch is cut
            inputs = [datum.loss_fn_inputs for datum in data]
            mistake = loss.incomplete(len(data)) or loss.mixed(inputs)
            if mistake is not None:
                raise ValueError(mistake)
        group = 1 if loss is None else loss.group
        settings = codec.encode_pass_settings(loss_fn, loss_fn_config, forward_only)
        whole = functools.partial(
            batches.measured, data=list(data), loss_fn=loss_fn, settings=dict(loss_fn_config or {})
        )
        encoded = passes.encode(data)
        return self._session.run(self._passes.run(encoded, settings, kind, whole, group))

    # ---- everything else that has a place in the order

    def optim_step(
        self, optim_params: OptimParams | None = None, *, adam_params: AdamParams | None = None
    ) -> APIFuture[OptimStepResponse]:
        """Take one optimizer step with the gradient gathered so far, and clear it.

        Args:
            optim_params: ``AdamParams``; left out, its defaults.
            adam_params: another name for the same.

        Returns:
            A future of metrics, e.g. ``unclipped_grad_norm:mean``.

        >>> training.optim_step(AdamParams(learning_rate=1e-3)).result().metrics
        {'unclipped_grad_norm:mean': ...}
        """
        if optim_params is not None and adam_params is not None:
            raise ValueError("give optim_params or adam_params, not both")
        given = adam_params if optim_params is None else optim_params
        chosen = AdamParams() if given is None else given
        if not isinstance(chosen, AdamParams | DimuonParams):
            raise _no_params(chosen)
        name = "optimizer_params" if isinstance(chosen, DimuonParams) else "adam_params"
        return self._ordered(
            "optim_step", {name: msgspec.structs.asdict(chosen)}, OptimStepResponse
        )

    async def optim_step_async(
        self, optim_params: OptimParams | None = None, *, adam_params: AdamParams | None = None
    ) -> APIFuture[OptimStepResponse]:
        """Hand in `optim_step`; the result is another ``await`` away."""
        return self.optim_step(optim_params, adam_params=adam_params)

    def save_weights_and_get_sampling_client(
        self,
        name: str | None = None,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
        kind: SamplingClientKind = "snapshot",
    ) -> SamplingClient:
        """A client that samples from the weights as they are at this place in the order.

        No checkpoint is kept: the weights are freed when the session ends. ``name`` has no effect.

        >>> sampler = training.save_weights_and_get_sampling_client()
        >>> sampler.get_base_model()
        'tinsmith/nano-qwen3'
        """
        number = self._session.number("sampler")
        body = {"sampling_session_seq_id": number, "kind": kind}
        saved = self._ordered("save_weights_for_sampler", body, _SamplerSaved)

        async def create() -> SamplerRef:
            sampler_id = (await saved).sampling_session_id
            info = await self._created
            return SamplerRef(sampler_id, info.model_name or info.model_data.model_name)

        return SamplingClient(
            self._session,
            create,
            retry_config=retry_config,
            record_stability_info=record_stability_info,
        )

    async def save_weights_and_get_sampling_client_async(
        self,
        name: str | None = None,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
        kind: SamplingClientKind = "snapshot",
    ) -> SamplingClient:
        """`save_weights_and_get_sampling_client`, waited for."""
        return await self.save_weights_and_get_sampling_client(
            name, retry_config, record_stability_info, kind
        )

    # ---- what it is

    def create_sampling_client(
        self,
        model_path: str,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
    ) -> SamplingClient:
        """A client that samples from a saved checkpoint, like ``ServiceClient``'s method."""
        return new_sampling_client(
            self._session, model_path, None, retry_config, record_stability_info
        )

    async def create_sampling_client_async(
        self,
        model_path: str,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
    ) -> SamplingClient:
        """`create_sampling_client`, waited for."""
        return await self.create_sampling_client(model_path, retry_config, record_stability_info)

    def get_info(self) -> GetInfoResponse:
        """The run's id, base model and rank, as they were at its creation."""
        return self._created.result()

    async def get_info_async(self) -> GetInfoResponse:
        """`get_info`, waited for."""
        return await self._created

    def get_console_url(self) -> str:
        """Where the dashboard shows this run; waits until there is one."""
        return f"{self._session.settings.base_url}/runs/{self.model_id}"

    def get_telemetry(self) -> None:
        """None: this client sends none."""
        return

    def get_tokenizer(self) -> PreTrainedTokenizerBase:
        """The base model's tokenizer, fetched from the server once; needs transformers."""
        info = self.get_info()
        name = info.model_data.model_name or info.model_name
        if name is None:
            raise errors.APIResponseValidationError("the server did not say which base model it is")
        return tokenizers.load(self._session, name, info.model_data.tokenizer_id)


def _no_params(given: object) -> TypeError:
    """The error for what is given to ``optim_step`` instead of its parameters."""
    example = "AdamParams(learning_rate=1e-4)"
    if isinstance(given, int | float) and not isinstance(given, bool):
        example = f"AdamParams(learning_rate={given!r})"
    elif isinstance(given, Mapping):
        example = f"AdamParams({', '.join(f'{name}={given[name]!r}' for name in given)})"
    return unlike("what optim_step takes", "AdamParams", given, f"write optim_step({example})")
