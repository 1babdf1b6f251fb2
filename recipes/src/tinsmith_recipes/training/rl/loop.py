"""``train_rl``: play, weigh, train, and play again with what was learnt.

One loop for all modes. Step s trains on the groups of number s·G to s·G + G - 1, in that order,
however long each took and whoever played it: none can be lost or trained on twice, and a step is
the same whether the run was interrupted before it or not. ``max_steps_off_policy`` = k means no
more than that the groups of step s + k begin to be played when those of step s are about to be
trained on, with the weights that are newest then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from tinsmith import APIFuture, SamplingClient
from tinsmith.types.results import ForwardBackwardOutput, OptimStepResponse
from tinsmith_recipes.training.loop import Evaluate, Metrics, Stop, train_steps
from tinsmith_recipes.training.optimizer import adam, of_optimizer
from tinsmith_recipes.training.rl import metrics as names
from tinsmith_recipes.training.rl.advantages import Advantages, centred
from tinsmith_recipes.training.rl.data import Stretch, stretches
from tinsmith_recipes.training.rl.environment import Environment
from tinsmith_recipes.training.rl.reference import Adjust, distance, kl_penalty, logprobs_under
from tinsmith_recipes.training.rl.rollouts import Episode, Group, Player, told
from tinsmith_recipes.training.rl.settings import RLSettings
from tinsmith_recipes.training.run import Run

Environments = Callable[[int], Sequence[Environment]]
"""The environments of a step; a function of the step alone."""

KL_GOOD = 0.01
OFTEN_CUT = 0.2
SHOWN_GROUPS = 8
T = TypeVar("T")


async def train_rl(
    run: Run,
    environments: Environments,
    settings: RLSettings,
    *,
    evaluate: Evaluate | None = None,
    advantages: Advantages = centred,
    adjust: Adjust | None = None,
) -> None:
    """Train on rewards.

    Args:
        run: what is trained.
        environments: of each step; the same however often it is asked.
        settings: batch, rate, loss and so on.
        evaluate: metrics of held-out environments, see ``train_steps``.
        advantages: what episodes are worth, of the rewards of a group.
        adjust: changes advantages once a batch is played, after the KL penalty if there is one.

    Raises:
        ValueError: every episode of a step failed; from the first one's error.
    """
    learner = _Learner(run, environments, settings, advantages, adjust)
    try:
        await train_steps(
            run,
            settings.steps,
            learner.submit,
            evaluate=evaluate,
            headline="env/all/reward/total",
        )
    finally:
        await learner.close()


class _Learner:
    def __init__(
        self,
        run: Run,
        environments: Environments,
        settings: RLSettings,
        advantages: Advantages,
        adjust: Adjust | None,
    ) -> None:
        self.run, self.environments, self.settings = run, environments, settings
        self.advantages = advantages
        self.adjusts = [adjust] if adjust else []
        if settings.kl_penalty > 0:
            reference = _reference(run, settings)
            self.adjusts.insert(0, kl_penalty(reference, settings.kl_penalty, settings.kl_discount))
        self.player = Player(
            run,
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
            at_once=settings.concurrency,
        )
        self.playing: dict[int, list[asyncio.Task[Group]]] = {}
        self.sampler: tuple[int, SamplingClient] | None = None
        self.waited: list[asyncio.Task[Group]] = []
        self.passes: list[APIFuture[ForwardBackwardOutput]] | None = None

    async def submit(self, step: int) -> Coroutine[Any, Any, Metrics]:
        """Hand in one step; see ``train_steps``."""
        begun = time.monotonic()
        self.sampler = (step, self.run.sampler(is_recorded=True))
        self._play_ahead(step)
        await self._look_back()
        groups: list[Group] = []
        trained: list[Stretch] = []
        passes: list[APIFuture[ForwardBackwardOutput]] = []
        stepped: list[APIFuture[OptimStepResponse]] = []
        found: Metrics = {}
        async for part in self._parts(step):
            groups += part
            kept = [self._stretches(group) for group in part if self._teaches(group)]
            batch = [one for some in kept for one in some]
            for adjust in self.adjusts:
                found |= await adjust(batch) if batch else {}
            self._check_budget(found)
            trained += batch
            for some in _split(kept, self.settings.substeps):
                passes.append(self._pass(some))
                if self.settings.minibatches == 1:
                    stepped.append(self.run.training.optim_step(adam(self.settings, step)))
        if passes and self.settings.minibatches > 1:
            stepped.append(self.run.training.optim_step(adam(self.settings, step)))
        played = time.monotonic()
        after = self.run.sampler() if self.settings.post_kl and passes else None
        self.passes = passes
        self._write_down(step, groups)
        found |= self._of_played(step, groups, trained)
        found["time/sampling"] = played - begun

        async def metrics() -> Metrics:
            outputs = [(await one).metrics for one in passes]
            changes = [(await one).metrics or {} for one in stepped]
            found.update(names.of_passes(outputs), **of_optimizer(changes))
            found["time/train_step"] = time.monotonic() - played
            if after is not None:
                under = await logprobs_under(after, trained)
                found.update(distance(trained, under, "kl_pre_post"))
            self._advise(step, found)
            return found

        return metrics()

    # ---- playing

    def _play_ahead(self, step: int) -> None:
        """Begin what is to be trained on until ``max_steps_off_policy`` steps from now."""
        end = min(step + self.settings.max_steps_off_policy + 1, self.settings.steps)
        for coming in range(step, end):
            if coming not in self.playing:
                self.playing[coming] = self._play(coming)

    def _play(self, step: int) -> list[asyncio.Task[Group]]:
        chosen = self.environments(step)
        size = self.settings.groups_per_batch
        if len(chosen) != size:
            raise ValueError(
                f"step {step} has {len(chosen)} environments, and groups_per_batch is {size}"
            )
        plays = (
            self.player.group(one, self.settings.group_size, step * size + place, self._newest)
            for place, one in enumerate(chosen)
        )
        return [asyncio.ensure_future(play) for play in plays]

    def _newest(self) -> tuple[int, SamplingClient]:
        assert self.sampler is not None, "a step makes its sampler before it plays"
        return self.sampler

    async def _parts(self, step: int) -> AsyncIterator[list[Group]]:
        """The groups of a step in their order, each of ``minibatches`` parts once it is played."""
        tasks = self.playing.pop(step)
        self.waited = tasks
        for part in _split(tasks, self.settings.minibatches):
            yield list(await asyncio.gather(*part))

    async def close(self) -> None:
        """Give up what is still played."""
        left = [task for tasks in (self.waited, *self.playing.values()) for task in tasks]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    # ---- weighing and training

    def _teaches(self, group: Group) -> bool:
        """Whether a group is trained on."""
        penalized = bool(self.adjusts)
        drops = self.settings.drop_constant_groups and not penalized
        return not group.is_too_small and not (drops and group.is_constant)

    def _stretches(self, group: Group) -> list[Stretch]:
        """The sequences of a group with what each episode was worth."""
        return [
            stretch
            for seat in group.by_seat
            for episode, worth in zip(
                seat, self.advantages([one.reward for one in seat]), strict=True
            )
            for stretch in stretches(episode.turns, float(worth))
        ]

    def _pass(self, groups: Sequence[Sequence[Stretch]]) -> APIFuture[ForwardBackwardOutput]:
        loss = self.settings.loss_fn
        data = [stretch.datum(loss) for group in groups for stretch in group]
        return self.run.training.forward_backward(data, loss, self.settings.loss_settings or None)

    def _check_budget(self, found: Metrics) -> None:
        """End the run where its policy has gone too far from the reference."""
        budget, kl = self.settings.kl_budget, found.get("kl_policy_base", 0.0)
        if budget is not None and kl > budget:
            raise Stop(f"KL to the reference is {kl:.2g} nats a token, above kl_budget={budget:g}")

    async def _look_back(self) -> None:
        """Act on how far the step before was from what sampled it."""
        if self.passes is None:  # it was trained by a process that is gone
            last = self.run.folder.metrics[-1:]
        else:
            last = [names.of_passes([(await one).metrics for one in self.passes])]
        kl = last[0].get("optim/kl_sample_train_v2", 0.0) if last else 0.0
        if kl <= self.settings.kl_limit:
            return
        words = f"KL between sampler and learner is {kl:.2g}, above {self.settings.kl_limit:g}"
        if self.settings.on_high_kl == "stop":
            raise Stop(words)
        self.run.advise(
            f"{words}: whatever was sampled ahead is sampled again; a lower learning_rate, fewer "
            "substeps or fewer max_steps_off_policy keep them together",
            about="high KL",
        )
        await self._play_again()

    async def _play_again(self) -> None:
        """Give up all that older weights have begun to play, and begin it anew."""
        stale = sorted(self.playing)
        if self.settings.max_steps_off_policy == 0:
            return  # nothing is older than this step's own sampler
        given_up = [task for step in stale for task in self.playing[step]]
        for task in given_up:
            task.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        for step in stale:
            self.playing[step] = self._play(step)

    # ---- telling

    def _of_played(self, step: int, groups: Sequence[Group], trained: Sequence[Stretch]) -> Metrics:
        """Metrics of what was played; refuses a step of which nothing is left."""
        if not any(group.episodes for group in groups):
            first = self.player.first_error
            raise ValueError(
                f"every episode of step {step} failed; the first: {type(first).__name__}: {first}"
            ) from first
        sampled = sum(len(t.tokens) for group in groups for e in group.episodes for t in e.turns)
        in_data = sum(len(one.tokens) for one in trained)
        self.run.tokens += sampled + in_data
        small = [group for group in groups if group.is_too_small]
        constant = sum(group.is_constant for group in groups if not group.is_too_small)
        return {
            "progress/batch": float(step),
            "progress/done_frac": (step + 1) / self.settings.steps,
            "progress/skipped": float(not trained),
            "optim/lr": adam(self.settings, step).learning_rate,
            "groups/constant": float(constant),
            "groups/too_small": float(len(small)),
            "tokens/sampled": float(sampled),
            "tokens/trained": float(in_data),
            **names.of_groups(groups),
            **names.of_samplers(groups, step),
        }

    def _write_down(self, step: int, groups: Sequence[Group]) -> None:
        """Rollouts for the server, and now and then a page."""
        episodes = [one for group in groups for one in group.episodes]
        self.run.training.log_rollouts([rollout(one) for one in episodes], step)
        every = self.settings.transcripts_every
        if every and step % every == 0:
            text_of = self.run.tokenizer.decode
            shown = [one for group in groups[:SHOWN_GROUPS] for one in group.episodes]
            self.run.transcript(step, [told(one, text_of) for one in shown])

    def _advise(self, step: int, found: Metrics) -> None:
        """What its user should know, once each."""
        run = self.run
        if found["progress/skipped"]:
            run.advise(
                f"step {step} is skipped: within each group all episodes earned the same, which "
                "says nothing; harder or easier problems, larger groups or a finer reward do",
                about="constant reward",
            )
        elif (
            self.settings.kl_penalty > 0
            and found["groups/constant"] == self.settings.groups_per_batch
        ):
            run.advise(
                f"in step {step} all episodes of each group earned the same, so that it learns "
                "from the KL penalty alone",
                about="constant reward",
            )
        kl = found.get("optim/kl_sample_train_v2", 0.0)
        if kl > KL_GOOD:
            run.advise(
                f"KL between sampler and learner is {kl:.2g} in step {step}; up to {KL_GOOD} is "
                "healthy: lower the learning_rate or the number of substeps",
                about="KL",
            )
        if kl > KL_GOOD and found["async/steps_off_policy_max"] > 1:
            run.advise(
                f"the samples of step {step} are up to "
                f"{found['async/steps_off_policy_max']:.0f} steps old and it shows: lower "
                "max_steps_off_policy",
                about="stale sampler",
            )
        if found["env/all/truncated"] > OFTEN_CUT:
            run.advise(
                f"{found['env/all/truncated']:.0%} of the answers of step {step} are cut off at "
                f"max_tokens={self.settings.max_tokens}: raise it, or reward short answers",
                about="truncated",
            )


def rollout(episode: Episode) -> dict[str, Any]:
    """An episode as the server records it: what was asked, and by its ids what was sampled."""
    return {
        "prompt_tokens": list(episode.turns[0].prompt) if episode.turns else [],
        "group": episode.group,
        "index": episode.index * episode.environment.seats + episode.seat,
        "sequences": [turn.sequence_id for turn in episode.turns if turn.sequence_id],
        "reward": episode.reward,
        "components": dict(episode.outcome.parts),
        "tags": list(episode.environment.tags),
    }


def _reference(run: Run, settings: RLSettings) -> SamplingClient:
    if settings.kl_reference is None:
        return run.base
    return run.service.create_sampling_client(model_path=settings.kl_reference)


def _split(items: Sequence[T], parts: int) -> list[list[T]]:
    """Neighbours in so many parts of nearly the same size, fewer if there are not as many items."""
    parts = min(parts, len(items))
    bounds = [place * len(items) // parts for place in range(parts + 1)] if parts else [0]
    return [list(items[a:b]) for a, b in pairwise(bounds)]
