"""reasoning-gym: problems that a program makes up, and whose answers it scores."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from tinsmith_recipes.environment.adapters import Problems, check_known, imported, options
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.order import seed_of
from tinsmith_recipes.training.rl import Environment, Outcome, Policy

EXTRA = "reasoning-gym"
OURS = ("seed", "size")  # the recipe decides them
MOST_ANEW = 20  # times as many problems are made up as are wanted, where many come twice


@dataclass(frozen=True)
class Question(Environment):
    """One problem; the reward is the package's score of the answer, 1 for a right one.

    Attributes:
        dataset: what scores it.
        entry: the problem, as the dataset made it.
        system: the system prompt; where there is one, the answer is read from its <answer> tags.
    """

    dataset: Any
    entry: dict[str, Any]
    system: str = ""
    tags = (EXTRA,)

    @property
    def chat(self) -> list[dict[str, str]]:
        """What is asked."""
        asked = {"role": "user", "content": self.entry["question"]}
        return [{"role": "system", "content": self.system}, asked] if self.system else [asked]

    @property
    def solution(self) -> str | None:
        """A right answer as it is to be said; None where the package tells none."""
        answer = self.entry.get("answer")
        if not isinstance(answer, str):
            return None
        return f"<answer>{answer}</answer>" if self.system else answer

    async def play(self, policy: Policy) -> Outcome:
        """Ask once."""
        text: str | None = said(await policy(self.chat))
        if self.system:
            text = imported("reasoning_gym.utils", EXTRA).extract_answer(text)
        score = float(self.dataset.score_answer(text, self.entry))
        return Outcome(score, {"solved": float(score == 1)})


def load(
    task: str, words: str, *, learn: int, held_out: int, seed: int, tagged: bool = False
) -> Problems:
    """Problems of a dataset, none of them twice.

    Args:
        task: the dataset's name.
        words: ``key=value,…`` for its configuration.
        learn, held_out: how many problems of each kind; fewer to learn from where there are no more
            that differ.
        seed: of what is made up.
        tagged: ask for the answer between <answer> tags, with the package's own system prompt.

    Raises:
        ValueError: no such dataset, option or value; too few problems that differ.
    """
    package = imported("reasoning_gym", EXTRA)
    datasets = imported("reasoning_gym.factory", EXTRA).DATASETS
    check_known("dataset of reasoning-gym", task, datasets)
    given = options(words)
    fields = [field.name for field in dataclasses.fields(datasets[task][1])]
    for name in given:
        check_known(f"option of {task}", name, (one for one in fields if one not in OURS))
    size = MOST_ANEW * (learn + held_out)
    try:
        # its problem number i comes of seed + i: neighbouring seeds would share all but one
        dataset = package.create_dataset(task, seed=seed_of(EXTRA, seed), size=size, **given)
        found = _different(dataset, learn + held_out)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"{task} with options {words!r}: {error}") from None
    if len(found) <= held_out:
        few = f"{task} with options {words!r} has {len(found)} problems that differ"
        raise ValueError(f"{few}: too few to hold {held_out} of them out")
    prompts = imported("reasoning_gym.utils", EXTRA).SYSTEM_PROMPTS
    system = prompts["default"] if tagged else ""
    questions = [Question(dataset, entry, system) for entry in found]
    solved = [
        [*one.chat, {"role": "assistant", "content": one.solution}]
        for one in questions[held_out:]
        if one.solution is not None
    ]
    return Problems(questions[held_out:], questions[:held_out], solved)


def _different(dataset: Any, count: int) -> list[dict[str, Any]]:
    """The first ``count`` problems with a question of their own, fewer if there are no more."""
    found: dict[str, dict[str, Any]] = {}
    for number in range(len(dataset)):
        entry = dataset[number]
        found.setdefault(entry["question"], entry)
        if len(found) == count:
            break
    return list(found.values())
