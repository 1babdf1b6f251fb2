"""Tinsmith's Python client: write the training loop, the server does the heavy part.

>>> import tinsmith
>>> service = tinsmith.ServiceClient()
>>> training = service.create_lora_training_client("tinsmith/nano-qwen3", rank=16)

The names are those of the public ``tinker`` client: ``import tinsmith as tinker`` moves a script
over.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tinsmith._version import __version__

if TYPE_CHECKING:
    from tinsmith import (
        auth,
        data,
        hyperparameters,
        renderers,
        types,
    )
    from tinsmith._clients.admin import (
        AdminClient,
    )
    from tinsmith._clients.backcompat import (
        BackcompatSamplingClientFuture,
        BackcompatTrainingClientFuture,
        ExperimentalWarning,
        RequestOptions,
        Timeout,
    )
    from tinsmith._clients.rest import (
        RestClient,
    )
    from tinsmith._clients.sampling import (
        SamplingClient,
    )
    from tinsmith._clients.service import (
        ServiceClient,
    )
    from tinsmith._clients.training import (
        TrainingClient,
    )
    from tinsmith._http.transport import (
        RetryConfig,
    )
    from tinsmith._session.futures import (
        APIFuture,
    )
    from tinsmith._session.waiting import (
        Waiting,
    )
    from tinsmith._training.loss_handles import (
        LossHandle,
        PerDatumLossFn,
    )
    from tinsmith._words.progress import (
        wait_all,
    )
    from tinsmith.errors import (
        APIConnectionError,
        APIError,
        APIResponseValidationError,
        APIStatusError,
        APITimeoutError,
        AuthenticationError,
        BadRequestError,
        BillingError,
        ConfigurationError,
        ConflictError,
        GoneError,
        InternalServerError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
        RequestFailedError,
        RequestTooLargeError,
        RunBrokenError,
        SessionClosedError,
        TinkerError,
        TinsmithError,
        UnprocessableEntityError,
        WrongServerError,
    )
    from tinsmith.types import (
        AdamOptimizerConfig,
        AdamParams,
        Checkpoint,
        CheckpointType,
        Datum,
        DimuonOptimizerConfig,
        DimuonParams,
        DmelChunk,
        EncodedTextChunk,
        ForwardBackwardOutput,
        GetInfoResponse,
        GetServerCapabilitiesResponse,
        ImageAssetPointerChunk,
        ImageChunk,
        LoraConfig,
        ModelID,
        ModelInput,
        ModelInputChunk,
        OptimParams,
        OptimStepRequest,
        OptimStepResponse,
        ParsedCheckpointTinkerPath,
        PromptProvenanceSpan,
        Rollout,
        SampledProvenanceSpan,
        SampledSequence,
        SampleRequest,
        SampleResponse,
        SamplingParams,
        StopReason,
        SupportedModel,
        TensorData,
        TensorDtype,
        TrainingRun,
    )

__title__ = "tinsmith"

_NAMES_OF = {
    "tinsmith._clients.admin": "AdminClient",
    "tinsmith._clients.backcompat": """
        BackcompatSamplingClientFuture BackcompatTrainingClientFuture
        ExperimentalWarning RequestOptions Timeout
    """,
    "tinsmith.errors": """
        APIConnectionError APIError APIResponseValidationError APIStatusError
        APITimeoutError AuthenticationError BadRequestError BillingError
        ConfigurationError ConflictError GoneError InternalServerError NotFoundError
        PermissionDeniedError RateLimitError RequestFailedError RequestTooLargeError
        RunBrokenError SessionClosedError TinkerError TinsmithError
        UnprocessableEntityError WrongServerError
    """,
    "tinsmith._session.futures": "APIFuture",
    "tinsmith._training.loss_handles": "LossHandle PerDatumLossFn",
    "tinsmith._words.progress": "wait_all",
    "tinsmith._clients.rest": "RestClient",
    "tinsmith._clients.sampling": "SamplingClient",
    "tinsmith._clients.service": "ServiceClient",
    "tinsmith._clients.training": "TrainingClient",
    "tinsmith._http.transport": "RetryConfig",
    "tinsmith.types": """
        AdamOptimizerConfig AdamParams Checkpoint CheckpointType Datum
        DimuonOptimizerConfig DimuonParams DmelChunk EncodedTextChunk
        ForwardBackwardOutput GetInfoResponse GetServerCapabilitiesResponse
        ImageAssetPointerChunk ImageChunk LoraConfig ModelID ModelInput ModelInputChunk
        OptimParams OptimStepRequest OptimStepResponse ParsedCheckpointTinkerPath
        PromptProvenanceSpan Rollout SampleRequest SampleResponse SampledProvenanceSpan
        SampledSequence SamplingParams StopReason SupportedModel TensorData TensorDtype
        TrainingRun
    """,
    "tinsmith._session.waiting": "Waiting",
}
_HOME_OF = {name: home for home, names in _NAMES_OF.items() for name in names.split()}

__all__ = [
    "APIConnectionError",
    "APIError",
    "APIFuture",
    "APIResponseValidationError",
    "APIStatusError",
    "APITimeoutError",
    "AdamOptimizerConfig",
    "AdamParams",
    "AdminClient",
    "AuthenticationError",
    "BackcompatSamplingClientFuture",
    "BackcompatTrainingClientFuture",
    "BadRequestError",
    "BillingError",
    "Checkpoint",
    "CheckpointType",
    "ConfigurationError",
    "ConflictError",
    "Datum",
    "DimuonOptimizerConfig",
    "DimuonParams",
    "DmelChunk",
    "EncodedTextChunk",
    "ExperimentalWarning",
    "ForwardBackwardOutput",
    "GetInfoResponse",
    "GetServerCapabilitiesResponse",
    "GoneError",
    "ImageAssetPointerChunk",
    "ImageChunk",
    "InternalServerError",
    "LoraConfig",
    "LossHandle",
    "ModelID",
    "ModelInput",
    "ModelInputChunk",
    "NotFoundError",
    "OptimParams",
    "OptimStepRequest",
    "OptimStepResponse",
    "ParsedCheckpointTinkerPath",
    "PerDatumLossFn",
    "PermissionDeniedError",
    "PromptProvenanceSpan",
    "RateLimitError",
    "RequestFailedError",
    "RequestOptions",
    "RequestTooLargeError",
    "RestClient",
    "RetryConfig",
    "Rollout",
    "RunBrokenError",
    "SampleRequest",
    "SampleResponse",
    "SampledProvenanceSpan",
    "SampledSequence",
    "SamplingClient",
    "SamplingParams",
    "ServiceClient",
    "SessionClosedError",
    "StopReason",
    "SupportedModel",
    "TensorData",
    "TensorDtype",
    "Timeout",
    "TinkerError",
    "TinsmithError",
    "TrainingClient",
    "TrainingRun",
    "UnprocessableEntityError",
    "Waiting",
    "WrongServerError",
    "__title__",
    "__version__",
    "auth",
    "data",
    "hyperparameters",
    "renderers",
    "types",
    "wait_all",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name in ("auth", "data", "hyperparameters", "renderers", "types"):
        value: Any = importlib.import_module(f"tinsmith.{name}")
    elif name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
    else:
        if name.startswith("_"):
            raise AttributeError(name)
        from tinsmith._words.mistakes import did_you_mean

        meant = did_you_mean(name, __all__, "tinsmith.{}")
        raise AttributeError(f"tinsmith has no {name!r}{meant}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
