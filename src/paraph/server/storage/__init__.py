"""Where everything durable goes: one `Database`, group commit, versioned migrations."""

from paraph.server.storage.database import (
    Announcement,
    CommitUnknown,
    Database,
    DatabaseBusy,
    NotDurable,
    QueueFull,
    Row,
    StorageError,
    Transaction,
)
from paraph.server.storage.guard import guarding
from paraph.server.storage.migrations import MigrationError, migrate
from paraph.server.storage.queries import Sql
from paraph.server.storage.queries import load as load_sql

__all__ = [
    "Announcement",
    "CommitUnknown",
    "Database",
    "DatabaseBusy",
    "MigrationError",
    "NotDurable",
    "QueueFull",
    "Row",
    "Sql",
    "StorageError",
    "Transaction",
    "guarding",
    "load_sql",
    "migrate",
]
