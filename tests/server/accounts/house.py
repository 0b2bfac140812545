"""A small platform in one process: a real database, a few rooms, real HTTP without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher

from paraph.server.accounts import http as accounts_http
from paraph.server.accounts.moderation import check_standing
from paraph.server.accounts.passwords import Passwords
from paraph.server.accounts.service import Accounts
from paraph.server.http import Access, Endpoint
from paraph.server.http.asgi import Application
from paraph.server.http.endpoint import OperatorPrincipal
from paraph.server.http.limits import Limiter
from paraph.server.storage import Database
from tests.support.databases import databases, open_test_database

PASSWORD = "correct horse battery"
OPERATOR = {"Authorization": "Bearer the-operator"}
LOGIN = "/_matrix/client/v3/login"
REGISTER = "/_matrix/client/v3/register"
WHOAMI = "/_matrix/client/v3/account/whoami"
ADMIN = "/_paraph/v1/admin"
DUMMY = {"type": "m.login.dummy"}


def cheap() -> PasswordHasher:
    """argon2id with parameters that a test can afford."""
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@dataclass
class Clock:
    """Time that stands still until a test moves it (ms)."""

    now: int = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now

    def seconds(self) -> float:
        return self.now / 1000


class _Nothing:
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


async def _operator(token: str) -> OperatorPrincipal | None:
    return OperatorPrincipal() if token == "the-operator" else None


@dataclass
class House:
    """The parts that tests reach for."""

    database: Database
    accounts: Accounts
    clock: Clock
    limiter: Limiter
    path: Path
    client: httpx.AsyncClient = field(init=False)

    def open(self, more: Sequence[Endpoint] = ()) -> None:
        """Serve the endpoints of accounts and of `more`."""
        self.client = self.client_at("192.0.2.1", more)

    def client_at(self, address: str, more: Sequence[Endpoint] = ()) -> httpx.AsyncClient:
        """A client that calls from this address."""
        authenticators: dict[Access, Any] = {
            Access.PERSON: self.accounts.authenticate,
            Access.OPERATOR: _operator,
            Access.PERSON_OR_OPERATOR: self._either,
        }
        table = [*accounts_http.endpoints(self.accounts), *more]
        application = Application(table, authenticators, self.limiter, _Nothing(), moderate=check_standing)
        transport = httpx.ASGITransport(application, client=(address, 4711))
        return httpx.AsyncClient(transport=transport, base_url="http://test")

    async def _either(self, token: str) -> Any:
        return await _operator(token) or await self.accounts.authenticate(token)

    async def sign_up(self, name: str, **extra: Any) -> dict[str, str]:
        """Register a person; returns user id, access token and device id."""
        answer = await self.client.post(REGISTER, json={"username": name, "password": PASSWORD, "auth": DUMMY, **extra})
        assert answer.status_code == 200, answer.text
        found: dict[str, str] = answer.json()
        return found

    async def log_in(self, name: str, password: str = PASSWORD, **extra: Any) -> httpx.Response:
        """A login by password."""
        identifier = {"type": "m.id.user", "user": name}
        body = {"type": "m.login.password", "identifier": identifier, "password": password, **extra}
        return await self.client.post(LOGIN, json=body)

    async def who(self, token: str) -> httpx.Response:
        """Whose token is this?"""
        return await self.client.get(WHOAMI, headers=bearer(token))


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def house(
    path: Path,
    *,
    registration: str = "open",
    limits: bool = False,
    rooms: Sequence[str] = ("paraph.server.accounts",),
    passwords: Callable[[], Passwords] = lambda: Passwords(cheap()),
) -> AsyncIterator[House]:
    """A platform on the database file at `path`; closed, with everything durable, at the end."""
    database, clock = await open_test_database(path, rooms), Clock()
    limiter = Limiter(clock.seconds, enabled=limits)
    accounts = Accounts(database, limiter, clock, server_name="test", registration=registration, passwords=passwords())
    built = House(database, accounts, clock, limiter, path)
    built.open()
    try:
        yield built
    finally:
        await built.client.aclose()
        await accounts.close()
        await database.close()


def refused(answer: httpx.Response, status: int, errcode: str) -> None:
    """The answer is this Matrix error, with a sentence for a person."""
    assert (answer.status_code, answer.json().get("errcode")) == (status, errcode), answer.text
    assert answer.json()["error"]


def stored_bytes(path: Path) -> bytes:
    """Every byte of the database as it is stored."""
    return databases().stored(path)


async def count(database: Database, table: str) -> int:
    """How many rows a table has."""
    row = await database.read(lambda tx: tx.row(f"SELECT COUNT(*) FROM {table}"))
    assert row is not None
    found: int = row[0]
    return found
