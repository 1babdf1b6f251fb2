"""Calls a pool's workers, those that listen and those that have to be rung."""

from __future__ import annotations

import psycopg

from core import doorbell
from operations import finish


def call_for_work(conn: psycopg.Connection, pool: str) -> None:
    """Have the workers of a pool look for runs and for work."""
    finish.announce_change(conn, pool)
    doorbell.ring(pool)
