"""Tasks of inspect-ai, asked through the server's OpenAI-compatible API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinsmith_recipes.evaluation.comparison import Compared
from tinsmith_recipes.evaluation.measures import ratio_difference, share_difference
from tinsmith_recipes.evaluation.report import OfSet
from tinsmith_recipes.training.figures import mean, share

LOGS = Path("tinsmith-runs") / "inspect"
Values = dict[str, dict[tuple[Any, int], float]]
"""By scorer and sample: the sample's id, and the epoch it was asked in."""


def inspect_tasks(
    where: Any, model: str, base: str | None, tasks: Sequence[str], limit: int
) -> list[OfSet]:
    """What a model scores on tasks, beside its base.

    Args:
        where: the server, ``base_url`` and ``api_key``.
        model, base: names or ``tinker://`` addresses, as ``/v1`` takes them.
        tasks: as ``inspect eval`` takes them: ``file.py``, ``file.py@task``, ``inspect_evals/…``.
        limit: samples of each at most.

    Raises:
        ImportError: inspect-ai is not installed.
        ValueError: there is no such task, or it failed; says why.
    """
    inspect_ai = library()

    def values(task: str, name: str) -> Values:
        asked = inspect_ai.model.get_model(
            f"openai-api/tinsmith/{name}", base_url=f"{where.base_url}/v1", api_key=where.api_key
        )
        try:
            logs = inspect_ai.eval(
                task,
                model=asked,
                limit=limit,
                display="none",
                log_dir=str(LOGS),
                fail_on_error=True,
            )
        except Exception as error:  # whatever the task's own code raises
            raise ValueError(f"inspect-ai cannot run {task}: {error}") from error
        if not logs:
            raise ValueError(f"inspect-ai knows no task {task!r}")
        return _values(task, logs[0])

    found = []
    for task in tasks:
        ours = values(task, model)
        theirs = values(task, base) if base else None
        compared = {
            scorer: _compared(of, (theirs or {}).get(scorer)) for scorer, of in ours.items()
        }
        found.append(OfSet(f"inspect:{task}", len(next(iter(ours.values()))), compared))
    return found


def library() -> Any:
    """inspect-ai.

    Raises:
        ImportError: it is not installed; says how to.
    """
    try:
        import inspect_ai  # type: ignore
    except ImportError:
        raise ImportError(
            "inspect: needs inspect-ai: pip install 'tinsmith-recipes[inspect]'"
        ) from None
    return inspect_ai


def _values(task: str, log: Any) -> Values:
    """The numbers of a task's log."""
    from inspect_ai.scorer import value_to_float  # type: ignore

    if log.status != "success":
        reason = log.error.message if log.error else log.status
        raise ValueError(f"inspect-ai did not finish {task}: {reason}")
    number = value_to_float()
    found: Values = {}
    for sample in log.samples or ():
        for scorer, score in (sample.scores or {}).items():
            for name, value in _parts(scorer, score.value):
                found.setdefault(name, {})[sample.id, sample.epoch] = number(value)
    if not found:
        raise ValueError(f"inspect-ai scored no sample of {task}; it has {log.eval.model}'s log")
    return found


def _parts(scorer: str, value: Any) -> list[tuple[str, Any]]:
    """A score by its name, or each of its parts where it has several."""
    if isinstance(value, dict):
        return [(f"{scorer} {name}", part) for name, part in value.items()]
    return [(scorer, value)]


def _compared(
    ours: dict[tuple[Any, int], float], theirs: dict[tuple[Any, int], float] | None
) -> Compared:
    both = [key for key in ours if theirs is not None and key in theirs]
    mine = [ours[key] for key in both or ours]
    base = [theirs[key] for key in both] if theirs else []
    if {*mine, *base} <= {0.0, 1.0}:
        hits, their_hits = [one == 1 for one in mine], [one == 1 for one in base]
        if not base:
            return Compared(share(hits))
        return Compared(share(hits), share(their_hits), share_difference(hits, their_hits))
    if not base:
        return Compared(mean(mine))
    return Compared(mean(mine), mean(base), ratio_difference(mine, base, [1] * len(base)))
