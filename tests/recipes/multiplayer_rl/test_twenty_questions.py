"""What is true of things, answers of a rule and of a model, careless games, worlds of one's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.recipes.multiplayer_rl.players import Program, Scripted
from tinsmith.renderers import Ending, Parsed
from tinsmith_recipes.multiplayer_rl.twenty_questions.data import (
    NO,
    NO_QUESTION,
    RIGHT,
    WORLD,
    YES,
    careless_game,
    left_after,
    read_world,
    verdict,
    word_in,
    words_of,
)
from tinsmith_recipes.multiplayer_rl.twenty_questions.env import UNREAD, Answerer, Asked
from tinsmith_recipes.multiplayer_rl.twenty_questions.train import TwentyQuestions
from tinsmith_recipes.training.recipe import read
from tinsmith_recipes.training.rl import Outcome

LIMIT = 20


async def asked(policy: Program, secret: str = "owl", **how: Any) -> Outcome:
    return await Asked(secret, WORLD, LIMIT, **how).play(policy)  # type: ignore[arg-type]


def telling(heard: str) -> str:
    """What halves best the things that a message says are left."""
    left = heard.partition(": ")[2].split()
    if len(left) == 1:
        return left[0]
    halves = {word: sum(word in WORLD[thing] for thing in left) for word in words_of(WORLD)}
    return min(halves, key=lambda word: abs(2 * halves[word] - len(left)))


def test_no_two_things_are_the_same_and_no_word_is_both() -> None:
    assert len(set(WORLD.values())) == len(WORLD) == 16
    assert not set(WORLD) & set(words_of(WORLD))


async def test_who_halves_what_is_left_needs_few_questions() -> None:
    outcomes = [await asked(Program(telling), thing) for thing in WORLD]
    taken = [outcome.parts["questions"] for outcome in outcomes]
    assert max(taken) <= 6
    assert sum(taken) / len(taken) < 5.5
    assert all(outcome.parts["won"] for outcome in outcomes)


async def test_answers_say_yes_or_no_and_what_is_left() -> None:
    policy = Scripted("Is it FUR?", "flies?", "duck?", "An owl.")
    outcome = await asked(policy)
    assert policy.heard == [
        f"ask: {' '.join(WORLD)}",
        "no: ant apple bread car coin duck key owl rose ship tree whale",
        "yes: duck owl",
        "no: owl",
    ]
    assert outcome == Outcome(pytest.approx(0.85), {"questions": 4, "won": 1})  # type: ignore[arg-type]


async def test_a_model_with_a_memory_is_told_the_rules_and_then_the_word_alone() -> None:
    policy = Scripted("alive?", "metal?", "owl?")
    await asked(policy, remembers=True)
    assert "owl, rose" in policy.heard[0]
    assert "alive, big" in policy.heard[0]
    assert policy.heard[1:] == [YES, NO]
    assert [len(chat) for chat in policy.asked] == [1, 3, 5]


@pytest.mark.parametrize("text", ["", "green?", "owls", "7", "x" * 5000])
async def test_a_message_without_a_question_costs_one_and_tells_nothing(text: str) -> None:
    policy = Scripted(text, "owl")
    outcome = await asked(policy)
    assert policy.heard[1] == f"{NO_QUESTION}: {' '.join(WORLD)}"
    assert outcome.parts["questions"] == 2


async def test_naming_everything_at_once_names_the_last() -> None:
    policy = Scripted(" ".join(WORLD), "owl")
    assert (await asked(policy)).parts["questions"] == 2


async def test_a_game_not_finished_earns_nothing_and_the_last_question_can_still_win() -> None:
    policy = Scripted(*["ant"] * LIMIT, "owl")
    outcome = await asked(policy)
    assert len(policy.asked) == LIMIT
    assert outcome == Outcome(0, {"questions": LIMIT, "won": 0})
    late = await asked(Scripted(*["ant"] * (LIMIT - 1), "owl"))
    assert late.reward == pytest.approx(1 / LIMIT)


def answerer(*texts: str) -> tuple[Answerer, list[Any]]:
    """One that says these, and what it was asked."""
    left, asked = iter(texts), []

    async def sample(prompt: Any, _count: int, _params: Any) -> Any:
        asked.append(prompt)
        return SimpleNamespace(sequences=[SimpleNamespace(tokens=next(left))])

    def parse(text: str) -> Parsed:
        return Parsed({"role": "assistant", "content": text}, Ending.STOP)

    def prompt(messages: Sequence[Any]) -> Any:
        return messages[0]["content"]

    renderer = SimpleNamespace(prompt=prompt, parse=parse, stop=[])
    return Answerer(SimpleNamespace(sample=sample), renderer), asked  # type: ignore[arg-type]


async def test_a_model_answers_whatever_is_asked_and_names_are_judged_by_the_rule() -> None:
    model, questions = answerer("Yes, it does.", "NO!", "Perhaps.")
    policy = Scripted("Does it hoot?", "Is it green?", "Why?", "Is it the cat?", "The owl?")
    outcome = await asked(policy, remembers=True, answerer=model)
    assert policy.heard[1:] == [YES, NO, UNREAD, NO]
    assert outcome.parts == {"questions": 5, "won": 1}
    assert len(questions) == 3
    assert "owl" in questions[0]
    assert questions[0].endswith("Does it hoot?")


async def test_a_no_within_another_word_is_none() -> None:
    model, _ = answerer("I know nothing.", "Not now, no")
    assert await model("?", "owl") == UNREAD
    assert await model("?", "owl") == NO


def test_an_answerer_needs_a_player_that_remembers() -> None:
    with pytest.raises(ValueError, match="it needs remembers=true"):
        read(TwentyQuestions, ["answerer=tinsmith/nano-llama3"])
    read(TwentyQuestions, ["answerer=tinsmith/nano-llama3", "remembers=true"])


async def test_careless_games_are_games_by_the_rules() -> None:
    for seed in range(50):
        game = careless_game("owl", WORLD, LIMIT, 0.5, Random(seed), remembers=False)
        said = [message["content"] for message in game if message["role"] == "assistant"]
        assert game[-1]["role"] == "assistant"
        policy = Scripted(*said, *["owl"] * LIMIT)
        assert (await asked(policy)).parts["questions"] == len(said)
        assert policy.asked == [game[at : at + 1] for at in range(0, len(game), 2)]


def test_a_careful_player_asks_less_than_a_careless_one() -> None:
    def questions(care: float) -> float:
        random = Random(0)
        games = [
            careless_game(thing, WORLD, LIMIT, care, random, remembers=False)
            for thing in [*WORLD] * 10
        ]
        return sum(len(game) // 2 for game in games) / len(games)

    assert questions(1.0) < 6 < questions(0.5) < questions(0.0)


def test_what_is_left_is_what_the_answer_fits() -> None:
    everything = list(WORLD)
    assert left_after(everything, "cat", NO, WORLD) == [one for one in everything if one != "cat"]
    assert left_after(everything, None, NO_QUESTION, WORLD) == everything
    assert verdict("owl", "owl", WORLD) == RIGHT
    assert word_in("It is not alive: a key", WORLD) == "key"


def test_a_world_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "world.json"
    file.write_text(json.dumps({"oak": ["tall"], "moss": []}))
    assert read_world(str(file)) == {"oak": {"tall"}, "moss": set()}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{", "is no JSON"),
        ("[]", "an object of 2 to 1000 things"),
        ('{"oak": ["tall"]}', "an object of 2 to 1000 things"),
        ('{"oak": "tall", "moss": []}', "'oak' and what is true of it must be words"),
        ('{"oak": [1], "moss": []}', "'oak' and what is true of it must be words"),
        ('{"Oak": ["tall"], "moss": []}', "'Oak' and what is true of it must be words"),
        ('{"oak": ["moss"], "moss": []}', "moss is both"),
        ('{"oak": [], "moss": []}', "nothing is true of any"),
    ],
)
def test_a_world_that_is_none_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    file = tmp_path / "world.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=wrong):
        read_world(str(file))
    with pytest.raises(ValueError, match="there is no file"):
        read_world(str(tmp_path / "nothing.json"))
