"""Byte ranges (RFC 9110, 14): how a download that was cut off goes on where it was."""

from __future__ import annotations

import re

_ONE = re.compile(r"\s*bytes\s*=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*", re.ASCII)


class Unsatisfiable(Exception):
    """The range lies outside the file."""


def choose(range_header: str, if_range: str, *, size: int, version: str) -> tuple[int, int] | None:
    """(start, end) of the bytes asked for, the end not included; None: all of them.

    What is no single range is ignored, as the standard has it; so is one of another version.

    Args:
        if_range: the version that the client has the beginning of; empty: it does not say.

    Raises:
        Unsatisfiable: there are no such bytes.
    """
    found = _ONE.fullmatch(range_header)
    if found is None or (if_range and if_range != version):
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= end:
        raise Unsatisfiable
    return start, end
