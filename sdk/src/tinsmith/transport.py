"""HTTP to one server: connections, retries, and errors that say what to do.

Everything here runs on the background loop. Short requests and long polls have pools of their own,
so that a thousand waiting polls do not slow down a submission.
"""

from __future__ import annotations

import asyncio
import email.utils
import platform
import random
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tinsmith import errors
from tinsmith.settings import Settings

if TYPE_CHECKING:
    import httpx

JSON = "application/json"
CONNECT_TIMEOUT_S = 5.0
REQUEST_TIMEOUT_S = 60.0
MAX_SHORT_CONNECTIONS = 64
MAX_POLLS_PER_POOL = 32  # the pool looks through all of its connections at every request
MAX_RETRY_AFTER_S = 60.0
_RETRYABLE = frozenset({408, 429})


@dataclass(frozen=True)
class RetryConfig:
    """How long to keep trying while the server fails or cannot be reached.

    Only failures count: a request that the server is working on may take as long as it likes.

    Attributes:
        budget_s: give up after failing for this many seconds in a row; 0 never retries.
        rate_limit_budget_s: the same for "too many requests", where patience is what is asked for.
        first_delay_s: the first pause; doubled every time.
        max_delay_s: the longest pause.
        jitter: share of a pause that is random.
    """

    budget_s: float = 300.0
    rate_limit_budget_s: float = 3600.0
    first_delay_s: float = 0.25
    max_delay_s: float = 10.0
    jitter: float = 0.25

    def delay(self, attempt: int, server_says: float | None = None) -> float:
        """Seconds to pause before attempt ``attempt + 1``."""
        if server_says is not None:
            return server_says
        whole = min(self.first_delay_s * 2.0 ** min(attempt, 30), self.max_delay_s)
        return whole * (1.0 - self.jitter * random.random())


