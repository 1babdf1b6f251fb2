"""Episodes to datums, by hand and over generated episodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from tinsmith_recipes.training.rl.data import stretches
from tinsmith_recipes.training.rl.policy import Sampled

TOKENS = some.lists(some.integers(0, 400), min_size=1, max_size=6)


def turn(prompt: list[int], tokens: list[int], logprobs: list[float] | None = None) -> Sampled:
    given = [-0.5] * len(tokens) if logprobs is None else logprobs
    return Sampled(prompt, tokens, np.array(given, np.float32), "stop")


def test_a_turn_is_a_datum_with_zeros_in_its_prompt() -> None:
    (one,) = stretches([turn([1, 2, 3], [4, 5], [-0.25, -0.5])], advantage=2.0)
    datum = one.datum("importance_sampling")
    assert datum.model_input.to_ints() == [1, 2, 3, 4]
    found = {name: array.tolist() for name, array in datum.loss_fn_inputs.items()}
    assert found == {
        "target_tokens": [2, 3, 4, 5],
        "logprobs": [0.0, 0.0, -0.25, -0.5],
        "advantages": [0.0, 0.0, 2.0, 2.0],
    }


def test_losses_of_whole_sequences_are_told_which_tokens_count() -> None:
    (one,) = stretches([turn([1, 2], [3])], advantage=-1.0)
    mask = one.datum("gspo").loss_fn_inputs["sequence_ratio_mask"].tolist()
    assert mask == [0.0, 1.0]
    assert "sequence_ratio_mask" not in one.datum("ppo").loss_fn_inputs


def test_turns_that_go_on_are_one_datum() -> None:
    turns = [turn([1, 2], [3, 4], [-0.1, -0.2]), turn([1, 2, 3, 4, 5, 6], [7], [-0.3])]
    (one,) = stretches(turns, advantage=1.0)
    assert one.tokens == [1, 2, 3, 4, 5, 6, 7]
    assert one.logprobs == pytest.approx([0, 0, -0.1, -0.2, 0, 0, -0.3])
    assert one.advantages.tolist() == [0, 0, 1, 1, 0, 0, 1]


def test_a_chat_that_was_rewritten_begins_another_datum() -> None:
    first, second = stretches([turn([1, 2], [3, 4]), turn([1, 2, 9], [5])], advantage=1.0)
    assert (first.tokens, second.tokens) == ([1, 2, 3, 4], [1, 2, 9, 5])
    assert second.sampled.tolist() == [False, False, False, True]


@given(some.lists(some.tuples(TOKENS, TOKENS), min_size=1, max_size=5), some.floats(-3, 3))
def test_every_sampled_token_is_in_the_data_once(
    given_turns: list[tuple[list[int], list[int]]], advantage: float
) -> None:
    turns: list[Sampled] = []
    so_far: list[int] = []
    for more, tokens in given_turns:  # each prompt goes on where the last turn ended
        turns.append(turn([*so_far, *more], tokens))
        so_far = [*so_far, *more, *tokens]
    (merged,) = stretches(turns, advantage)
    assert merged.tokens == so_far
    apart = [one for given in turns for one in stretches([given], advantage)]
    for name in ("logprobs", "advantages"):
        whole = getattr(merged, name)[merged.sampled]
        parts = np.concatenate([getattr(one, name)[one.sampled] for one in apart])
        assert whole.tolist() == parts.tolist()
        assert not getattr(merged, name)[~merged.sampled].any()
    assert merged.sampled.sum() == sum(len(tokens) for _, tokens in given_turns)
