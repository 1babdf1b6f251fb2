"""What a judge reads, how it is understood, and what the recipe refuses."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.support.chats import nano
from tinsmith import renderers
from tinsmith_recipes.rubric.data import names_colour, questions
from tinsmith_recipes.rubric.judge import Judge, Judged, asked, score_of
from tinsmith_recipes.rubric.train import Rubric
from tinsmith_recipes.training.rl import Policy

QUESTION = ({"role": "user", "content": "Write a sentence with 'cow'."},)


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("yes", 1.0),
        ("No.", 0.0),
        ("It names red, so yes", 1.0),
        ("yes? no!", 0.0),
        ("8", 0.8),
        ("Score: 7.5", 0.75),
        ("7/10", 0.7),
        ("I give it 9 out of 10.", 0.9),
        ("12", 1.0),
        ("yesterday, nobody", None),
        ("", None),
    ],
)
def test_the_last_yes_no_or_number_counts(text: str, score: float | None) -> None:
    assert score_of(text) == score


def test_a_number_is_a_part_of_the_best() -> None:
    assert score_of("4", best=5) == 0.8


def test_a_judge_reads_question_answer_and_rubric() -> None:
    chat = ({"role": "system", "content": "Be brief."}, *QUESTION)
    (message,) = asked(chat, "The cow is red.", "Good?")
    assert message["content"] == (
        "Question: (system) Be brief.\nWrite a sentence with 'cow'.\nAnswer: The cow is red.\nGood?"
    )


class Saying:
    """A sampler that always says the same."""

    def __init__(self, text: str) -> None:
        self.tokens = [*nano("nano-qwen3").encode(text), 442]
        self.asked: list[str] = []

    async def sample(self, prompt: Any, *_: Any) -> Any:
        self.asked.append(nano("nano-qwen3").decode(prompt.to_ints()))
        one = SimpleNamespace(
            tokens=self.tokens,
            logprobs_np=[0.0] * len(self.tokens),
            stop_reason="stop",
            sequence_id="",
        )
        return SimpleNamespace(sequences=[one])


@pytest.mark.parametrize(
    ("judgement", "reward", "unread"), [("yes", 1.0, 0.0), ("no", 0.0, 0.0), ("hm", 0.0, 1.0)]
)
async def test_the_reward_is_the_judges_score(judgement: str, reward: float, unread: float) -> None:
    tokenizer = nano("nano-qwen3")
    renderer = renderers.for_model("tinsmith/nano-qwen3", tokenizer)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    judge_says, student_says = Saying(judgement), Saying("The cow is red.")
    judge_says.tokens[-1] = student_says.tokens[-1] = end
    judge = Judge(cast(Any, judge_says), renderer, "Does it name a colour?")
    policy = Policy(cast(Any, student_says), renderer, max_tokens=32)
    outcome = await Judged(QUESTION, judge).play(policy)
    assert (outcome.reward, outcome.parts["unread"]) == (reward, unread)
    assert "Answer: The cow is red.\nDoes it name a colour?" in judge_says.asked[0]


@pytest.mark.parametrize("held_out", [1, 16])
def test_no_word_is_asked_about_on_both_sides(held_out: int) -> None:
    learn, test = questions(held_out, seed=3)
    words = [{one.split("'")[1] for one in some} for some in (learn, test)]
    assert not words[0] & words[1]
    assert len(test) == held_out
    with pytest.raises(ValueError, match="held_out=76 leaves none"):
        questions(76)


def test_colours_are_whole_words() -> None:
    assert names_colour("A RED cow.")
    assert not names_colour("He was bored in the greenhouse.")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rubric": "Is it kind?"}, "needs a judge"),
        ({"data": "x.jsonl"}, "needs a judge"),
        ({"rubric": "Is it kind?", "rubric_file": "r.txt", "judge": "m"}, "choose one"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Rubric(**settings)


def test_a_rubric_comes_from_a_file_if_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "rubric.txt"
    file.write_text("Is it kind? Answer 1 to 10.\n")
    assert Rubric(rubric_file=str(file), judge="m").judged_by == "Is it kind? Answer 1 to 10."
    file.write_text("\n")
    with pytest.raises(ValueError, match="the rubric is empty"):
        _ = Rubric(rubric_file=str(file), judge="m").judged_by
