"""Tinsmith's Python client: write the training loop, the server does the heavy part.

>>> import tinsmith
>>> service = tinsmith.ServiceClient()  # doctest: +SKIP
>>> training = service.create_lora_training_client("tinsmith/nano-qwen3", rank=16)  # doctest: +SKIP

The names are those of the public ``tinker`` client: ``import tinsmith as tinker`` moves a script
over.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tinsmith._version import __version__

if TYPE_CHECKING:
    from tinsmith import types
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
    )
    from tinsmith.futures import APIFuture
    from tinsmith.sampling_client import SamplingClient
    from tinsmith.service_client import ServiceClient
    from tinsmith.training_client import TrainingClient
    from tinsmith.transport import RetryConfig
    from tinsmith.types import (
        AdamOptimizerConfig,
        AdamParams,
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
        OptimStepResponse,
        ParsedCheckpointTinkerPath,
        PromptProvenanceSpan,
        SampledProvenanceSpan,
        SampledSequence,
        SampleResponse,
        SamplingParams,
        StopReason,
        SupportedModel,
        TensorData,
        TensorDtype,
    )
    from tinsmith.waiting import Waiting

__title__ = "tinsmith"

_NAMES_OF = {
    "tinsmith.errors": """
        APIConnectionError APIError APIResponseValidationError APIStatusError
        APITimeoutError AuthenticationError BadRequestError BillingError ConfigurationError
        ConflictError GoneError InternalServerError NotFoundError PermissionDeniedError
        RateLimitError RequestFailedError RequestTooLargeError RunBrokenError
        SessionClosedError TinkerError TinsmithError UnprocessableEntityError
    """,
    "tinsmith.futures": "APIFuture",
    "tinsmith.sampling_client": "SamplingClient",
    "tinsmith.service_client": "ServiceClient",
    "tinsmith.training_client": "TrainingClient",
    "tinsmith.transport": "RetryConfig",
    "tinsmith.types": """
        AdamOptimizerConfig AdamParams CheckpointType Datum DimuonOptimizerConfig
        DimuonParams DmelChunk EncodedTextChunk ForwardBackwardOutput GetInfoResponse
        GetServerCapabilitiesResponse ImageAssetPointerChunk ImageChunk LoraConfig ModelID
        ModelInput ModelInputChunk OptimParams OptimStepResponse ParsedCheckpointTinkerPath
        PromptProvenanceSpan SampledProvenanceSpan SampledSequence SampleResponse
        SamplingParams StopReason SupportedModel TensorData TensorDtype
    """,
    "tinsmith.waiting": "Waiting",
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
    "AuthenticationError",
    "BadRequestError",
    "BillingError",
    "CheckpointType",
    "ConfigurationError",
    "ConflictError",
    "Datum",
    "DimuonOptimizerConfig",
    "DimuonParams",
    "DmelChunk",
    "EncodedTextChunk",
    "ForwardBackwardOutput",
    "GetInfoResponse",
    "GetServerCapabilitiesResponse",
    "GoneError",
    "ImageAssetPointerChunk",
    "ImageChunk",
    "InternalServerError",
    "LoraConfig",
    "ModelID",
    "ModelInput",
    "ModelInputChunk",
    "NotFoundError",
    "OptimParams",
    "OptimStepResponse",
    "ParsedCheckpointTinkerPath",
    "PermissionDeniedError",
    "PromptProvenanceSpan",
    "RateLimitError",
    "RequestFailedError",
    "RequestTooLargeError",
    "RetryConfig",
    "RunBrokenError",
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
    "TinkerError",
    "TinsmithError",
    "TrainingClient",
    "UnprocessableEntityError",
    "Waiting",
    "__title__",
    "__version__",
    "types",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name == "types":
        value: Any = importlib.import_module("tinsmith.types")
    elif name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module 'tinsmith' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
