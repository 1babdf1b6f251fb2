"""The numbers of a step, named as the public cookbook names them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from tinsmith.losses.measures import SAMPLED_TOKENS
from tinsmith_recipes.training.loop import Metrics
from tinsmith_recipes.training.rl.rollouts import Episode, Group

GOOD = 0.5  # a reward from which on a group that earned it alike counts as solved


def of_groups(groups: Sequence[Group], prefix: str = "env") -> Metrics:
    """Rewards, parts, lengths of all episodes, ``env/all/…``, and of a tag's, ``env/<tag>/…``."""
    found = _of_some(f"{prefix}/all", groups)
    for tag in sorted({tag for group in groups for tag in group.environment.tags}):
        tagged = [group for group in groups if tag in group.environment.tags]
        found |= _of_some(f"{prefix}/{tag}", tagged)
    return found


def of_episodes(episodes: Sequence[Episode], prefix: str = "test/env/all") -> Metrics:
    """The same of episodes without groups, e.g. of an evaluation."""
    if not episodes:
        return {}
    turns = [turn for episode in episodes for turn in episode.turns]
    sampled = sum(len(turn.tokens) for turn in turns)
    seen = sum(len(turn.prompt) for turn in turns)
    count = max(len(turns), 1)
    found = {
        "reward/total": _mean(episode.reward for episode in episodes),
        "reward/compared": _mean(episode.compared for episode in episodes),
        "turns_per_episode": len(turns) / len(episodes),
        "ac_tokens_per_turn": sampled / count,
        "ob_tokens_per_turn": seen / count,
        "truncated": sum(turn.stop_reason == "length" for turn in turns) / count,
        "overflowed": _mean(episode.overflowed for episode in episodes),
        "total_episodes": len(episodes),
        "total_turns": len(turns),
        "total_ac_tokens": sampled,
        "total_ob_tokens": seen,
    }
    for part in sorted({part for episode in episodes for part in episode.outcome.parts}):
        having = [one.outcome.parts[part] for one in episodes if part in one.outcome.parts]
        found[part] = _mean(having)
    return {f"{prefix}/{name}": float(value) for name, value in found.items()}


def _of_some(prefix: str, groups: Sequence[Group]) -> Metrics:
    found = of_episodes([one for group in groups for one in group.episodes], prefix)
    found[f"{prefix}/total_failed"] = float(sum(group.failed for group in groups))
    alike = [group.episodes[0].reward for group in groups if group.episodes and group.is_constant]
    good = sum(reward >= GOOD for reward in alike)
    whole = sum(bool(group.episodes) for group in groups) or 1
    found[f"{prefix}/by_group/frac_mixed"] = 1 - len(alike) / whole
    found[f"{prefix}/by_group/frac_all_good"] = good / whole
    found[f"{prefix}/by_group/frac_all_bad"] = (len(alike) - good) / whole
    return found


def of_passes(passes: Sequence[Mapping[str, float]]) -> Metrics:
    """Metrics of the passes of one step, ``optim/…``.

    Sums are added up; means, and quantiles for want of better, are averaged over sampled tokens.
    """
    found: Metrics = {}
    weights = [one.get(SAMPLED_TOKENS, 1.0) for one in passes]
    for full in sorted({name for one in passes for name in one}):
        name, _, reduction = full.partition(":")
        pairs = [
            (one[full], weight) for one, weight in zip(passes, weights, strict=True) if full in one
        ]
        total = math.fsum(value if reduction == "sum" else value * w for value, w in pairs)
        if reduction != "sum":
            total /= math.fsum(weight for _, weight in pairs) or 1.0
        found[f"optim/{name}"] = total
    return found


def of_samplers(groups: Sequence[Group], step: int) -> Metrics:
    """How old the weights were that played a step's groups."""
    steps = [group.sampler_step for group in groups]
    return {
        "sampling_client/step_min": float(min(steps)),
        "sampling_client/step_max": float(max(steps)),
        "sampling_client/step_mean": _mean(steps),
        "async/steps_off_policy_max": float(step - min(steps)),
        "async/steps_off_policy_mean": step - _mean(steps),
    }


def _mean(values: Iterable[float]) -> float:
    given = list(values)
    return math.fsum(given) / len(given)
