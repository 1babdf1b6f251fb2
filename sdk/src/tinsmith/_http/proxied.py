"""Requests through the proxy that the environment names, by httpx, which knows about proxies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from tinsmith._http import http1

if TYPE_CHECKING:
    import httpx


def is_needed(base_url: str) -> bool:
    """Whether the environment (HTTPS_PROXY, ALL_PROXY, NO_PROXY, …) names a proxy to the server."""
    parts = urlsplit(base_url)
    proxies = getproxies()
    named = proxies.get(parts.scheme) or proxies.get("all")
    return bool(named) and not proxy_bypass(parts.hostname or "")


class Proxied:
    """Like ``http1.Direct``, through a proxy."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        """``headers`` go with every request."""
        self._base_url = base_url
        self._headers = dict(headers)
        self._client: httpx.AsyncClient | None = None

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes,
        timeout_s: float,
    ) -> http1.Response:
        """One attempt; raises http1.TransportError."""
        import httpx

        if self._client is None:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
            self._client = httpx.AsyncClient(headers=self._headers, limits=limits)
        timeout = httpx.Timeout(timeout_s, connect=http1.CONNECT_TIMEOUT_S, pool=None)
        try:
            reply = await self._client.request(
                method,
                self._base_url + path,
                content=content,
                headers=dict(headers),
                timeout=timeout,
            )
        except httpx.TimeoutException as error:
            raise http1.Timeout(f"no answer within {timeout_s:g} s") from error
        except (httpx.ConnectError, httpx.ProxyError) as error:
            raise http1.ConnectError(f"through the proxy: {error}") from error
        except httpx.TransportError as error:
            raise http1.TransportError(str(error) or type(error).__name__) from error
        found = {name.lower(): value for name, value in reply.headers.items()}
        return http1.Response(reply.status_code, found, reply.content)

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()
