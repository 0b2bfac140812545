"""The strongest reader we can hand a partner: the whole database, and every key the partner ever received.

Nothing here knows the server's tables. Every text and every blob of every row is searched for Megolm ciphertexts and
each is tried with each key, so that what stays closed is closed by keys and not by a check in the server.
"""

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import vodozemac

from paraph.cli.demo.evidence import Opened
from paraph.cli.demo.liar import Forward
from paraph.cli.demo.people import Cast
from paraph.sdk import Partner, Person
from paraph.sdk.transport import CLIENT, path

MEGOLM = "m.megolm.v1.aes-sha2"


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """One encrypted message as the database holds it."""

    session_id: str
    ciphertext: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What a platform has stored: every SQLite file under `data`, and the PostgreSQL of its setting `database`."""

    data: Path
    database: str = "sqlite"

    def values(self) -> Iterator[str]:
        """Every text of every row of every table; blobs are read as UTF-8 where they are."""
        for file in sorted(self.data.glob("**/*.db")):
            with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
                yield from _values(connection, "SELECT name FROM sqlite_master WHERE type = 'table'")
        if self.database != "sqlite":
            with psycopg.connect(self.database) as server:
                yield from _values(server, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")


def _values(connection: Any, tables: str) -> Iterator[str]:
    for (name,) in connection.execute(tables).fetchall():
        for row in connection.execute(f'SELECT * FROM "{name}"'):  # noqa: S608 (names come from the schema)
            yield from _texts(row)


def _texts(row: tuple[Any, ...]) -> Iterator[str]:
    for value in row:
        if isinstance(value, str):
            yield value
        elif isinstance(value, bytes):
            yield value.decode(errors="replace")


def ciphertexts(stored: Stored) -> list[Ciphertext]:
    """Every distinct Megolm ciphertext that is stored."""
    found: dict[Ciphertext, None] = {}
    for text in stored.values():
        if MEGOLM in text:
            try:
                found.update(dict.fromkeys(_encrypted(json.loads(text))))
            except ValueError:
                continue
    return list(found)


def _encrypted(value: Any) -> Iterator[Ciphertext]:
    if isinstance(value, list):
        for item in value:
            yield from _encrypted(item)
    elif isinstance(value, dict):
        if value.get("algorithm") == MEGOLM and isinstance(value.get("ciphertext"), str):
            yield Ciphertext(str(value.get("session_id")), value["ciphertext"])
        for item in value.values():
            yield from _encrypted(item)


def open_all(messages: Iterable[Ciphertext], keys: Iterable[str]) -> list[str]:
    """The bodies that `keys` (exported Megolm session keys, base64) open; every key is tried on every message."""
    sessions = [vodozemac.InboundGroupSession.import_session(vodozemac.ExportedSessionKey(key)) for key in keys]
    return [body for message in messages for body in [_open(message, sessions)] if body is not None]


def _open(message: Ciphertext, sessions: list[vodozemac.InboundGroupSession]) -> str | None:
    megolm = vodozemac.MegolmMessage.from_base64(message.ciphertext)
    for session in sessions:
        try:
            plaintext = session.decrypt(megolm).plaintext
        except vodozemac.MegolmDecryptionException:
            continue
        return str(json.loads(plaintext)["content"].get("body", ""))
    return None


def plaintexts(stored: Stored, bodies: Iterable[str]) -> list[str]:
    """Which of `bodies` stand readable in what is stored: what any holder of the database can read."""
    haystack = "\n".join(_unescaped(text) for text in stored.values())
    return [body for body in bodies if body in haystack]


def _unescaped(text: str) -> str:
    return text.replace('\\"', '"')


def opened_by(reader: Partner | Person, stored: Stored, texts: Sequence[str]) -> set[str]:
    """Texts that can be had from the database: what the reader's keys open, and which of `texts` stand in clear."""
    keys = [str(session["session_key"]) for session in reader.engine.inbound.export()]
    return {*open_all(ciphertexts(stored), keys), *plaintexts(stored, texts)}


async def sent_as(cast: Cast, room_id: str, text: str) -> Opened:
    """Whether somebody with the author's token sends in her name where messages are not encrypted.

    That is how write access to an inbox of the old kind is given. Counted where it arrives: as hers.
    """
    heard: list[httpx.Request] = []

    async def listens(request: httpx.Request, forward: Forward) -> httpx.Response:
        heard.append(request)
        return await forward(request)

    cast.hands.lie = listens
    await cast.author.sync()
    url = heard[-1].url.join(path(CLIENT + "/rooms/{}/send/m.room.message/{}", room_id, "by-the-partner"))
    async with httpx.AsyncClient(headers={"authorization": heard[-1].headers["authorization"]}) as partner:
        await partner.put(url, json={"msgtype": "m.text", "body": text})
    messages = await cast.correspondent.messages(room_id)
    return Opened(sum(m.body == text and m.sender == cast.author.user_id for m in messages), 1)
