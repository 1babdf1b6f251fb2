"""What a command works with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tinsmith._settings.settings import Settings, resolve
from tinsmith.cli.output import Output

if TYPE_CHECKING:
    from tinsmith._clients.rest import RestClient


class Command:
    """What a command works with: its arguments, clients made when needed, and its output."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.out = Output(arguments.json)
        self._rest: RestClient | None = None

    @property
    def settings(self) -> Settings:
        """The server and key to use."""
        return resolve(self.arguments.base_url, self.arguments.api_key)

    @property
    def rest(self) -> RestClient:
        """The client, made when it is first needed."""
        if self._rest is None:
            from tinsmith._clients.rest import RestClient
            from tinsmith._http.transport import RetryConfig

            # People do not wait five minutes to hear that a server is down
            seconds = self.arguments.retry_seconds
            patience = RetryConfig(budget_s=seconds, rate_limit_budget_s=max(seconds, 60.0))
            where = self.settings
            self._rest = RestClient(
                base_url=where.base_url, api_key=where.api_key, retry_config=patience
            )
        return self._rest

    def close(self) -> None:
        """Close what was opened."""
        if self._rest is not None:
            self._rest.close()
