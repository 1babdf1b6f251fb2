"""Values as texts, such that values that are equal in Python have equal texts.

What a program answers is compared as such a text: the jail makes it of what the program gives (this
file's own text runs there), we make it of what is right, and nothing that comes out of the jail is
ever read as anything but text.
"""

MYPY = False  # true to type checkers; typing is slow to import, once for each program
if MYPY:
    from typing import Any


def text_of(value: "Any", depth: int = 0) -> str:
    """A value as text; what is made of other things than Python's own types equals nothing.

    >>> text_of([1, 2.0, True, "a"]) == text_of([1.0, 2, 1, "a"])
    True
    >>> text_of((1, 2)) == text_of([1, 2])
    False
    """
    if depth > 50:
        return "?too deep"
    kind = type(value)
    if kind in (int, bool, float):
        whole = kind is float and value == value and value not in (1e400, -1e400) and value % 1 == 0
        number = int(value) if whole or kind is not float else value
        return hex(number) if type(number) is int else repr(number)
    if kind in (str, bytes, type(None), complex):
        return repr(value)
    if kind in (list, tuple):
        inner = ",".join([text_of(one, depth + 1) for one in value])
        return f"[{inner}]" if kind is list else f"({inner})"
    if kind in (set, frozenset):
        return "{" + ",".join(sorted([text_of(one, depth + 1) for one in value])) + "}"
    if isinstance(value, dict):
        rows = [text_of(k, depth + 1) + ":" + text_of(v, depth + 1) for k, v in value.items()]
        return "{" + ",".join(sorted(rows)) + ":}"
    return f"?{kind.__name__}"
