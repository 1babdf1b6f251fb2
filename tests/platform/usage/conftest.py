"""The log of an empty platform."""

from tests.platform.operations.conftest import log

__all__ = ["log"]
