"""The part of ``TrainingClient`` that records metrics and rollouts for the dashboard.

Recording never waits: what is logged is gathered and sent in batches, and the rest when the session
is closed. The server keeps the last value of a (metric, step), so a batch that is sent twice is
recorded once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

import msgspec

from tinsmith._clients.rest_base import address
from tinsmith._session import background
from tinsmith._session.futures import APIFuture
from tinsmith._session.ready import Ready
from tinsmith._session.session import Session
from tinsmith._words.mistakes import check_text, explained, unlike, whole
from tinsmith.types.logs import Rollout
from tinsmith.types.results import GetInfoResponse
from tinsmith.types.tokens import check_tokens

log = logging.getLogger("tinsmith")

GATHER_S = 0.5
MAX_BATCH = 500  # rows in a request; the server takes 1,000
MAX_BATCH_BYTES = 4_000_000
MAX_PENDING = 50_000
MAX_KEY = 200


class _Recorded(msgspec.Struct):
    """The server's answer; `detail` says what it could not keep as it is, if anything."""

    detail: str = ""


@explained
class RunLog(Ready[GetInfoResponse]):
    """Records numbers and episodes."""

    _session: Session
    _recorder: Recorder | None = None
    _recorder_lock = threading.Lock()

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> APIFuture[None]:
        """Record numbers of a step, for the dashboard and ``tinsmith runs show``.

        Args:
            metrics: numbers by name, up to 200 characters each; a name logged twice for a step
                keeps the last value.
            step: 0 or more; left out, the one after the last that this client logged.

        Returns:
            A future that is done when the server has them. There is no need to wait: closing the
            ``ServiceClient`` sends what is left.

        Raises:
            ValueError, TypeError: at once, for a name or value that cannot be recorded.

        >>> training.log({"loss": 1.25, "reward/mean": 0.5}, step=0).result()
        """
        recorder = self._get_recorder()
        if not isinstance(metrics, Mapping):
            raise unlike("metrics", "numbers by name", metrics, 'e.g. {"loss": 1.25}')
        step = recorder.next_step(step)
        rows = [
            msgspec.json.encode(
                {"key": _key(key), "step": step, "value": _number(f"the metric {key!r}", value)}
            )
            for key, value in metrics.items()
        ]
        return recorder.add("metrics", rows)

    def log_rollouts(
        self, rollouts: Iterable[Rollout | Mapping[str, Any]], step: int | None = None
    ) -> APIFuture[None]:
        """Record sampled episodes, for the dashboard's rollout viewer.

        Args:
            rollouts: ``Rollout``s, or mappings with the same names. Those that leave ``index`` out
                are numbered within their group.
            step: as for `log`; left out, the last logged one.

        Returns:
            A future that is done when the server has them, as for `log`.

        Raises:
            ValueError, TypeError: at once, for what cannot be recorded; names the rollout.

        >>> episodes = [{"prompt": "1+1=", "completion": str(n), "reward": n == 2} for n in (2, 3)]
        >>> training.log_rollouts(episodes, step=0).result()
        """
        recorder = self._get_recorder()
        if isinstance(rollouts, Rollout | Mapping):
            raise TypeError("rollouts must be a list of rollouts, not one; write [rollout]")
        step = recorder.last_step(step)
        seen: dict[int, int] = {}
        rows = []
        for position, given in enumerate(rollouts):
            row = _rollout(position, given)
            group = row["group"]
            row.setdefault("index", seen.get(group, 0))
            seen[group] = row["index"] + 1
            try:
                rows.append(msgspec.json.encode({**row, "step": step}, enc_hook=_plain))
            except (TypeError, OverflowError) as error:
                raise TypeError(f"rollout {position} cannot be recorded: {error}") from None
            if len(rows[-1]) > MAX_BATCH_BYTES:
                raise ValueError(f"rollout {position} is larger than {MAX_BATCH_BYTES} bytes")
        return recorder.add("rollouts", rows)

    def _get_recorder(self) -> Recorder:
        self._session.check_usable()
        with self._recorder_lock:
            if self._recorder is None:
                self._recorder = Recorder(self._session, self._created)
                self._session.before_close(self._recorder.flush)
            return self._recorder


