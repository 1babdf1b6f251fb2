"""A worker without an engine: it claims operations and answers them with what the test says."""

from __future__ import annotations

import json
import os
import uuid
from typing import Any

import psycopg

from catalog.models import BaseModel
from operations import claims, finish, workers


class Hand:
    """Claims operations as a worker does and answers them with what the test says."""

    def __init__(self, connection: psycopg.Connection, base_model: BaseModel) -> None:
        self.connection = connection
        self.pool = base_model.pool
        self.worker_id = uuid.uuid4()
        workers.register(
            connection,
            worker_id=self.worker_id,
            pool=self.pool,
            host="test",
            pid=os.getpid(),
            models=[base_model.name],
        )
        workers.set_lingering(connection, worker_id=self.worker_id, lingering=True)

    def renew(self) -> None:
        """Stay alive: a test of many requests takes longer than a lease on a busy machine."""
        workers.renew(self.connection, worker_id=self.worker_id, report={})

    def claim(self) -> list[claims.Claimed]:
        """What is to be done now."""
        claims.adopt(self.connection, worker_id=self.worker_id, pool=self.pool, limit=10)
        return claims.claim(
            self.connection,
            worker_id=self.worker_id,
            pool=self.pool,
            limit=100,
            max_bytes=2**30,
        )

    def finish(self, operation: claims.Claimed, **outcome: Any) -> None:
        """Finish one operation: `content_type` and `body`, or `error` and `category`."""
        request_id = f"{operation.target}:{operation.seq}"
        applied = {operation.target: operation.seq} if ":train:" in operation.target else {}
        finish.record(
            self.connection,
            worker_id=self.worker_id,
            outcomes=[finish.Outcome(operation.id, request_id, **outcome)],
            applied=applied,
        )
        finish.announce(self.connection, [request_id])

    def answer(self, operation: claims.Claimed, **fields: Any) -> None:
        """Finish one operation with a JSON result."""
        self.finish(operation, content_type="application/json", body=json.dumps(fields).encode())
