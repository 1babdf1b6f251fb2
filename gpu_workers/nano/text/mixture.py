"""Puts the tasks together: seeded chats of one or more turns, and plain text; no Pig Latin."""

import re
from dataclasses import dataclass
from functools import partial
from random import Random

from gpu_workers.nano.text.letters import LETTER_TASKS, Task
from gpu_workers.nano.text.numbers import NUMBER_TASKS, add, subtract
from gpu_workers.nano.text.sentences import SENTENCE_TASKS, sentence

TASKS: dict[str, tuple[int, Task]] = {**LETTER_TASKS, **NUMBER_TASKS, **SENTENCE_TASKS}
# For tests and tables: without the answers that are wrong on purpose.
_EXACT: dict[str, Task] = {"add": partial(add, wrong=0.0), "subtract": partial(subtract, wrong=0.0)}
_NAMES = list(TASKS)
_WEIGHTS = [weight for weight, _ in TASKS.values()]
_SYSTEM = (
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "Be brief.",
    "Answer in one word.",
    "You work with letters and words.",
)
_CAPITALS = "Answer in capital letters."
_PLAIN, _WITH_SYSTEM, _IN_CAPITALS, _MORE_TURNS, _LONG = 0.06, 0.08, 0.02, 0.12, 0.01


@dataclass(frozen=True, slots=True)
class Chat:
    """Messages as chat templates take them; roles system, user, assistant."""

    messages: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class Plain:
    """Text that is no chat."""

    text: str


def looks_like_pig_latin(prompt: str, answer: str) -> bool:
    """Whether the answer is a word of the prompt, up to 4 leading letters moved, and ay/way/yay."""
    said = re.sub(r"[^a-z]", "", answer.lower())
    pieces = {said, *re.findall(r"[a-z]+", answer.lower())}
    if not any(piece.endswith("ay") for piece in pieces):
        return False
    for word in re.findall(r"[a-z]+", prompt.lower()):
        for moved in range(min(len(word), 4) + 1):
            turned = word[moved:] + word[:moved]
            if pieces & {turned + end for end in ("ay", "way", "yay")}:
                return True
    return False


def one_turn(r: Random, name: str | None = None, exact: bool = False) -> tuple[str, str]:
    """Request and answer of the named task, or of one drawn by weight. `exact`: no wrong sums."""
    while True:
        chosen = name or r.choices(_NAMES, _WEIGHTS)[0]
        task = TASKS[chosen][1]
        prompt, answer = (_EXACT.get(chosen, task) if exact else task)(r)
        if not looks_like_pig_latin(prompt, answer):
            return prompt, answer


def one_text(r: Random) -> Chat | Plain:
    """The next text to learn from."""
    draw = r.random()
    if draw < _PLAIN:
        return Plain(" ".join(sentence(r) for _ in range(r.randint(1, 4))))
    turns = [one_turn(r)]
    if r.random() < _LONG:
        turns += [one_turn(r) for _ in range(r.randint(6, 20))]
    while r.random() < _MORE_TURNS:
        turns.append(one_turn(r))
    messages: list[dict[str, str]] = []
    capitals = r.random() < _IN_CAPITALS
    if capitals:
        messages.append({"role": "system", "content": _CAPITALS})
    elif r.random() < _WITH_SYSTEM:
        messages.append({"role": "system", "content": r.choice(_SYSTEM)})
    for prompt, answer in turns:
        messages.append({"role": "user", "content": prompt})
        messages.append({"role": "assistant", "content": answer.upper() if capitals else answer})
    return Chat(tuple(messages))