class Recorder:
    """Gathers rows of one run and sends them. `add` is for any thread, the rest for the loop."""

    def __init__(self, session: Session, created: APIFuture[GetInfoResponse]) -> None:
        self._session = session
        self._created = created
        self._lock = threading.Lock()
        self._pending: dict[str, list[tuple[bytes, Future[None] | None]]] = {}
        self._step = -1
        self._sender: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def next_step(self, given: int | None) -> int:
        """The step of a call of `log`."""
        with self._lock:
            self._step = self._step + 1 if given is None else _step(given)
            return self._step

    def last_step(self, given: int | None) -> int:
        """The step of a call of `log_rollouts`."""
        with self._lock:
            if given is not None:
                self._step = _step(given)
            return max(self._step, 0)

    def add(self, what: str, rows: list[bytes]) -> APIFuture[None]:
        """Take rows; the future is done when the last of them is stored."""
        done: Future[None] = Future()
        if not rows:
            done.set_result(None)
            return APIFuture(done)
        with self._lock:
            waiting = self._pending.setdefault(what, [])
            if len(waiting) + len(rows) > MAX_PENDING:
                raise ValueError(
                    f"{len(waiting)} rows of {what} wait to be sent already; wait for the future "
                    "that the last call returned before logging more"
                )
            waiting += [(row, None) for row in rows[:-1]]
            waiting.append((rows[-1], done))
        background.loop().call_soon_threadsafe(self._wake)
        return APIFuture(done)

    def _wake(self) -> None:
        if self._sender is None or self._sender.done():
            self._sender = asyncio.ensure_future(self._send_soon())

    async def _send_soon(self) -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), GATHER_S)
        await self._send_all()

    async def flush(self) -> None:
        """Send what is left."""
        self._hurry.set()
        if self._sender is not None:
            await asyncio.shield(self._sender)
        await self._send_all()

    async def _send_all(self) -> None:
        while batch := self._take():
            await self._send(*batch)

    def _take(self) -> tuple[str, list[tuple[bytes, Future[None] | None]]] | None:
        """The next batch."""
        with self._lock:
            for what, rows in self._pending.items():
                size = count = 0
                for row, _ in rows[:MAX_BATCH]:
                    if count and size + len(row) > MAX_BATCH_BYTES:
                        break
                    size += len(row)
                    count += 1
                if count:
                    self._pending[what] = rows[count:]
                    return what, rows[:count]
        return None

    async def _send(self, what: str, rows: list[tuple[bytes, Future[None] | None]]) -> None:
        """Send a batch; a failure is logged and given to the futures, and training goes on."""
        futures = [future for _, future in rows if future is not None]
        body = b'{"%b":[%b]}' % (what.encode(), b",".join(row for row, _ in rows))
        try:
            run = (await self._created).model_id
            answer = await self._session.post(address("runs", run, what), body, _Recorded)
        except Exception as error:
            log.warning("%d %s could not be recorded: %s", len(rows), what, error)
            for future in futures:
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)
        else:
            if answer.detail:
                log.warning("%s were recorded, but not as they are: %s", what, answer.detail)
            for future in futures:
                if future.set_running_or_notify_cancel():
                    future.set_result(None)


def _step(given: Any) -> int:
    if isinstance(given, bool) or not hasattr(given, "__index__") or not 0 <= int(given) < 2**63:
        raise ValueError(f"step must be a whole number from 0 up, not {given!r}")
    return int(given)


def _key(key: Any) -> str:
    if not isinstance(key, str) or not 0 < len(key) <= MAX_KEY or "\0" in key:
        raise ValueError(f"a metric's name is a text of 1 to {MAX_KEY} characters, not {key!r}")
    return key


def _number(what: str, value: Any) -> float | str:
    """As JSON has it: what is no number there goes as a text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise unlike(what, "a number", value) from None
    if math.isfinite(number):
        return number
    return "nan" if number != number else "inf" if number > 0 else "-inf"


_FIELDS = frozenset(Rollout.__struct_fields__)
_MAY_BE_EMPTY = {"sequences", "components", "tags"}


def _rollout(position: int, given: Rollout | Mapping[str, Any]) -> dict[str, Any]:
    """The names and values of a rollout; what is not set is not there."""
    where = f"rollouts[{position}]"
    if not isinstance(given, Rollout | Mapping):
        raise unlike(where, "a Rollout or a dict", given)
    row = msgspec.structs.asdict(given) if isinstance(given, Rollout) else dict(given)
    unknown = row.keys() - _FIELDS
    if unknown:
        raise ValueError(
            f"rollout {position} has {', '.join(sorted(unknown))}, which a rollout has not; "
            "put it into data"
        )
    row = {name: value for name, value in row.items() if value is not None}
    group = row.get("group", 0)
    as_whole = isinstance(group, float) and group.is_integer()
    row["group"] = int(group) if as_whole else whole(f"{where}: group", group)
    for name in ("prompt_tokens", "completion_tokens"):
        if name in row:
            check_tokens(row[name], f"{where}: {name}")
            row[name] = [int(token) for token in row[name]]
    if "reward" in row:
        row["reward"] = _number(f"{where}: reward", row["reward"])
    if "sequences" in row:
        row["sequences"] = _sequences(f"{where}: sequences", row["sequences"])
    if "components" in row:
        if not isinstance(row["components"], Mapping):
            raise unlike(f"{where}: components", "numbers by name", row["components"])
        row["components"] = {
            name: _number(f"{where}: components[{name!r}]", value)
            for name, value in row["components"].items()
        }
    if "tags" in row:
        row["tags"] = _texts(f"{where}: tags", row["tags"])
    # what is empty is not sent, either
    return {name: value for name, value in row.items() if name not in _MAY_BE_EMPTY or value}


def _sequences(where: str, given: Any) -> list[str]:
    """The ids of samples, or of what was given as ids."""
    if isinstance(given, Iterable) and not isinstance(given, str):
        given = [getattr(item, "sequence_id", item) for item in given]
    names = _texts(where, given)
    if "" in names:
        raise ValueError(f"{where}[{names.index('')}]: the server has given this sample no id")
    return names


def _texts(where: str, given: Any) -> list[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise unlike(where, "a list", given)
    names = list(given)
    for place, name in enumerate(names):
        check_text(f"{where}[{place}]", name)
    return names


def _plain(value: Any) -> Any:
    """Arrays and their numbers as JSON can hold them."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"JSON cannot hold a {type(value).__name__}")
