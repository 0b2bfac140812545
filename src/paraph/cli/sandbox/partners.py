"""The sandbox's partners: registered, under an agreement that both sides signed, each with a device of its own."""

import asyncio
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paraph.cli.operator import Operator
from paraph.cli.sandbox.folder import write
from paraph.sdk import Partner, SqliteStore
from paraph.sdk.clock import CLOCK

PURPOSE = "recommendations"
VERBS = ("metadata", "read", "write:draft", "delete:via-partner")
REDIRECT_URI = "http://127.0.0.1:8765/callback"
KEYS, FILE = "partner.keys", "partner.json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A partner to be: its short name, and the room that the author opens to it first."""

    slug: str
    room: str


async def admitted(url: str, folder: Path, operator: Operator, wanted: Wanted, clock: Path) -> Path:
    """Register a partner, publish its agreement and its device; returns the file with what its program needs."""
    own = folder / wanted.slug
    own.mkdir(parents=True, mode=0o700)
    passphrase, server_name = secrets.token_urlsafe(18), str(operator.platform["server_name"])
    store = SqliteStore.open(own / KEYS, passphrase=passphrase)
    partner = Partner.create(url, wanted.slug, server_name, store=store)
    try:
        await asyncio.to_thread(operator.register, partner, wanted.slug.title(), [REDIRECT_URI])
        draft = await asyncio.to_thread(lambda: operator.draft(wanted.slug, purposes=[PURPOSE], verbs=list(VERBS)))
        await asyncio.to_thread(operator.publish, partner.sign_document(operator.sign(draft)))
        await partner.publish_device()
    finally:
        await partner.close()
    needs: dict[str, Any] = {
        "url": url,
        "server_name": server_name,
        "slug": wanted.slug,
        "store": str((own / KEYS).resolve()),
        "passphrase": passphrase,
        "purpose": PURPOSE,
        "redirect_uri": REDIRECT_URI,
        CLOCK: str(clock),
    }
    write(own / FILE, needs)
    return own / FILE
