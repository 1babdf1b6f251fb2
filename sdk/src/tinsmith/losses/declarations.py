"""One declaration a loss: its inputs, its settings with bounds and defaults, what stays whole."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Setting:
    """One number of `loss_fn_config`: what it is when left out, and from where to where it goes."""

    default: float
    low: float = -math.inf
    high: float = math.inf

    @property
    def allowed(self) -> str:
        """The range in words."""
        if self.high < math.inf:
            return f"a number from {self.low:g} to {self.high:g}"
        return "a finite number" if self.low == -math.inf else f"a number from {self.low} on"


@dataclass(frozen=True, slots=True)
class Loss:
    """What a loss is to everybody but its formula.

    `required` and `optional` are inputs of a datum. `whole_sequences`: the formula looks at a
    sequence as a whole, not token by token. `group`: so many neighbouring datums belong together
    and are never cut apart, `members` says what they are. `weighed`: every datum needs a weight
    that is not 0. `wide_targets`: target_tokens may be [N, K]. `reads_provenance`: spans may stand
    for its mask and logprobs. `reference`: logprobs that no datum of a request has are computed
    under the weights that the setting of this name tells, a sampler checkpoint's address or a
    sampler's id; without it they are the base model's.
    """

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)
    whole_sequences: bool = False
    group: int = 1
    members: str = ""
    weighed: bool = False
    wide_targets: bool = False
    reads_provenance: bool = False
    reference: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """All inputs that a datum may have."""
        return self.required + self.optional

    @property
    def of_policy(self) -> bool:
        """Whether it trains on what a sampler sampled, so that the two can be compared."""
        return "advantages" in self.required

    @property
    def defaults(self) -> dict[str, float]:
        """The settings of a request that sends none."""
        return {name: setting.default for name, setting in self.settings.items()}

    def incomplete(self, datums: int) -> str | None:
        """What is wrong with so many datums, None if they make whole groups."""
        if datums % self.group == 0:
            return None
        return (
            f"{self.name} takes groups of {self.group} neighbouring datums ({self.members}), and "
            f"{datums} are not a multiple of {self.group}."
        )

    def mixed(self, datums: Sequence[Collection[str]]) -> str | None:
        """What is wrong if only some datums, given by the names of their inputs, have logprobs."""
        without = [number for number, names in enumerate(datums) if "logprobs" not in names]
        if not self.reference or len(without) in (0, len(datums)):
            return None
        return (
            f"Datum {without[0]}: missing loss input 'logprobs', which other datums have: give the "
            "reference logprobs of all datums, or of none to have them computed."
        )


_POLICY = ("target_tokens", "logprobs", "advantages")
_CLIPS = ("clip_low_threshold", "clip_high_threshold")


def _clips(low: float, high: float) -> dict[str, Setting]:
    return {"clip_low_threshold": Setting(low), "clip_high_threshold": Setting(high)}


SCORE_TOKENS = (0, 1)
"""Two tokens of any vocabulary. An answer's score is how much likelier the first is after it."""

LOSSES: dict[str, Loss] = {
    loss.name: loss
    for loss in (
        Loss("cross_entropy", ("target_tokens", "weights"), wide_targets=True),
        Loss("importance_sampling", _POLICY),
        Loss("ppo", _POLICY, _CLIPS, _clips(0.8, 1.2)),
        Loss("cispo", _POLICY, _CLIPS, _clips(0.0, 4.0)),
        Loss("dro", _POLICY, settings={"beta": Setting(0.05)}),
        Loss(
            "gspo",
            _POLICY,
            (*_CLIPS, "sequence_ratio_mask"),
            _clips(1 - 3e-4, 1 + 4e-4),
            whole_sequences=True,
        ),
        Loss(
            "stable_reinforce",
            _POLICY,
            ("sequence_ratio_mask",),
            {"kl_coeff": Setting(0.0, low=0.0), "max_ratio": Setting(2.0, low=1e-6)},
            reads_provenance=True,
        ),
        Loss(
            "dpo",
            ("target_tokens", "weights"),
            ("logprobs",),
            settings={"dpo_beta": Setting(0.1, low=1e-4, high=100.0)},
            whole_sequences=True,
            group=2,
            members="chosen, then rejected",
            weighed=True,
            reference="dpo_reference",
        ),
        Loss(
            "bradley_terry",
            ("target_tokens", "weights"),
            whole_sequences=True,
            group=2,
            members="chosen, then rejected",
            weighed=True,
            wide_targets=True,
        ),
    )
}
