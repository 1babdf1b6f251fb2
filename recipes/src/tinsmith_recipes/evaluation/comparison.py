"""A model beside its base: figures of both on the same chats, and what they differ by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinsmith_recipes.evaluation.examining import Chat, Scores, reference
from tinsmith_recipes.evaluation.measures import (
    LOSS,
    TIE,
    WIN,
    Difference,
    exact_match,
    ratio_difference,
    share_difference,
    token_f1,
    win_rate,
)
from tinsmith_recipes.training.figures import Figure

Rule = Callable[[Chat, str], float]
"""How good an answer to a chat is: a rule that is true, e.g. a test that the answer passes."""
Judge = Callable[[Chat, str, str], float]
"""Of two answers to a chat, whether the first wins: WIN, TIE or LOSS."""


@dataclass(frozen=True)
class Compared:
    """One figure of a model, of its base, and their difference; the latter None without a base."""

    ours: Figure
    base: Figure | None = None
    difference: Difference | None = None


def likeness(chat: Chat, answer: str) -> float:
    """The rule where there is no better one: like the right answer, best of all just that."""
    right = reference(chat)
    return 2.0 if exact_match(answer, right) else token_f1(answer, right)


def by_rule(rule: Rule) -> Judge:
    """The judge that lets the answer win that a rule finds better."""

    def judge(chat: Chat, ours: str, theirs: str) -> float:
        one, other = rule(chat, ours), rule(chat, theirs)
        return TIE if one == other else WIN if one > other else LOSS

    return judge


def compare(
    chats: Sequence[Chat],
    ours: Scores,
    base: Scores | None = None,
    judge: Judge | None = None,
) -> dict[str, Compared]:
    """Every figure of a model on chats, each beside the base's where there is one.

    Args:
        chats: the set that both were asked.
        ours, base: what ``examine`` found of each.
        judge: who decides which of two answers wins; by default the one more like the right one.

    Returns:
        ``nll``, ``exact_match``, ``f1``, and ``win_rate`` where there is a base and both answered.
    """
    found = ours.figures()
    if base is None:
        return {name: Compared(figure) for name, figure in found.items()}
    theirs = base.figures()
    differences: dict[str, Difference] = {}
    if ours.counts == base.counts:  # another tokenizer's nats a token are other things
        differences["nll"] = ratio_difference(ours.losses, base.losses, ours.counts)
    if ours.answers and base.answers:
        once = [1] * len(chats)
        differences["exact_match"] = share_difference(ours.hits, base.hits)
        differences["f1"] = ratio_difference(ours.likeness, base.likeness, once)
    compared = {
        name: Compared(figure, theirs.get(name), differences.get(name))
        for name, figure in found.items()
    }
    if ours.answers and base.answers:
        judge = judge or by_rule(likeness)
        points = [judge(*one) for one in zip(chats, ours.answers, base.answers, strict=True)]
        compared["win_rate"] = Compared(win_rate(points))
    return compared
