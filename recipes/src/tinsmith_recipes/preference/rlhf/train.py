"""Reinforcement learning from preferences: imitate, learn what is preferred, please."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any, ClassVar

import chz

from tinsmith import SamplingClient
from tinsmith.renderers import Example
from tinsmith_recipes.preference import kind_words
from tinsmith_recipes.preference.data import BUILT_IN, TESTED_THINGS, PairData, pairs_of
from tinsmith_recipes.preference.rlhf.env import Judged
from tinsmith_recipes.training import (
    Estimate,
    Figure,
    Goal,
    Run,
    Summary,
    batch,
    exact,
    mean,
    setting,
)
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.loop import Evaluate
from tinsmith_recipes.training.preference import (
    Comparing,
    Pair,
    bradley_terry,
    preferred,
    scores,
    train_pairs,
    win_rate,
)
from tinsmith_recipes.training.rl import Episode, RLSettings, of_episodes, play_all, told, train_rl
from tinsmith_recipes.training.rl.data import Stretch, stretches
from tinsmith_recipes.training.rl.reference import logprobs_under
from tinsmith_recipes.training.supervised import (
    Supervision,
    Weighed,
    held_out_nll,
    train_supervised,
)

TOKENS_AN_ANSWER = 60
DEMONSTRATIONS = 1000
POOR_ACCURACY = 0.6


@chz.chz
class PreferenceRLHF(RLSettings, PairData):
    """SFT, a Bradley-Terry reward model, then RL with a KL penalty against the SFT model."""

    name: ClassVar[str] = "preference.rlhf"
    summary: ClassVar[str] = "Learns what is preferred, then to please: SFT, reward model, RL."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("reward_accuracy", least=0.9),
        Goal("score_gain", least=1.0),
        Goal("kl", most=0.2),
        Goal("win_rate", least=0.65),
    )

    sft_steps: int = setting(60, "Steps of the first stage, which imitates answers.", least=1)
    sft_batch_size: int = setting(16, "Answers a step of the first stage.", least=1)
    sft_learning_rate: float = setting(
        5e-3, "The first stage's peak rate; the default suits the nano model.", least=0, most=1
    )
    reward_steps: int = setting(60, "Steps of the second stage, the reward model.", least=1)
    reward_batch_size: int = setting(12, "Pairs a step of the second stage.", least=1)
    reward_learning_rate: float = setting(
        2e-3, "The second stage's peak rate; the default suits the nano model.", least=0, most=1
    )
    steps: int = setting(15, "Steps of the third stage, which learns from the scores.", least=1)
    groups_per_batch: int = setting(8, "Prompts a step of the third stage.", least=1)
    max_tokens: int = setting(48, "Longest answer; one that is cut off pays for it.", least=1)
    kl_penalty: float = setting(
        0.3,
        "What each nat away from the SFT model costs; the default suits scores that are a few "
        "units apart.",
        least=0,
    )
    kl_budget: float | None = setting(
        0.2,
        "Nats a token away from the SFT model at which the third stage ends: far from what was "
        "compared, scores rise because the reward model is wrong.",
        least=0,
    )
    unfinished_cost: float = setting(
        2.0, "What an answer's score is lowered by if it is cut off.", least=0
    )

    def estimate(self) -> Estimate:
        """An answer with its prompt is about 60 tokens; RL samples, scores and trains it."""
        imitated = self.sft_steps * self.sft_batch_size
        compared = 2 * self.reward_steps * self.reward_batch_size
        played = 3 * self.steps * self.groups_per_batch * self.group_size
        steps = self.sft_steps + self.reward_steps + self.steps
        return Estimate(steps, TOKENS_AN_ANSWER * (imitated + compared + played))

    async def train(self, run: Run) -> dict[str, Figure]:
        """The three stages, each once."""
        learn, tested = pairs_of(self, run)

        async def imitate(stage: Run) -> dict[str, Figure]:
            return await self._imitate(stage, learn, tested)

        async def compare(stage: Run) -> dict[str, Figure]:
            return await self._compare(stage, learn, tested)

        sft = await run.in_stage("sft", imitate)
        reward = await run.in_stage("reward", compare)

        async def please(stage: Run) -> dict[str, Figure]:
            return await self._please(stage, sft, reward, learn, tested)

        policy = await run.in_stage("policy", please, from_state=sft.state_path)
        run.stopped = policy.stopped
        return {**sft.figures, **reward.figures, **policy.figures}

    # ---- the stages

    async def _imitate(
        self, stage: Run, learn: Sequence[Pair], tested: Sequence[Pair]
    ) -> dict[str, Figure]:
        """Answer as people do, well or badly."""
        settings = Supervision(
            steps=self.sft_steps,
            batch_size=self.sft_batch_size,
            learning_rate=self.sft_learning_rate,
        )
        answers = [_answered(pair) for pair in tested]

        async def evaluate() -> dict[str, float]:
            return {"test/nll": await held_out_nll(stage, answers)}

        await train_supervised(
            stage, self._examples(stage, learn), settings, evaluate=self._if_asked(evaluate)
        )
        return {"sft_nll": exact(await held_out_nll(stage, answers))}

    def _examples(self, stage: Run, learn: Sequence[Pair]) -> list[Weighed]:
        """The built-in demonstrations, or of other data the chosen answers."""
        if self.data != BUILT_IN:
            return [_answered(pair) for pair in learn]
        things, _ = kind_words.split_things(TESTED_THINGS, self.seed)
        chats = kind_words.demonstrations(things, DEMONSTRATIONS, self.seed)
        return [Weighed.of(stage.renderer.example(chat), "mean") for chat in chats]

    async def _compare(
        self, stage: Run, learn: Sequence[Pair], tested: Sequence[Pair]
    ) -> dict[str, Figure]:
        """Tell which of two answers is preferred."""
        settings = Comparing(
            steps=self.reward_steps,
            batch_size=self.reward_batch_size,
            learning_rate=self.reward_learning_rate,
        )

        async def evaluate() -> dict[str, float]:
            return {"test/accuracy": preferred(await scores(stage.sampler(), tested)).value}

        was = await stage.once("before", lambda: scores(stage.base, tested))
        await train_pairs(stage, learn, settings, bradley_terry, evaluate=self._if_asked(evaluate))
        accuracy = preferred(await scores(stage.sampler(), tested))
        if accuracy.value < POOR_ACCURACY:
            stage.advise(
                f"the reward model prefers the chosen answer in {accuracy.value:.0%} of the "
                "held-out pairs only: what learns from it learns next to nothing"
            )
        return {"reward_before": preferred(was), "reward_accuracy": accuracy}

    async def _please(
        self,
        stage: Run,
        sft: Summary,
        reward: Summary,
        learn: Sequence[Pair],
        tested: Sequence[Pair],
    ) -> dict[str, Figure]:
        """Say what the reward model likes, and stay near what the first stage says."""
        begun, judge = (
            stage.service.create_sampling_client(one.sampler_path) for one in (sft, reward)
        )
        liking = kind_words.kindness if self.data == BUILT_IN else None

        def judged(pairs: Sequence[Pair]) -> list[Judged]:
            prompts = dict.fromkeys(pair.prompt for pair in pairs)
            return [Judged(one, judge, self.unfinished_cost, liking) for one in prompts]

        learnt, held_out = judged(learn), judged(tested)
        times = ceil(self.held_out / len(held_out))

        def environments(step: int) -> Sequence[Judged]:
            return batch(learnt, self.groups_per_batch, step, stage.seed("prompts"))

        async def before() -> list[dict[str, Any]]:
            return _parts(await play_all(stage, begun, held_out, times=times))

        async def evaluate() -> dict[str, float]:
            return of_episodes(await play_all(stage, stage.sampler(), held_out))

        was = await stage.once("before", before)
        check_scores([one["score"] for one in was])
        reference = self.kl_reference or (sft.sampler_path if self.kl_penalty else None)
        settings = chz.replace(self, kl_reference=reference)
        await train_rl(stage, environments, settings, evaluate=self._if_asked(evaluate))
        episodes = await play_all(stage, stage.sampler(), held_out, times=times)
        text_of = stage.tokenizer.decode
        stage.transcript(self.steps, [told(one, text_of) for one in episodes], "test")
        gaps = await _gaps(begun, [one for e in episodes for one in stretches(e.turns)])
        return {
            **compared(was, _parts(episodes)),
            "kl": mean([float(gap.mean()) for gap in gaps]),
        }

    def _if_asked(self, evaluate: Evaluate) -> Evaluate | None:
        return evaluate if self.eval_every else None


def compared(was: Sequence[dict[str, Any]], now: Sequence[dict[str, Any]]) -> dict[str, Figure]:
    """Figures of the answers to the same prompts before and after; failed ones have no partner.

    Raises:
        ValueError: none has a partner.
    """
    before = {tuple(one["place"]): one for one in was}
    both = [(before[key], one) for one in now if (key := tuple(one["place"])) in before]
    old, new = ([one[at] for one in both] for at in (0, 1))

    def of(name: str, answers: Sequence[dict[str, Any]]) -> list[float]:
        return [one[name] for one in answers]

    found = {
        "score_before": mean(of("score", old)),
        "score": mean(of("score", new)),
        "score_gain": mean([b["score"] - a["score"] for a, b in both]),
        "score_win_rate": win_rate(of("score", new), of("score", old)),
    }
    if "liking" in old[0]:
        found |= {
            "liking_before": mean(of("liking", old)),
            "liking": mean(of("liking", new)),
            "win_rate": win_rate(of("liking", new), of("liking", old)),
        }
    return found


def check_scores(found: Sequence[float]) -> None:
    """Refuse a reward that tells nothing.

    Raises:
        ValueError: all scores are the same.
    """
    if len(set(found)) <= 1:
        raise ValueError(
            f"the reward model gives all {len(found)} answers the same score, so there is nothing "
            "to learn from: look at its pairs, or train it longer"
        )


def _answered(pair: Pair) -> Weighed:
    """The chosen answer as an example."""
    weights = [0.0] * len(pair.prompt) + [1.0] * len(pair.chosen)
    return Weighed.of(Example([*pair.prompt, *pair.chosen], weights), "mean")


def _parts(episodes: Sequence[Episode]) -> list[dict[str, Any]]:
    return [{**one.outcome.parts, "place": [one.group, one.index]} for one in episodes]


async def _gaps(begun: SamplingClient, played: Sequence[Stretch]) -> list[Any]:
    """How much likelier each sampled token was than under the SFT model, [sampled] each."""
    under = await logprobs_under(begun, played)
    return [(one.logprobs - other)[one.sampled] for one, other in zip(played, under, strict=True)]


if __name__ == "__main__":
    main(PreferenceRLHF)
