"""One sentence that says what the person could change and what it would bring, from the numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from runs.timeline.facts import Cause, Work

# below this share of the time nothing is worth a sentence
WORTH = 0.1
MANY = 0.25


@dataclass(frozen=True, slots=True)
class Advice:
    """What would help. `saves`: which share of the time it would at most take away, if known."""

    text: str
    saves: float | None = None


NOTHING_TO_SAY = Advice("Nothing was asked of this run in this time.")


def advise(works: list[Work], spent: dict[Cause, float], *, teams: int) -> Advice:
    """The sentence for a stretch of time; `spent` are seconds by cause."""
    total = sum(spent.values())
    if not works or total <= 0:
        return NOTHING_TO_SAY
    share = {cause: seconds / total for cause, seconds in spent.items()}
    own_part = share[Cause.PROGRAM] + share[Cause.WIRE]
    hidden = min(own_part, share[Cause.ENGINE] + share[Cause.OTHERS] + share[Cause.TEAM])
    candidates = [
        (share[Cause.NO_WORKER], _no_worker),
        (share[Cause.LIMITED], _limited),
        (hidden if not is_pipelined(works) else 0.0, _pipeline),
        (share[Cause.WIRE], _batch),
        (share[Cause.FILES], _files),
    ]
    most, say = max(candidates, key=lambda candidate: candidate[0])
    if most >= WORTH:
        return say(most)
    if share[Cause.PROGRAM] >= MANY:
        return Advice(
            f"{share[Cause.PROGRAM]:.0%} of the time your program computed by itself while nothing "
            "of it waited here: make that part faster, or leave it.",
        )
    if share[Cause.OTHERS] >= MANY:
        whom = "another team" if teams == 1 else f"{teams} other teams"
        return Advice(
            f"Nothing to change in your program: {share[Cause.OTHERS]:.0%} of the time the engine "
            f"served {whom}, in turns. More workers would help.",
        )
    if share[Cause.TEAM] >= MANY:
        return Advice(
            f"{share[Cause.TEAM]:.0%} of the time the engine served other runs of your own team: "
            "run fewer of them at once, or add workers.",
            share[Cause.TEAM],
        )
    if share[Cause.UNEXPLAINED] >= WORTH:
        return Advice(
            f"{share[Cause.UNEXPLAINED]:.0%} of the time has no known cause: something was slow "
            "that is not measured. The logs of the worker and of PostgreSQL may tell.",
        )
    return Advice("Nothing to change: the engine worked on this run nearly all of the time.")


def is_pipelined(works: list[Work]) -> bool:
    """Whether the next step mostly comes before the outcome of the one before was fetched."""
    early, late, stepped = 0, 0, 0.0
    for work in sorted(works, key=lambda work: (work.created, work.seq)):
        if work.kind == "optim_step":
            stepped = work.delivered if work.delivered < inf else work.finished
        elif work.kind in ("forward_backward", "sample") and stepped:
            early += work.created < stepped
            late += work.created >= stepped
            stepped = 0.0
    return early > late


def _pipeline(saves: float) -> Advice:
    return Advice(
        "Submit the next step before you await this one: your program's time would pass beside the "
        f"engine's, up to −{saves:.0%}.",
        saves,
    )


def _batch(saves: float) -> Advice:
    return Advice(
        f"{saves:.0%} of the time went into handing requests and results over: send more examples "
        "in each request.",
        saves,
    )


def _files(saves: float) -> Advice:
    return Advice(
        f"{saves:.0%} of the time weights were read or written: save less often, or go on with the "
        "next step before you await a save.",
        saves,
    )


def _limited(saves: float) -> Advice:
    return Advice(
        f"{saves:.0%} of the time samples were turned away because too many were open: ask for "
        "fewer at once, or have the team's limit raised.",
        saves,
    )


def _no_worker(saves: float) -> Advice:
    return Advice(
        f"{saves:.0%} of the time no worker served the base model: start one, or let the "
        "administrator know.",
        saves,
    )
