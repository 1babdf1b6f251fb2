"""Inflight samplers, whose weights follow their run, and what becomes of the old weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from checkpoints import leftovers, store
from checkpoints.models import Leftover
from operations.models import Operation
from runs import ephemeral
from runs.models import Sampler, TrainingRun
from tests.support.log import Log


class Saves:
    """Saves of one run, done as a worker does them."""

    def __init__(self, log: Log, folder: Path) -> None:
        self.log = log
        self.run: TrainingRun = log.run(log.team("a"))
        self.sampler_id = f"{self.run.session_id}:sample:0"

    def save(self, seq: int) -> str:
        """Save for the run's inflight sampler; returns the key of the weights."""
        key = store.inflight_key(self.run.id, seq)
        store.path(key).mkdir(parents=True)
        conn = self.log.conn
        with conn.transaction():
            ephemeral.renew_inflight(conn, run_id=self.run.id, key=key, seq=seq)
            assert ephemeral.make_ephemeral(
                conn, sampler_id=self.sampler_id, run_id=self.run.id, number=0, key=key, seq=seq
            )
        return key

    @property
    def sampler(self) -> Sampler:
        """The inflight sampler as it is now."""
        return Sampler.objects.get(id=self.sampler_id)

    def replaced_long_ago(self) -> None:
        """Let the time pass in which a claim may still have read the old key."""
        self.log.conn.execute("UPDATE checkpoints_leftover SET not_before = now()")


@pytest.fixture
def saves(log: Log, tmp_path: Path, settings) -> Saves:
    settings.DATA_DIR = tmp_path
    return Saves(log, tmp_path)


def test_replaced_weights_outlive_the_samples_that_began_with_them(saves: Saves) -> None:
    conn = saves.log.conn
    first = saves.save(1)
    saves.log.append(saves.sampler, 0)
    (sample,) = saves.log.claim(saves.log.worker())
    assert sample.weights_key == first
    second = saves.save(2)
    assert saves.sampler.weights_key == second
    assert leftovers.delete_due(conn) == [], "a claim may be reading the old key at this moment"
    saves.replaced_long_ago()
    assert leftovers.delete_due(conn) == [], "a sample is using them"
    Operation.objects.filter(id=sample.id).update(state="done")
    assert leftovers.delete_due(conn) == [first]
    assert (store.path(first).exists(), store.path(second).exists()) == (False, True)
    assert not Leftover.objects.exists()


def test_samples_begun_with_the_new_weights_hold_up_nothing(saves: Saves) -> None:
    first = saves.save(1)
    saves.save(2)
    saves.replaced_long_ago()
    saves.log.append(saves.sampler, 0)
    saves.log.claim(saves.log.worker())
    assert leftovers.delete_due(saves.log.conn) == [first]


def test_an_older_save_that_ends_late_takes_nothing_back(saves: Saves) -> None:
    newer = saves.save(5)
    saves.save(3)
    assert (saves.sampler.weights_key, saves.sampler.inflight_seq) == (newer, 5)
