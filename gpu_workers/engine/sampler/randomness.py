"""Random numbers that depend on the request alone: one stream a sample, counted by token.

The u-th number of a stream is a hash of (key, u), so a sample draws the same numbers alone, beside
others, and again after a crash, and a whole batch draws in a few vector operations.
"""

from __future__ import annotations

import secrets

import numpy as np
import numpy.typing as npt

UInt64Array = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def stream_key(seed: int | None, index: int) -> int:
    """The 64-bit key of sample `index` of a request; without a seed, one nobody can foresee."""
    if seed is None:
        return secrets.randbits(64)
    entropy = [seed & 0xFFFFFFFFFFFFFFFF, index]
    return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])


def uniforms(keys: UInt64Array, counters: UInt64Array) -> npt.NDArray[np.float64]:
    """One number in [0, 1) for each (key, counter), with 53 random bits.

    SplitMix64 (Steele, Lea, Flood 2014) read at a counter instead of stepped.
    """
    with np.errstate(over="ignore"):
        x = keys + (counters + np.uint64(1)) * _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * _MIX_1
        x = (x ^ (x >> np.uint64(27))) * _MIX_2
    x ^= x >> np.uint64(31)
    return (x >> np.uint64(11)).astype(np.float64) * 2.0**-53