@dataclass(frozen=True)
class Reply:
    """An answer the caller can use: 2xx, or 408 where a poll expects it."""

    status: int
    content_type: str
    body: bytes

    def json(self) -> Any:
        """The body; raises APIResponseValidationError when it is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except msgspec.DecodeError as error:
            raise errors.APIResponseValidationError(
                f"the server answered with something that is no JSON: {error}"
            ) from None


class Transport:
    """The connections to one server. ``user_agent`` names this package's release."""

    def __init__(self, settings: Settings, retry: RetryConfig, user_agent: str) -> None:
        self.settings = settings
        self.retry = retry
        self._headers = {
            "X-API-Key": settings.api_key,
            "User-Agent": f"{user_agent} Python/{platform.python_version()}",
            "Accept-Encoding": "gzip, deflate",
            **settings.headers,
        }
        self._verify: Any = None
        self._short: httpx.AsyncClient | None = None
        self._polls: list[tuple[httpx.AsyncClient, list[int]]] = []
        self._closed = False

    async def call(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        *,
        content_type: str = JSON,
        accept: str = JSON,
        timeout_s: float = REQUEST_TIMEOUT_S,
        retry: RetryConfig | None = None,
        poll: bool = False,
    ) -> Reply:
        """Send a request until it is answered for good or the retry budget is used up.

        Args:
            path: below ``/api/v1/``.
            poll: a long poll: 408 is an answer (not yet), and it has connections of its own.

        Raises:
            APIStatusError: the server refused; or it failed for the whole budget.
            APIConnectionError: it could not be reached for the whole budget.
        """
        policy = retry or self.retry
        url = f"{self.settings.base_url}/api/v1/{path}"
        headers = {"Accept": accept}
        if method != "GET":
            headers["Content-Type"] = content_type
            headers["X-Idempotency-Key"] = str(uuid.uuid4())
        started = time.monotonic()
        attempt = 0
        while True:
            pause: float | None = None
            try:
                response = await self._send(method, url, content, headers, timeout_s, poll)
                if response.is_success or (poll and response.status_code == 408):
                    kind = response.headers.get("content-type", "").partition(";")[0].strip()
                    return Reply(response.status_code, kind, response.content)
                failure: errors.APIError = _refusal(response, f"{method} /api/v1/{path}")
                if response.status_code not in _RETRYABLE and response.status_code < 500:
                    raise failure
                pause = _retry_after(response.headers)
            except errors.APIConnectionError as error:
                failure = error
            limited = isinstance(failure, errors.RateLimitError)
            budget = policy.rate_limit_budget_s if limited else policy.budget_s
            pause = policy.delay(attempt, pause)
            if time.monotonic() + pause - started > budget:
                raise failure
            attempt += 1
            await asyncio.sleep(pause)

    async def _send(
        self,
        method: str,
        url: str,
        content: bytes,
        headers: dict[str, str],
        timeout_s: float,
        poll: bool,
    ) -> httpx.Response:
        """One attempt; what httpx raises becomes an APIConnectionError."""
        import httpx

        if self._closed:
            raise errors.SessionClosedError("this client is closed; make a new ServiceClient")
        timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S, pool=None)
        client, users = self._poll_client() if poll else (self._short_client(), [0])
        users[0] += 1
        try:
            return await client.request(
                method, url, content=content, headers=headers, timeout=timeout
            )
        except httpx.TimeoutException as error:
            raise errors.APITimeoutError(
                f"{self.settings.base_url} did not answer within "
                f"{CONNECT_TIMEOUT_S if isinstance(error, httpx.ConnectTimeout) else timeout_s:g} s"
            ) from error
        except httpx.ConnectError as error:
            raise errors.APIConnectionError(
                f"cannot reach {self.settings.base_url} ({error}). Is the server running? "
                "Its address comes from base_url= or TINSMITH_BASE_URL"
            ) from error
        except httpx.TransportError as error:
            words = str(error) or type(error).__name__
            raise errors.APIConnectionError(
                f"the connection to {self.settings.base_url} broke: {words}"
            ) from error
        finally:
            users[0] -= 1

    def _short_client(self) -> httpx.AsyncClient:
        if self._short is None:
            self._short = self._new_client(MAX_SHORT_CONNECTIONS)
        return self._short

    def _poll_client(self) -> tuple[httpx.AsyncClient, list[int]]:
        """A pool with room, and the number of its polls in a box."""
        for entry in self._polls:
            if entry[1][0] < MAX_POLLS_PER_POOL:
                return entry
        self._polls.append((self._new_client(MAX_POLLS_PER_POOL), [0]))
        return self._polls[-1]

    def _new_client(self, connections: int) -> httpx.AsyncClient:
        import httpx

        if self._verify is None:
            # Loading certificates takes longer than a request: once, and only for https
            https = self.settings.base_url.startswith("https:")
            self._verify = httpx.create_ssl_context() if https else False
        return httpx.AsyncClient(
            headers=self._headers,
            verify=self._verify,
            trust_env=not self.settings.is_loopback,
            limits=httpx.Limits(
                max_connections=connections,
                max_keepalive_connections=connections,
                keepalive_expiry=4.0,
            ),
        )

    async def close(self) -> None:
        """Close all connections; requests fail from now on."""
        self._closed = True
        clients = [entry[0] for entry in self._polls] + ([self._short] if self._short else [])
        self._short, self._polls = None, []
        for client in clients:
            await client.aclose()


def _refusal(response: httpx.Response, what: str) -> errors.APIStatusError:
    """The exception for a reply that is no success."""
    body: Any
    try:
        body = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        body = response.text[:2000]
    detail = body.get("detail", body) if isinstance(body, dict) else body
    return errors.from_status(
        response.status_code,
        detail if isinstance(detail, str) else msgspec.json.encode(detail).decode(),
        body=body,
        headers=response.headers,
        what=what,
    )


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """The pause the server asks for, in seconds, if it is a sensible one."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        elif "retry-after" in headers:
            text = headers["retry-after"]
            if text.replace(".", "", 1).isdigit():
                seconds = float(text)
            else:
                seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        else:
            return None
    except (ValueError, TypeError):
        return None
    return seconds if 0 < seconds <= MAX_RETRY_AFTER_S else None
