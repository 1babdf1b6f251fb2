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
from typing import Any

import msgspec

from tinsmith import errors
from tinsmith._http import foreign, http1, proxied
from tinsmith._http.outage import Outage
from tinsmith._settings.settings import Settings
from tinsmith._words.mistakes import explained

JSON = "application/json"
REQUEST_TIMEOUT_S = 60.0
MAX_SHORT_REQUESTS = 64
MAX_RETRY_AFTER_S = 60.0
_RETRYABLE = frozenset({408, 429})


@explained
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
    """The way to one server. ``user_agent`` names this package's release.

    The API key goes with every request. Servers offer a short-lived token (JWT) for it, which the
    public client then sends instead; here that would bring nothing. The server looks the key up
    either way, so that revoking it ends its tokens at once, and whoever reads the connection has
    the key from the exchange. It would cost a request at the start and one every few minutes, and
    one more way to fail. So only ``whoami`` asks for a token, for what is written in it.
    """

    def __init__(self, settings: Settings, retry: RetryConfig, user_agent: str) -> None:
        self.settings = settings
        self.retry = retry
        headers = {
            "X-API-Key": settings.api_key,
            "User-Agent": f"{user_agent} Python/{platform.python_version()}",
            "Accept-Encoding": "gzip",
            **settings.headers,
        }
        proxy = not settings.is_loopback and proxied.is_needed(settings.base_url)
        kind = proxied.Proxied if proxy else http1.Direct
        self._backend: http1.Backend = kind(settings.base_url, headers)
        self._short: asyncio.Semaphore | None = None
        self._outage = Outage(settings.base_url)
        self._answered = False  # at all
        self._is_ours = False  # it has spoken the protocol: what else comes is a proxy's
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
        extra_headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a request until it is answered for good or the retry budget is used up.

        Args:
            path: below ``/api/v1/``.
            poll: a long poll: 408 is an answer (not yet).
            extra_headers: sent with this request alone.

        Raises:
            APIStatusError: the server refused; or it failed for the whole budget.
            WrongServerError: what answers there is none of ours.
            APIConnectionError: it could not be reached for the whole budget.
        """
        policy = retry or self.retry
        headers = {"Accept": accept}
        if method != "GET":
            headers["Content-Type"] = content_type
            headers["X-Idempotency-Key"] = str(uuid.uuid4())
        headers.update(extra_headers or {})
        started = time.monotonic()
        attempt = 0
        unanswered = False
        if not self._answered:
            self._outage.may_begin(started, max(policy.budget_s, timeout_s))
        while True:
            pause: float | None = None
            try:
                response = await self._send(method, path, headers, content, timeout_s, poll)
                self._answered = True
                unanswered = unanswered or response.sent_before
                if 200 <= response.status < 300 or (poll and response.status == 408):
                    if self._outage.since is not None:
                        self._outage.over()
                    kind = foreign.kind_of(response)
                    if self._is_ours or kind != "text/html":
                        self._is_ours = True
                        return Reply(response.status, kind, response.body)
                failure: errors.APIError = self._refusal(response, f"{method} /api/v1/{path}")
                failure.may_have_arrived = unanswered
                if response.status not in _RETRYABLE and response.status < 500:
                    raise failure
                pause = _retry_after(response.headers)
                unanswered = unanswered or response.status >= 500
            except errors.APIConnectionError as error:
                failure = error
                failure.may_have_arrived = unanswered = True
            if isinstance(failure, errors.WrongServerError):
                self._outage.over()
                raise failure
            limited = isinstance(failure, errors.RateLimitError)
            budget = policy.rate_limit_budget_s if limited else policy.budget_s
            pause = policy.delay(attempt, pause)
            if time.monotonic() + pause - started > budget:
                self._outage.over()
                raise failure
            if not limited:
                self._outage.goes_on(failure, started, started + budget)
            attempt += 1
            await asyncio.sleep(pause)

    async def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes,
        timeout_s: float,
        poll: bool,
    ) -> http1.Response:
        """One attempt; what goes wrong below becomes an APIConnectionError."""
        if self._closed:
            raise errors.SessionClosedError("this client is closed; make a new ServiceClient")
        server = self.settings.base_url
        if self._short is None:
            self._short = asyncio.Semaphore(MAX_SHORT_REQUESTS)
        try:
            if poll:
                return await self._backend.send(
                    method, f"/api/v1/{path}", headers, content, timeout_s
                )
            async with self._short:
                return await self._backend.send(
                    method, f"/api/v1/{path}", headers, content, timeout_s
                )
        except http1.Timeout as error:
            raise errors.APITimeoutError(f"{server} does not answer: {error}") from error
        except http1.ConnectError as error:
            if isinstance(error, http1.WrongAddress) and not self._is_ours:
                raise errors.WrongServerError(
                    f"{server} cannot be used: {error}. The address comes from base_url= or "
                    "TINSMITH_BASE_URL"
                ) from error
            raise errors.APIConnectionError(
                f"cannot reach {server} ({error}). Is the server running? "
                "Its address comes from base_url= or TINSMITH_BASE_URL"
            ) from error
        except http1.TransportError as error:
            raise errors.APIConnectionError(f"the connection to {server} broke: {error}") from error

    async def close(self) -> None:
        """Close all connections; requests fail from now on."""
        self._closed = True
        self._outage.close()
        await self._backend.close()

    def _refusal(self, response: http1.Response, what: str) -> errors.APIError:
        """The exception for a reply that is no success."""
        server = self.settings.base_url
        wrong = None if self._is_ours else foreign.refusal(response, server, what)
        return wrong or _refusal(response, server, what)


def _refusal(response: http1.Response, server: str, what: str) -> errors.APIStatusError:
    body: Any
    try:
        body = msgspec.json.decode(response.body)
    except msgspec.DecodeError:
        body = response.body[:2000].decode(errors="replace")
    detail = body.get("detail", body) if isinstance(body, dict) else body
    return errors.from_status(
        response.status,
        detail if isinstance(detail, str) else msgspec.json.encode(detail).decode(),
        body=body,
        headers=response.headers,
        what=f"{what} of {server}",
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
