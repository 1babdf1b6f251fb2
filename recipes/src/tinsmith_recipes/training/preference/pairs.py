"""``Pair``: a preference as tokens, and what the losses take it as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinsmith import Datum, ModelInput
from tinsmith.data import Preference
from tinsmith.renderers import Renderer

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Pair:
    """A preference as tokens: what was asked, the answer that was chosen, the other one."""

    prompt: Tokens
    chosen: Tokens
    rejected: Tokens

    @classmethod
    def of(cls, preference: Preference, renderer: Renderer) -> Pair:
        """The tokens of a preference; an answer ends with the end of its turn.

        Raises:
            ValueError: a message that the renderer cannot express; answers that it writes alike.
        """
        prompt, chosen = _split(preference.prompt, preference.chosen, renderer)
        _, rejected = _split(preference.prompt, preference.rejected, renderer)
        if chosen == rejected:
            raise ValueError("chosen and rejected are the same tokens")
        return cls(prompt, chosen, rejected)

    @property
    def answers(self) -> tuple[Tokens, Tokens]:
        """The chosen answer, then the rejected one."""
        return self.chosen, self.rejected

    @property
    def longest(self) -> int:
        """Tokens of the prompt and of the longer answer."""
        return len(self.prompt) + max(map(len, self.answers))

    @property
    def tokens(self) -> int:
        """All tokens that a step with this pair works on."""
        return 2 * len(self.prompt) + sum(map(len, self.answers))


def _split(
    prompt: Sequence[Mapping[str, Any]], answer: Mapping[str, Any], renderer: Renderer
) -> tuple[Tokens, Tokens]:
    """The tokens before an answer, and those of the answer."""
    example = renderer.example([*prompt, answer])
    trained = [place for place, weight in enumerate(example.weights) if weight]
    begin, end = trained[0], trained[-1] + 1
    return tuple(example.tokens[:begin]), tuple(example.tokens[begin:end])


def tokenized(
    preferences: Sequence[Preference], renderer: Renderer, longest: int
) -> tuple[list[Pair], list[str]]:
    """Preferences as tokens, and why others were left out: too long, or not to be expressed.

    Args:
        preferences: prompts with two answers.
        renderer: how chats are written.
        longest: the most tokens of a prompt with an answer.
    """
    pairs: list[Pair] = []
    left_out: list[str] = []
    for preference in preferences:
        try:
            pair = Pair.of(preference, renderer)
        except ValueError as error:
            left_out.append(str(error))
            continue
        if pair.longest <= longest:
            pairs.append(pair)
        else:
            left_out.append(f"prompt and answer are {pair.longest} tokens")
    return pairs, left_out


def check_pairs(pairs: Sequence[Pair]) -> None:
    """Refuse pairs that no preference can be learnt from.

    Raises:
        ValueError: there are none, or all are one and the same.
    """
    if not pairs:
        raise ValueError("there are no pairs")
    if len(set(pairs)) == 1:
        raise ValueError(
            f"there are {len(pairs)} pairs, and all are one and the same: a model would learn it "
            "by heart, and no preference"
        )


def texts(pairs: Sequence[Pair]) -> list[tuple[Tokens, Tokens]]:
    """Prompt and answer, two a pair."""
    return [(pair.prompt, answer) for pair in pairs for answer in pair.answers]


def scored_data(pairs: Sequence[Pair]) -> list[Datum]:
    """Two neighbouring datums a pair, for the loss ``bradley_terry``."""
    return [
        Datum.for_score(ModelInput.from_ints(pair.prompt), answer)
        for pair in pairs
        for answer in pair.answers
    ]


def answer_data(
    pairs: Sequence[Pair],
    logprobs: Sequence[np.ndarray[Any, Any]] | None = None,
    weights: Sequence[float] | None = None,
) -> list[Datum]:
    """Two neighbouring datums a pair, whose weights are on the tokens of the answers.

    Args:
        pairs: of tokens.
        logprobs: under the reference model, [answer], two a pair; left out, datums have none.
        weights: of each answer's tokens, two a pair; left out, all 1.
    """
    data = []
    for number, (prompt, answer) in enumerate(texts(pairs)):
        weight = 1.0 if weights is None else weights[number]
        before = [0.0] * (len(prompt) - 1)
        given = {} if logprobs is None else {"logprobs": [*before, *logprobs[number].tolist()]}
        tokens = [*prompt, *answer]
        data.append(
            Datum.from_tokens(tokens[:-1], tokens[1:], [*before, *[weight] * len(answer)], **given)
        )
    return data
