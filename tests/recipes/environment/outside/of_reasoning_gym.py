"""The adapter of reasoning-gym on reasoning-gym; run in a Python that has it."""

from __future__ import annotations

from typing import Any

import pytest
from players import Player

from tinsmith_recipes.environment.adapters import Problems, reasoning_gym

SHORT = "min_word_len=3,max_word_len=5"


def spelling(words: str = SHORT, **settings: Any) -> Problems:
    wanted = {"learn": 300, "held_out": 50, "seed": 0} | settings
    return reasoning_gym.load("spell_backward", words, **wanted)


def backwards(chat: Any) -> str:
    return str(chat[-1]["content"].rpartition(" ")[2][::-1])


async def test_a_right_answer_is_worth_one_and_a_wrong_one_what_the_package_says() -> None:
    (problem, *_) = spelling().held_out
    player = Player(backwards)
    outcome = await problem.play(player)
    assert (outcome.reward, outcome.parts) == (1, {"solved": 1})
    ((asked,),) = player.asked
    assert asked["role"] == "user"
    assert asked["content"].startswith("Spell this word backward (example: sun -> nus): ")
    amiss = await problem.play(Player(lambda chat: backwards(chat)[:-1] + "?"))
    assert 0 < amiss.reward < 1
    assert amiss.parts == {"solved": 0}
    assert (await problem.play(Player(lambda chat: "0"))).reward == 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_held_out_problem_is_learnt_from(seed: int) -> None:
    problems = spelling(seed=seed)
    learn, held_out = (
        [one.entry["question"] for one in some] for some in (problems.learn, problems.held_out)
    )
    assert (len(set(learn)), len(set(held_out))) == (300, 50)
    assert not set(learn) & set(held_out)
    again = spelling(seed=seed)
    assert [one.entry for one in again.learn] == [one.entry for one in problems.learn]
    assert [one.entry for one in spelling(seed=seed + 1).held_out] != [
        one.entry for one in problems.held_out
    ]
    assert {chat[0]["content"] for chat in problems.solved} == set(learn)


def test_where_few_differ_there_are_few_to_learn_from() -> None:
    words = "min_terms=2,max_terms=2,min_digits=1,max_digits=1"
    problems = reasoning_gym.load("chain_sum", words, learn=300, held_out=20, seed=0)
    assert len(problems.held_out) == 20
    assert 100 < len(problems.learn) < 300
    with pytest.raises(ValueError, match="too few to hold 250 of them out"):
        reasoning_gym.load("chain_sum", words, learn=50, held_out=250, seed=0)


async def test_with_tags_the_answer_stands_between_them() -> None:
    problems = spelling(tagged=True)
    problem = problems.held_out[0]
    player = Player(lambda chat: f"I think.\n<answer>{backwards(chat)}</answer>")
    assert (await problem.play(player)).reward == 1
    ((system, _),) = player.asked
    assert "<answer>" in system["content"]
    assert (await problem.play(Player(backwards))).reward == 0
    assert problems.solved[0][-1]["content"].startswith("<answer>")


@pytest.mark.parametrize(
    ("task", "words", "reason"),
    [
        ("spell_backwards", "", "no dataset of reasoning-gym 'spell_backwards'; .*spell_backward"),
        ("spell_backward", "max_len=5", "no option of spell_backward 'max_len'; .*max_word_len"),
        ("spell_backward", "seed=5", "no option of spell_backward 'seed'"),
        ("spell_backward", "min_word_len=6,max_word_len=5", "max_word_len must be >= min_word_len"),
        ("spell_backward", "min_word_len=few", "spell_backward with options 'min_word_len=few'"),
    ],
)
def test_what_there_is_not_is_refused(task: str, words: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        reasoning_gym.load(task, words, learn=5, held_out=5, seed=0)
