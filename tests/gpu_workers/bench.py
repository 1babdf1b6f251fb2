"""Workers with real engines on a real log, and the operations that tests ask of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import numpy as np

from gpu_workers.process.worker import Worker
from operations import workers
from operations.models import Operation, Result
from runs.models import TrainingRun
from tests.support.log import Log
from tests.support.waiting import Waited, eventually
from tinsmith.wire import wire_pb2

WITHIN_S = 60.0


class Bench:
    """Workers that drain in threads of this process, and the log they work on."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.running: list[tuple[Worker, threading.Thread, threading.Event]] = []

    def start(self) -> Worker:
        """A worker that drains until it is stopped."""
        worker = Worker(self.log.pool)
        worker.start()
        self.adopt(worker)
        return worker

    def adopt(self, worker: Worker) -> None:
        """Let a started worker drain."""
        paused = threading.Event()
        thread = threading.Thread(target=self._drain, args=[worker, paused], daemon=True)
        thread.start()
        self.running.append((worker, thread, paused))

    def pause(self, worker: Worker) -> None:
        """Let a worker stop draining, without its stopping."""
        for index, (each, thread, paused) in enumerate(self.running):
            if each is worker:
                paused.set()
                self.running.pop(index)
                self.log.conn.execute("SELECT pg_notify('tinsmith_work', 'default work')")
                thread.join(20)
                assert not thread.is_alive()

    def _drain(self, worker: Worker, paused: threading.Event) -> None:
        while not worker.stopping.is_set() and not paused.is_set():
            worker.drain()

    def crash(self, worker: Worker) -> None:
        """What `kill -9` leaves: nothing more is written and the lease runs out."""
        worker.finisher.put = lambda ended: None  # type: ignore[method-assign]
        worker.finisher.call = lambda job: None  # type: ignore[method-assign]
        worker.lease.sign_off = lambda: None  # type: ignore[method-assign]
        worker.stop()
        workers.retire(self.log.conn, worker_id=worker.id)

    def stop(self) -> None:
        """Stop every worker."""
        for worker, thread, _ in self.running:
            worker.stop()
            thread.join(20)
            assert not thread.is_alive()

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait until `done`, ringing as a submitter would."""

        def done_or_rung() -> bool:
            if not done():
                self.log.conn.execute("SELECT pg_notify('tinsmith_work', 'default change')")
                return False
            return True

        try:
            eventually(done_or_rung, within_s=WITHIN_S, every_s=0.05)
        except Waited as error:
            raise Waited(f"{what} did not happen in {WITHIN_S:.0f} s") from error

    def finish(self, run: TrainingRun) -> None:
        """Wait until everything asked of a run has its outcome."""
        self.wait(
            lambda: (
                not Operation.objects.filter(
                    target=run.id, state__in=["queued", "running"]
                ).exists()
            ),
            f"the work of {run.id}",
        )


def batch(run: TrainingRun, seq: int, seed: int, **changes: object) -> bytes:
    """A small cross-entropy batch; the same seed gives the same batch."""
    random = np.random.default_rng(seed)
    request = wire_pb2.ForwardBackwardRequest(
        model_id=run.id, seq_id=seq, loss_fn=changes.get("loss_fn", "cross_entropy")
    )
    for length in (5, 17):
        tokens = random.integers(0, 400, length + 1)
        datum = request.data.add()
        datum.model_input.add().encoded_text.tokens = tokens[:-1].astype("<i4").tobytes()
        target = datum.loss_fn_inputs["target_tokens"]
        target.dense, target.dtype = tokens[1:].astype("<i8").tobytes(), wire_pb2.DTYPE_INT64
        target.shape.append(length)
        weights = datum.loss_fn_inputs["weights"]
        values = np.full(length, changes.get("weight", 1.0))
        weights.dense, weights.dtype = values.astype("<f4").tobytes(), wire_pb2.DTYPE_FLOAT32
        weights.shape.append(length)
    return request.SerializeToString()


def body(run: TrainingRun, seq: int, **fields: object) -> bytes:
    """A JSON body of an operation on a run."""
    return json.dumps({"model_id": run.id, "seq_id": seq, **fields}).encode()


def create(log: Log, run: TrainingRun) -> None:
    """Operation 0."""
    log.submit(run, 0, "create_run", b"{}")


def step(log: Log, run: TrainingRun, seq: int) -> None:
    """A batch at `seq` and the optimizer step behind it."""
    log.submit(run, seq, "forward_backward", batch(run, seq, seed=seq))
    rate = {"learning_rate": 1e-2}
    log.submit(run, seq + 1, "optim_step", body(run, seq + 1, adam_params=rate))


def results(run: TrainingRun) -> dict[int, bytes]:
    """seq → answer."""
    found = Result.objects.filter(operation__target=run.id).select_related("operation")
    return {result.operation.seq: bytes(result.body) for result in found}
