"""Names of the public client that stand for something else here, so that annotations keep working.

Clients are usable at once, so the futures that used to stand for them are the clients themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from tinsmith._clients.sampling import SamplingClient
from tinsmith._clients.training import TrainingClient
from tinsmith._words.mistakes import explained

BackcompatTrainingClientFuture = TrainingClient
BackcompatSamplingClientFuture = SamplingClient


class ExperimentalWarning(UserWarning):
    """Something may change or go away; nothing here warns so."""


@explained
@dataclass(frozen=True)
class Timeout:
    """Seconds for the parts of a request. Patience is set with ``RetryConfig`` here."""

    timeout: float | None = None
    connect: float | None = None
    read: float | None = None
    write: float | None = None
    pool: float | None = None


RequestOptions = dict
"""Options of one request; no method here takes any."""
