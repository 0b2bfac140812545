"""Where everything durable goes: one `Database`, group commit, versioned migrations."""

from paraph.server.storage.database import (
    Database,
    DatabaseBusy,
    NotDurable,
    QueueFull,
    Row,
    StorageError,
    Transaction,
)
from paraph.server.storage.migrations import MigrationError, migrate
from paraph.server.storage.queries import Sql
from paraph.server.storage.queries import load as load_sql

__all__ = [
    "Database",
    "DatabaseBusy",
    "MigrationError",
    "NotDurable",
    "QueueFull",
    "Row",
    "Sql",
    "StorageError",
    "Transaction",
    "load_sql",
    "migrate",
]
