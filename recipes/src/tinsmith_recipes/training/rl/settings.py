"""``RLSettings``: the fields of every recipe that learns from rewards."""

from __future__ import annotations

from typing import ClassVar, Literal

import chz

from tinsmith.losses import LOSSES
from tinsmith_recipes.training.nearest import meant
from tinsmith_recipes.training.recipe import Estimate, Recipe, setting
from tinsmith_recipes.training.schedule import Schedule


@chz.chz
class RLSettings(Recipe):
    """A batch is ``groups_per_batch`` environments, each played ``group_size`` times."""

    episode_tokens: ClassVar[float] = 50
    """About how many tokens an episode has, prompt and answers together."""

    steps: int = setting(60, "Batches that are sampled and trained on, one a step.", least=1)
    groups_per_batch: int = setting(
        32, "Environments a step; more of them make a steadier gradient.", least=1
    )
    group_size: int = setting(
        8,
        "Episodes of each environment, which are compared with each other; 8 tell a lucky one "
        "from a usual one.",
        least=2,
        most=1024,
    )
    learning_rate: float = setting(
        1e-3,
        "The peak rate; the default suits the nano model, others want 1e-5 to 1e-4.",
        least=0,
        most=1,
    )
    schedule: Schedule = setting(
        "linear", "How the rate falls: to nothing at the end, so that the last steps settle."
    )
    warmup: int = setting(
        0, "Steps in which the rate rises to its peak; few are needed with LoRA.", least=0
    )
    grad_clip: float = setting(
        0.0, "Norm that a gradient is scaled down to; 0 leaves it as it is.", least=0
    )
    max_tokens: int = setting(
        32, "Longest answer of a turn; one that is cut off seldom earns anything.", least=1
    )
    temperature: float = setting(
        1.0,
        "Of sampling while training; at another than 1 the learner is compared with a "
        "distribution that it is not.",
        least=0.01,
        most=10,
    )
    loss_fn: Literal["importance_sampling", "ppo", "cispo", "gspo", "dro", "stable_reinforce"] = (
        setting(
            "importance_sampling",
            "The server's loss; the plain one is right as long as a batch is trained on once.",
        )
    )
    loss_config: str = setting(
        "", "Settings of the loss, e.g. clip_low_threshold=0.8,clip_high_threshold=1.3."
    )
    substeps: int = setting(
        1,
        "Optimizer steps that a batch is split into; more learn faster from the same samples and "
        "drift further from the sampler.",
        least=1,
    )
    minibatches: int = setting(
        1,
        "Parts of a batch that are handed in as soon as they are played; more keep a GPU busy "
        "while others are still played.",
        least=1,
    )
    max_steps_off_policy: int = setting(
        0,
        "How many steps old the weights may be that sampled a batch; 0 samples every batch afresh, "
        "more sample ahead while training goes on.",
        least=0,
        most=64,
    )
    drop_constant_groups: bool = setting(
        True,
        "Leaves out groups whose episodes all earned the same, for they say nothing; with a KL "
        "penalty they do, and stay.",
    )
    kl_penalty: float = setting(
        0.0, "What each nat away from the reference costs; 0 lets it go anywhere.", least=0
    )
    kl_reference: str | None = setting(
        None, "The sampler checkpoint that the penalty refers to; by default the base model."
    )
    kl_discount: float = setting(
        0.0,
        "Makes a token pay for the distance of those after it, too, so much less for each; 0 is "
        "its own only.",
        least=0,
        most=1,
    )
    kl_budget: float | None = setting(
        None,
        "Nats a token away from the reference at which the run ends, of a step's samples; by "
        "default never. It is measured for the penalty.",
        least=0,
    )
    kl_limit: float = setting(
        0.1, "KL between sampler and learner, in nats a token, that is too much.", least=0
    )
    on_high_kl: Literal["resample", "stop"] = setting(
        "resample",
        "What then: throw away what was sampled ahead and sample it again, or end the run; the "
        "first does no harm.",
    )
    post_kl: bool = setting(
        False, "Also measures how far each step moved the policy; costs a pass over the samples."
    )
    concurrency: int = setting(
        256, "Episodes that are played at once; a server batches them.", least=1
    )
    transcripts_every: int = setting(
        10, "Steps between pages of what was sampled; 0 writes none.", least=0
    )

    @chz.validate
    def _check(self) -> None:
        if self.substeps > 1 and self.minibatches > 1:
            raise ValueError(
                "substeps and minibatches cannot both be above 1: minibatches hand in the parts "
                "of one optimizer step as they are played, substeps make several of them"
            )
        if max(self.substeps, self.minibatches) > self.groups_per_batch:
            raise ValueError(
                f"a batch of {self.groups_per_batch} groups has no "
                f"{max(self.substeps, self.minibatches)} parts"
            )
        if self.kl_reference is not None and self.kl_penalty == 0:
            raise ValueError("kl_reference has no use with kl_penalty=0")
        if self.kl_budget is not None and self.kl_penalty == 0:
            raise ValueError("kl_budget has no use with kl_penalty=0, which measures no distance")
        _ = self.loss_settings

    @property
    def loss_settings(self) -> dict[str, float]:
        """``loss_config`` by name.

        Raises:
            ValueError: it is not that, or the loss has no such setting; names the nearest.
        """
        known = LOSSES[self.loss_fn].settings
        found: dict[str, float] = {}
        for word in filter(None, self.loss_config.replace(" ", "").split(",")):
            name, _, value = word.partition("=")
            if name not in known:
                nearest = meant(name, known, "it has")
                raise ValueError(f"loss_config: {self.loss_fn} has no setting {name!r}; {nearest}")
            try:
                found[name] = float(value)
            except ValueError:
                raise ValueError(f"loss_config: {name} must be a number, not {value!r}") from None
        return found

    def estimate(self) -> Estimate:
        """Steps and tokens of a run."""
        return self.estimated(self.episode_tokens)

    def estimated(self, tokens_an_episode: float) -> Estimate:
        """Steps, and tokens that are sampled and then trained on."""
        episodes = self.steps * self.groups_per_batch * self.group_size
        return Estimate(self.steps, int(2 * episodes * tokens_an_episode))
