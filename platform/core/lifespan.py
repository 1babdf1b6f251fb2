"""What the web process opens before its first request and closes after its last.

A part is a module with `async def startup()` and `async def shutdown()`. Parts start in the order
given here and stop in the reverse order.
"""

import logging
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

log = logging.getLogger(__name__)

PARTS = ("core.database", "core.hub")


def _parts() -> list[ModuleType]:
    modules = [import_module(name) for name in PARTS if find_spec(name)]
    return [module for module in modules if hasattr(module, "startup")]


async def startup() -> None:
    """Open every part; when one fails, close those already open and raise."""
    opened: list[ModuleType] = []
    try:
        for part in _parts():
            opened.append(part)
            await part.startup()
    except BaseException:
        await _close(opened)
        raise


async def shutdown() -> None:
    """Close every part, whatever the others do."""
    await _close(_parts())


async def _close(parts: list[ModuleType]) -> None:
    for part in reversed(parts):
        try:
            await part.shutdown()
        except Exception:
            log.exception("%s did not close", part.__name__)
