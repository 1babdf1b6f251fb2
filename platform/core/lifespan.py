"""What the web process opens before its first request and closes after its last."""

from core import database, hub


async def startup() -> None:
    """Open the database pool: a web process that cannot reach PostgreSQL should say so at once."""
    async with database.connection() as conn:
        await conn.execute("SELECT 1")


async def shutdown() -> None:
    """Stop listening, then close the pool."""
    await hub.close()
    await database.close_pool()
