"""Files of operations that came to nothing are left to the sweep, those that are needed are not."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from checkpoints import leftovers, store
from checkpoints.models import Checkpoint, Leftover
from operations import finish
from operations.finish import Conflict, Outcome
from operations.models import Lane, Operation
from runs import lifecycle
from tests.support.log import Log
from tests.support.sessions import end_sessions


def keys() -> set[str]:
    return set(Leftover.objects.values_list("key", flat=True))


def taken(conn: object) -> None:
    raise Conflict("the name is taken")


def broken(conn: object) -> None:
    raise ZeroDivisionError


class Saves:
    """A worker with saves of one run in hand, each with a key of its own."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.worker = log.worker()
        self.run = log.run(log.team("a"))
        log.append(self.run, 0, 1, 2)
        self.claimed = log.claim(self.worker)

    def outcome(self, seq: int, **fields: object) -> Outcome:
        """What became of save `seq`, which wrote files under the key `k<seq>`."""
        operation = self.claimed[seq]
        return Outcome(
            operation.id,
            f"{self.run.id}:{seq}",
            content_type="application/json",
            body=b"{}",
            writes=f"k{seq}",
            **fields,  # type: ignore[arg-type]
        )

    def record(self, *outcomes: Outcome) -> set[int]:
        """Write outcomes as the finisher does."""
        return finish.record(
            self.log.conn, worker_id=self.worker, outcomes=list(outcomes), applied={}
        )

    def snapshot(self, key: str, seq: int = 0) -> None:
        """Enter a recovery copy."""
        finish.record_snapshot(
            self.log.conn, worker_id=self.worker, run_id=self.run.id, seq=seq, key=key
        )


@pytest.fixture
def saves(log: Log, tmp_path: Path, settings) -> Saves:
    settings.DATA_DIR = tmp_path
    return Saves(log)


def test_only_failed_operations_leave_their_files(saves: Saves) -> None:
    saves.record(saves.outcome(0), saves.outcome(1, error="no", category="user"))
    assert keys() == {"k1"}


def test_a_conflict_leaves_its_files_also_when_it_is_written_again(saves: Saves) -> None:
    """The first attempt is rolled back, by a neighbour here; the conflict is a failure by then."""
    conflict, neighbour = saves.outcome(0, effect=taken), saves.outcome(1, effect=broken)
    with pytest.raises(ZeroDivisionError):
        saves.record(conflict, neighbour)
    assert keys() == set()
    saves.record(conflict)
    neighbour.fail("internal error", "server")
    saves.record(neighbour)
    assert keys() == {"k0", "k1"}
    assert Operation.objects.get(seq=0).error == "the name is taken"


def test_a_save_that_its_session_did_not_wait_for_leaves_its_files(saves: Saves) -> None:
    end_sessions()
    lifecycle.release_ended(saves.log.conn, worker_id=saves.worker)
    before = keys()
    assert saves.record(saves.outcome(0)) == set()
    assert keys() - before == {"k0"}


def test_an_ended_session_leaves_what_its_saves_wrote_and_nobody_named(saves: Saves) -> None:
    """A worker died between the files and the row; the session ended before another one came."""
    run_id = saves.run.id
    named, unnamed = (store.checkpoint_key(run_id, "weights", name, 1) for name in ("a", "b"))
    for key in (named, unnamed):
        store.path(key).mkdir(parents=True)
    Checkpoint.objects.create(
        run=saves.run, team=saves.run.team, segment="weights", name="a", key=named, size_bytes=1
    )
    end_sessions()
    lifecycle.release_ended(saves.log.conn, worker_id=saves.worker)
    assert keys() == {unnamed, *store.session_keys(saves.run.session_id)}
    leftovers.delete_due(saves.log.conn)
    assert (store.path(named).exists(), store.path(unnamed).exists()) == (True, False)


def test_a_save_that_another_worker_does_again_keeps_its_files(saves: Saves) -> None:
    saves.log.die(saves.worker)
    Operation.objects.update(state="queued", worker_id=None)
    assert saves.record(saves.outcome(0)) == set()
    assert keys() == set()


def test_a_recovery_copy_that_is_entered_twice_stays(saves: Saves) -> None:
    """The answer to the first commit was lost, so it is written again."""
    saves.record(saves.outcome(0))
    Lane.objects.update(applied_seq=0)
    saves.snapshot("older")
    saves.snapshot("newer")
    saves.snapshot("newer")
    assert keys() == {"older"}
    # the run has gone to another worker before the repetition
    Lane.objects.update(worker_id=saves.log.worker())
    saves.snapshot("newer")
    store.path("newer").mkdir(parents=True)
    assert leftovers.delete_due(saves.log.conn) == ["older"]
    assert store.path("newer").is_dir()


def test_files_that_the_disk_would_not_delete_are_not_forgotten(
    saves: Saves, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = saves.log
    for key in ("stuck", "plain"):
        store.path(key).mkdir(parents=True)
        (store.path(key) / "file").write_bytes(b"x")
        leftovers.leave(log.conn, key)
    with monkeypatch.context() as patch:
        real = os.unlink

        def unlink(path: Any, **named: Any) -> None:
            if "dir_fd" in named and os.readlink(f"/proc/self/fd/{named['dir_fd']}") == str(
                store.path("stuck")
            ):
                raise OSError(errno.EIO, "Input/output error")
            real(path, **named)

        patch.setattr(os, "unlink", unlink)
        assert leftovers.delete_due(log.conn) == ["plain"]
    assert store.path("stuck").is_dir()
    assert keys() == {"stuck"}
    assert leftovers.delete_due(log.conn) == []  # it waits, so that others get their turn
    Leftover.objects.update(not_before=timezone.now())
    assert leftovers.delete_due(log.conn) == ["stuck"]
    assert not store.path("stuck").exists()
