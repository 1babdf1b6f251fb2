"""What samplers recorded of sequences, for losses that need to know how they were drawn.

A sample with `record_stability_info` leaves the tokens and logprobs of its sequences here, for a
day, for training runs of the same session. Those that a rollout names are copied to its run
(`runs/sequences.py`) and stay as long as that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from psycopg import Connection

KEPT_S = 24 * 3600
# a run that is restored does old passes again, so rows outlive their use
FORGOTTEN_AFTER_S = 7 * KEPT_S
# what other apps may read, where they look for sequences by `%(names)s`
NAMED = """
SELECT id AS name, session_id, tokens, logprobs FROM operations_recording
WHERE id = ANY(%(names)s)
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A sampled sequence: `tokens` int32 [n] and the logprobs they were drawn with, float32 [n]."""

    tokens: npt.NDArray[np.int32]
    logprobs: npt.NDArray[np.float32]


def record(conn: Connection, *, request_id: str, sequences: list[Recorded]) -> None:
    """Keep the sequences of a sample, inside the transaction that finishes it."""
    session_id = request_id.partition(":")[0]
    for index, sequence in enumerate(sequences):
        conn.execute(
            """
            INSERT INTO operations_recording (id, session_id, tokens, logprobs)
            VALUES (%s, %s, %s, %s) ON CONFLICT (id) DO NOTHING
            """,
            (
                f"{request_id}:{index}",
                session_id,
                sequence.tokens.astype("<i4").tobytes(),
                sequence.logprobs.astype("<f4").tobytes(),
            ),
        )


def find(
    conn: Connection, *, session_id: str, sequence_ids: list[str], at_any_age: bool = False
) -> dict[str, Recorded]:
    """Those of the sequences that are recorded in this session and not too old."""
    rows = conn.execute(
        """
        SELECT id, tokens, logprobs FROM operations_recording
        WHERE id = ANY(%s) AND session_id = %s
          AND (%s OR created_at > now() - make_interval(secs => %s))
        """,
        # PostgreSQL knows no NUL, so nothing is recorded under a name that has one
        ([name for name in sequence_ids if "\0" not in name], session_id, at_any_age, KEPT_S),
        binary=True,
    ).fetchall()
    return {
        sequence_id: Recorded(np.frombuffer(tokens, "<i4"), np.frombuffer(logprobs, "<f4"))
        for sequence_id, tokens, logprobs in rows
    }


def forget_old(conn: Connection) -> None:
    """Delete what no run will ask for any more."""
    conn.execute(
        "DELETE FROM operations_recording WHERE created_at < now() - make_interval(secs => %s)",
        (FORGOTTEN_AFTER_S,),
    )
