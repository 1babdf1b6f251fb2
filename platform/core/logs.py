"""Log lines: each entry is one line, and nothing in it can pass for another."""

from __future__ import annotations

import logging
import re
from types import TracebackType

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_Caught = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def escape(text: str) -> str:
    """`text` with control characters as escapes: what users send is in messages and paths."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


class OneLineFormatter(logging.Formatter):
    """Entries of one line; a traceback's lines are set in, whatever its error says."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """The line."""
        return escape(super().formatMessage(record))

    def formatException(self, ei: _Caught) -> str:  # noqa: N802
        """The traceback below it."""
        return _set_in(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802
        """The stack below it."""
        return _set_in(super().formatStack(stack_info))


def _set_in(text: str) -> str:
    return "\n".join("    " + escape(line) for line in text.split("\n"))


class NoTracebacksOfStrangers(logging.Filter):
    """What Django refuses of a request, such as its host name, is told without a traceback.

    Anybody can cause it, and the log has room for so much only.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let it through, shortened."""
        if record.name.startswith("django.security"):
            record.exc_info = record.exc_text = None
        return True
