"""Whether one may use a server, under the public client's names."""

from __future__ import annotations

from tinsmith._http.transport import RetryConfig
from tinsmith._settings.settings import resolve
from tinsmith.errors import TinsmithError

__all__ = ["get_tinker_token", "raise_if_tinker_not_accessible", "tinker_has_credentials"]


def get_tinker_token() -> str | None:
    """The API key that clients would use, None when there is none. Nothing is sent."""
    try:
        return resolve().api_key
    except (TinsmithError, OSError):
        return None


def tinker_has_credentials() -> bool:
    """Whether there is an API key to use. Nothing is sent."""
    return get_tinker_token() is not None


def raise_if_tinker_not_accessible() -> None:
    """Ask the server once whether the key is good.

    Raises:
        ConfigurationError: there is no key. AuthenticationError: it is not good.
        APIConnectionError: the server cannot be reached.
    """
    from tinsmith._clients.rest import RestClient

    with RestClient(retry_config=RetryConfig(budget_s=0.0, rate_limit_budget_s=0.0)) as rest:
        rest.get_server_capabilities().result()
