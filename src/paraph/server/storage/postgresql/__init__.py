"""PostgreSQL behind `Database`, for several server processes on one database."""

from paraph.server.storage.postgresql.database import PostgresqlDatabase

__all__ = ["PostgresqlDatabase"]
