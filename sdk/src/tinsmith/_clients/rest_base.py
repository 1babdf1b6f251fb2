"""What clients of the listings have in common: they need a key but no session."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from tinsmith import errors
from tinsmith._http.transport import RetryConfig
from tinsmith._session.futures import APIFuture
from tinsmith._session.session import Session
from tinsmith._settings.settings import resolve
from tinsmith._words.mistakes import Named, explained
from tinsmith.types.results import ParsedCheckpointTinkerPath

T = TypeVar("T")
Self = TypeVar("Self", bound="Rest")


@explained
class Rest(Named):
    """Asks one server, as a ``ServiceClient`` does, but opens no session there.

    Args:
        session: the session of a ``ServiceClient``, whose connections are then used.
        base_url, api_key: as for ``ServiceClient``.
        retry_config: how long to keep trying while the server cannot be reached.
    """

    def __init__(
        self,
        session: Session | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        retry_config: RetryConfig | None = None,
    ) -> None:
        self._own = session is None
        self._session = session or Session(resolve(base_url, api_key), retry=retry_config)

    def close(self) -> None:
        """Close the connections; those of a ``ServiceClient`` stay open with it."""
        if self._own:
            self._session.close("success").result()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._session.settings.base_url}>"

    def get_telemetry(self) -> None:
        """None: this client sends none."""
        return

    def _ask(
        self,
        method: str,
        path: str,
        kind: type[T] | None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> APIFuture[T]:
        return self._session.run(self._session.ask(method, path, kind, body, headers))


def address(*parts: str, **query: object) -> str:
    """``part/part?name=value``; None values are left out. Colons stay, as ids have them."""
    path = "/".join(quote(part, safe=":/") for part in parts)
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def checkpoint_address(tinker_path: str, *rest: str) -> str:
    """The route of a checkpoint; raises ValueError for what is no ``tinker://`` path."""
    parsed = ParsedCheckpointTinkerPath.from_tinker_path(tinker_path)
    return address(
        "training_runs", parsed.training_run_id, "checkpoints", parsed.checkpoint_id, *rest
    )


def unlike(what: str, problem: str) -> errors.APIResponseValidationError:
    """The failure of an answer that does not say what it should."""
    return errors.APIResponseValidationError(f"the server's answer to {what}: {problem}")
