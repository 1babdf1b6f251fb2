"""Pairs to train on and to test with: built-in, from public data sets, from files.

Rows of HH, HelpSteer3 and UltraFeedback are known by their columns, so a file of them will do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

import chz

from tinsmith.data import BadRow, Preference, load_rows, preference_of
from tinsmith_recipes.preference import kind_words
from tinsmith_recipes.training import Recipe, Run, setting
from tinsmith_recipes.training.nearest import meant
from tinsmith_recipes.training.preference import Pair, check_pairs, tokenized

Row = dict[str, Any]

BUILT_IN = "kind_words"
BUILT_IN_PAIRS = 2000
TESTED_THINGS = 40
HUB = {
    "hh": ("Anthropic/hh-rlhf", "train", "test"),
    "helpsteer3": ("nvidia/HelpSteer3:preference", "train", "validation"),
    "ultrafeedback": ("HuggingFaceH4/ultrafeedback_binarized", "train_prefs", "test_prefs"),
}
"""Name on the hub, the split to learn from, the split to test with."""
_TURN = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


@chz.chz
class PairData(Recipe):
    """The fields that say which pairs a recipe learns from."""

    data: str = setting(
        "kind_words",
        "What the pairs are: kind_words, which are built in and made for the nano model, hh, "
        "helpsteer3, ultrafeedback, a file .jsonl or .parquet, or another data set of the hub.",
    )
    pairs: int | None = setting(
        None,
        f"How many pairs to learn from; by default all, of the built-in ones {BUILT_IN_PAIRS}.",
        least=2,
    )
    held_out: int = setting(
        200, "Pairs that are never trained on, to test with; 200 tell 90 % from 95 %.", least=2
    )
    longest: int = setting(
        1024, "The most tokens of a prompt with its answer; longer pairs are left out.", least=2
    )


@dataclass
class Pairs:
    """Preferences to learn from and to test with; no prompt is in both.

    Attributes:
        learn, held_out: preferences.
        left_out: rows that are none, each with its place and the reason.
    """

    learn: list[Preference]
    held_out: list[Preference]
    left_out: list[BadRow] = field(default_factory=list)


def pairs_of(settings: PairData, run: Run) -> tuple[list[Pair], list[Pair]]:
    """The pairs to learn from and to test with, as tokens; says what was left out.

    Raises:
        ValueError: no such data, or nothing that can be learnt from.
    """
    found = load(
        settings.data, learn=settings.pairs, held_out=settings.held_out, seed=settings.seed
    )
    learn, unfit = tokenized(found.learn, run.renderer, settings.longest)
    tested, _ = tokenized(found.held_out, run.renderer, settings.longest)
    for reasons in ([str(row) for row in found.left_out], unfit):
        if reasons:
            run.advise(f"{len(reasons)} pairs are left out, the first because {reasons[0]}")
    check_pairs(learn)
    check_pairs(tested)
    return learn, tested


def load(data: str, *, learn: int | None, held_out: int, seed: int) -> Pairs:
    """The pairs of a recipe.

    Args:
        data: ``kind_words``, a name of ``HUB``, a file ``.jsonl`` or ``.parquet``, or the name of
            another data set of the hub; see ``tinsmith.data.load_preferences`` for their rows.
        learn: how many pairs to learn from at most; None for all, of the built-in ones 2000.
        held_out: how many to test with. What has no split for tests gives some of its rows.
        seed: decides which.

    Raises:
        ValueError: no such data, or too little of it.
    """
    if data == BUILT_IN:
        things, others = kind_words.split_things(TESTED_THINGS, seed)
        return Pairs(
            kind_words.pairs(things, learn or BUILT_IN_PAIRS, seed),
            kind_words.pairs(others, held_out, seed),
        )
    _check_name(data)
    left_out: list[BadRow] = []
    if data in HUB:
        name, split, test_split = HUB[data]
        tested = list(islice(_read(name, test_split, 2 * held_out, left_out), held_out))
        rows = _read(name, split, learn and 2 * learn, left_out)
    else:
        every = list(_read(data, None, learn and 2 * (learn + held_out), left_out))
        Random(f"held out {seed}").shuffle(every)
        tested, rows = every[:held_out], iter(every[held_out:])
    asked = {_key(one) for one in tested}
    learnt = list(islice((one for one in rows if _key(one) not in asked), learn))
    if not learnt or len(tested) < held_out:
        reason = f"; {left_out[0]}" if left_out else ""
        raise ValueError(
            f"{data} has {len(learnt)} pairs to learn from and {len(tested)} to test with, where "
            f"held_out is {held_out}; {len(left_out)} rows are no preferences{reason}"
        )
    return Pairs(learnt, tested, left_out)


def preference(row: Row) -> Preference:
    """What a row of any of the sets is.

    Raises:
        TypeError, ValueError: it is no preference; the text says why.
    """
    if "overall_preference" in row:
        return preference_of(_helpsteer3(row))
    texts = row.get("chosen"), row.get("rejected")
    if row.get("prompt") is None and all(_is_hh(text) for text in texts):
        return preference_of({"chosen": _hh(texts[0]), "rejected": _hh(texts[1])})
    rated = row.get("score_chosen"), row.get("score_rejected")
    if rated[0] is not None and rated[0] == rated[1]:
        raise ValueError(f"both answers are rated {rated[0]:g}: neither is preferred")
    return preference_of(row)


def _helpsteer3(row: Row) -> Row:
    """HelpSteer3: from -3, the first answer is much better, to 3, the second one is."""
    liking = row["overall_preference"]
    if not liking:
        raise ValueError("overall_preference is 0: neither answer is preferred")
    answers = row.get("response1"), row.get("response2")
    chosen, rejected = answers if liking < 0 else answers[::-1]
    return {"prompt": row.get("context"), "chosen": chosen, "rejected": rejected}


def _is_hh(text: Any) -> bool:
    return isinstance(text, str) and text.startswith("\n\nHuman:")


def _hh(text: Any) -> list[Row]:
    """HH: a whole chat as one text, every turn after an empty line and a name."""
    parts = _TURN.split(text)[1:]
    return [
        {"role": _ROLES[name], "content": said.strip()}
        for name, said in zip(parts[0::2], parts[1::2], strict=True)
    ]


def _read(
    source: str, split: str | None, limit: int | None, left_out: list[BadRow]
) -> Iterator[Preference]:
    for place, row in load_rows(source, split=split, limit=limit):
        try:
            yield preference(row)
        except (TypeError, ValueError) as error:
            left_out.append(BadRow(place, str(error)))


def _key(one: Preference) -> str:
    return json.dumps(one.prompt, sort_keys=True, default=str)


def _check_name(data: str) -> None:
    known = [BUILT_IN, *HUB]
    if data in HUB or "/" in data or "." in data:
        return
    raise ValueError(f"data={data!r} is no file and no data set; {meant(data, known)}")
