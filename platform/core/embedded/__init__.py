"""PostgreSQL and Valkey as child processes, for machines that have neither.

`DataFolder` is one installation's place on disk and its lock, `PostgresServer` and `ValkeyServer`
are the two servers, `Supervisor` keeps children running. Nothing here imports Django.
"""

from core.embedded.folder import DataFolder, FolderInUse
from core.embedded.postgres import PostgresServer
from core.embedded.processes import EmbeddedError
from core.embedded.supervisor import Child, Supervisor
from core.embedded.valkey import ValkeyServer

__all__ = [
    "Child",
    "DataFolder",
    "EmbeddedError",
    "FolderInUse",
    "PostgresServer",
    "Supervisor",
    "ValkeyServer",
]
