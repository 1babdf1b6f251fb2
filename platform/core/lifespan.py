"""What the web process opens before its first request and closes after its last."""

from core import database, hub


async def startup() -> None:
    """Open the parts; a web process that cannot reach PostgreSQL should say so at once."""
    await database.startup()
    await hub.startup()


async def shutdown() -> None:
    """Close the parts in the reverse order."""
    await hub.shutdown()
    await database.shutdown()
