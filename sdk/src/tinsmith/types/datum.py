"""``Datum``: one training sequence and what its loss needs at every position."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinsmith._words.mistakes import did_you_mean, explained, title_of
from tinsmith.losses import LOSSES, SCORE_TOKENS
from tinsmith.types.inputs import ModelInput, check_input
from tinsmith.types.tensor import TensorData, TensorDtype, dtype_of, is_torch
from tinsmith.types.tokens import check_tokens

if TYPE_CHECKING:
    import torch

    from tinsmith.renderers import Renderer, TrainOnWhat

    ArrayLike: TypeAlias = TensorData | np.ndarray[Any, Any] | torch.Tensor | Sequence[Any]

# Lists carry no dtype, so the name of the input decides
_DTYPE_OF_LIST: dict[str, TensorDtype] = {
    name: "int64" if name == "target_tokens" else "float32"
    for loss in LOSSES.values()
    for name in loss.inputs
}
_SPARSE_INPUTS = frozenset({"target_tokens", "weights"})


@explained
@dataclass(frozen=True, kw_only=True)
class _Span:
    sequence_id: str
    offset: int = 0
    length: int

    def __post_init__(self) -> None:
        if not self.sequence_id or self.offset < 0 or self.length < 0:
            raise ValueError(f"a span needs a sequence_id, offset >= 0 and length >= 0: {self}")


class PromptProvenanceSpan(_Span):
    """Tokens that were part of the prompt of the request that sampled ``sequence_id``."""


class SampledProvenanceSpan(_Span):
    """Tokens that were sampled as ``sequence_id``."""


ProvenanceSpans = list[PromptProvenanceSpan | SampledProvenanceSpan]


@explained
@dataclass(frozen=True, init=False, repr=False)
class Datum:
    """One training sequence of N tokens.

    Args:
        model_input: the N input tokens.
        loss_fn_inputs: per-token arrays by name, leading dimension N, position i belonging to the
            prediction of target i. Targets are given already shifted: nothing is shifted, masked or
            averaged on the way. Lists, numpy arrays, torch tensors and ``TensorData`` are accepted.

    Raises:
        ValueError: an array that is not rectangular.
        TypeError: a value that is no array, or an input that is no ``ModelInput``.

    >>> Datum(
    ...     model_input=ModelInput.from_ints([1, 2, 3]),
    ...     loss_fn_inputs={"target_tokens": [2, 3, 4], "weights": [0.0, 1.0, 1.0]},
    ... ).model_input.length
    3
    """

    model_input: ModelInput
    loss_fn_inputs: dict[str, TensorData]
    model_input_spans: ProvenanceSpans | None
    loss_fn_input_spans: ProvenanceSpans | None

    def __init__(
        self,
        model_input: ModelInput,
        loss_fn_inputs: Mapping[str, ArrayLike] | None = None,
        model_input_spans: ProvenanceSpans | None = None,
        loss_fn_input_spans: ProvenanceSpans | None = None,
    ) -> None:
        if (model_input_spans is None) != (loss_fn_input_spans is None):
            raise ValueError("set both model_input_spans and loss_fn_input_spans, or neither")
        check_input(model_input, "a datum's model_input")
        if type(loss_fn_inputs) is not dict and not isinstance(loss_fn_inputs, Mapping | None):
            raise TypeError(
                "loss_fn_inputs must be arrays by name, e.g. {'target_tokens': …, 'weights': …}, "
                f"not {title_of(loss_fn_inputs)}"
            )
        given = (loss_fn_inputs or {}).items()
        put = object.__setattr__
        put(self, "model_input", model_input)
        put(self, "loss_fn_inputs", {name: as_tensor(name, value) for name, value in given})
        put(self, "model_input_spans", model_input_spans)
        put(self, "loss_fn_input_spans", loss_fn_input_spans)

    def __repr__(self) -> str:
        inputs = "".join(
            f", {name}={tensor.dtype if isinstance(tensor, TensorData) else type(tensor).__name__}"
            f"{getattr(tensor, 'shape', '')}"
            for name, tensor in self.loss_fn_inputs.items()
        )
        spans = "" if self.model_input_spans is None else ", with provenance"
        return f"Datum({self.model_input!r}{inputs}{spans})"

    @classmethod
    def from_tokens(
        cls,
        tokens: Sequence[int] | np.ndarray[Any, Any] | torch.Tensor,
        targets: Sequence[int] | np.ndarray[Any, Any] | torch.Tensor | None = None,
        weights: Sequence[float] | np.ndarray[Any, Any] | torch.Tensor | None = None,
        **loss_fn_inputs: Any,
    ) -> Datum:
        """A text datum without ceremony.

        Args:
            tokens: [N] input token ids.
            targets: [N] the token to predict at every position. Left out, ``tokens`` is a whole
                sequence whose every token is predicted from those before it: the datum then has
                N - 1 positions, and the first weight is not used.
            weights: [N] weight of every position's loss; left out, all 1.
            loss_fn_inputs: more inputs of the loss by name, e.g. ``advantages=[...]``, one entry a
                position of the datum.

        Raises:
            ValueError: lengths that differ; a single token without targets.
            TypeError: text, a tokenizer's whole output, or another thing that is no token ids.

        >>> whole = Datum.from_tokens([1, 2, 3], weights=[0, 0, 1])
        >>> whole.model_input.to_ints(), whole.loss_fn_inputs["target_tokens"].tolist()
        ([1, 2], [2, 3])
        """
        check_tokens(tokens)
        for name, values in (("targets", targets), ("weights", weights)):
            if values is not None and _length(name, values) != len(tokens):
                raise ValueError(f"{len(values)} {name} for {len(tokens)} tokens")
        if targets is None:
            if len(tokens) < 2:
                raise ValueError(
                    f"{len(tokens)} tokens hold nothing to predict; give two or more, or targets="
                )
            tokens, targets = tokens[:-1], tokens[1:]
            weights = None if weights is None else weights[1:]
        inputs: dict[str, Any] = {
            "target_tokens": _named("target_tokens", targets, "int64"),
            **loss_fn_inputs,
        }
        # Reinforcement losses take no weights: only a caller who gave them gets them there
        if weights is not None or not loss_fn_inputs:
            if weights is None:
                weights = np.ones(len(tokens), dtype=np.float32)
            inputs["weights"] = _named("weights", weights, "float32")
        return cls(model_input=ModelInput.from_ints(tokens), loss_fn_inputs=inputs)

    @classmethod
    def from_messages(
        cls,
        messages: Sequence[Any],
        renderer: Renderer,
        train_on: TrainOnWhat | str = "last_assistant_message",
        tools: Sequence[Any] | None = None,
    ) -> Datum:
        """A chat as a datum: its tokens, and weight 1 where it is to be learnt.

        Args:
            messages: e.g. ``[{"role": "user", "content": "Hi"}, {"role": "assistant", …}]``.
            renderer: of ``tinsmith.renderers``, e.g. ``renderers.for_model(model, tokenizer)``.
            train_on: which messages have weight; see ``tinsmith.renderers.TrainOnWhat``.
            tools: that the assistant may call, in OpenAI's form.

        Raises:
            TypeError, ValueError: a message that the renderer cannot express; nothing to train; a
                chat that is several examples, which ``renderer.examples`` makes.
        """
        if not hasattr(renderer, "examples"):
            raise TypeError(
                f"renderer must be one of tinsmith.renderers, not {title_of(renderer)}; "
                "renderers.for_model(model, tokenizer) chooses it"
            )
        return renderer.example(messages, train_on, tools).datum()

    @classmethod
    def for_score(cls, prompt: ModelInput, completion: Sequence[int]) -> Datum:
        """An answer to be scored, for ``bradley_terry``: chosen and rejected make a pair.

        The score is how much likelier the first of ``tinsmith.losses.SCORE_TOKENS`` is than the
        second after the answer. ``SamplingClient.score`` reads it.

        >>> datum = Datum.for_score(ModelInput.from_ints([7, 8]), [9])
        >>> datum.loss_fn_inputs["weights"].tolist()
        [[0.0, 0.0], [0.0, 0.0], [1.0, -1.0]]
        """
        tokens = scored_tokens(prompt, completion)
        weights = np.zeros((len(tokens), 2), np.float32)
        weights[-1] = 1, -1
        targets = np.zeros((len(tokens), 2), np.int64)
        targets[-1] = SCORE_TOKENS
        return cls(ModelInput.from_ints(tokens), {"target_tokens": targets, "weights": weights})

    def with_provenance(
        self, model_input: ProvenanceSpans, loss_fn_inputs: ProvenanceSpans
    ) -> Datum:
        """A copy that says where its tokens come from.

        Args:
            model_input: spans that cover the input tokens, in order.
            loss_fn_inputs: spans that cover the target tokens, in order.

        Raises:
            ValueError: spans that do not cover exactly that.
        """
        _check_cover("model_input", model_input, self.model_input.length)
        targets = self.loss_fn_inputs.get("target_tokens")
        if targets is not None and targets.shape is not None and len(targets.shape) == 1:
            _check_cover("loss_fn_inputs", loss_fn_inputs, targets.shape[0])
        return replace(self, model_input_spans=model_input, loss_fn_input_spans=loss_fn_inputs)


def scored_tokens(prompt: ModelInput, completion: Sequence[int]) -> list[int]:
    """Prompt and completion in one; raises TypeError or ValueError for what is neither."""
    check_input(prompt, "prompt")
    check_tokens(completion)
    if not len(completion):
        raise ValueError("the completion has no tokens: there is nothing to score")
    return [*prompt.to_ints(), *map(int, completion)]


def as_tensor(name: str, value: Any) -> TensorData:
    """``value`` as a ``TensorData``; ``name`` decides the dtype of a plain list."""
    if isinstance(value, TensorData):
        return value
    if isinstance(value, np.ndarray):
        return TensorData(value, dtype_of(value.dtype), value.shape)
    if is_torch(value):
        if name in _SPARSE_INPUTS and value.ndim == 2:
            return TensorData.from_torch_sparse(value)
        return TensorData.from_torch(value)
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        out = "; leave it out where there is none" if value is None else ""
        raise TypeError(f"loss_fn_inputs[{name!r}] must be an array, not {title_of(value)}{out}")
    if name not in _DTYPE_OF_LIST:
        raise TypeError(
            f"loss_fn_inputs[{name!r}] is a list, whose number type only these names tell: "
            f"{', '.join(_DTYPE_OF_LIST)}{did_you_mean(name, _DTYPE_OF_LIST)} "
            "Pass a numpy array or TensorData(data, dtype=...) for an input of another name"
        )
    return _named(name, value, _DTYPE_OF_LIST[name])


def _named(name: str, value: Any, dtype: TensorDtype) -> TensorData:
    try:
        return TensorData(value, dtype)
    except ValueError as error:
        raise ValueError(
            f"loss_fn_inputs[{name!r}] must be a rectangular array of numbers: {error}"
        ) from None


def _length(name: str, values: Any) -> int:
    """How many there are; raises TypeError for what is no list or array."""
    if isinstance(values, str | bytes | Mapping) or not hasattr(values, "__len__"):
        raise TypeError(
            f"{name} must be a list or an array, one entry a token, not {title_of(values)}"
        )
    return len(values)


def _check_cover(name: str, spans: ProvenanceSpans, length: int) -> None:
    covered = sum(span.length for span in spans)
    if covered != length:
        raise ValueError(f"the {name} spans cover {covered} positions of {length}")
