"""The log over HTTP (docs/protocol.md section 5) and a person's own entries."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Annotated

import msgspec

from paraph.server.http import Access, Endpoint, MatrixError, Reply, Request
from paraph.server.ledger import http_operator, policies
from paraph.server.ledger.disclosure import Disclosure
from paraph.server.ledger.errors import MapNotKept, TooManyLeaves
from paraph.server.ledger.files import CHECKPOINT
from paraph.server.ledger.label_map import KeyAnswer
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database
from paraph.tlog.tiles import MalformedPath, parse_path

MAX_TIMEOUT_MS = 10_000
MAX_ENTRIES = 500
MAX_KEYS = 64
"""Keys of the map that one request may ask for."""
_HASH = re.compile(r"[0-9a-f]{64}")
# A tile's path has one segment for each three digits of its index, and one more when it is partial: these depths
# reach a thousand million tiles.
_TILE_PATHS = tuple("/log/tile/{level}/" + "/".join(f"{{n{at}}}" for at in range(depth)) for depth in range(1, 5))
_TEXT, _BINARY = b"text/plain; charset=utf-8", b"application/octet-stream"
_FRESH = ((b"cache-control", b"no-cache"),)
_IMMUTABLE = ((b"cache-control", b"public, max-age=31536000, immutable"),)


MAX_MAP_BODY = 16 * 1024


class MapBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /log/map."""

    keys: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]], msgspec.Meta(min_length=1, max_length=MAX_KEYS)
    ]
    size: Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)] | None = None


def endpoints(ledger: Ledger, database: Database) -> list[Endpoint]:
    """The endpoints of this room."""
    handlers = Handlers(ledger, database)
    return [
        Endpoint("GET", "/log/checkpoint", Access.PUBLIC, handlers.checkpoint, "The newest signed checkpoint", "log"),
        *(
            Endpoint("GET", path, Access.PUBLIC, handlers.tile, "A tile or entry bundle (C2SP tlog-tiles)", "log")
            for path in _TILE_PATHS
        ),
        Endpoint(
            "GET",
            "/log/policies/{number}",
            Access.PUBLIC,
            handlers.policy,
            "A change of the witness policy, signed by the log and endorsed by the old policy's quorum",
            "log",
        ),
        Endpoint(
            "GET",
            "/_paraph/v1/log/leaf/{hash}",
            Access.PUBLIC,
            handlers.leaf,
            "Where a leaf is in the log, once it is under a published checkpoint",
            "log",
        ),
        Endpoint(
            "GET",
            "/_paraph/v1/log/map/{key}",
            Access.PUBLIC,
            handlers.map,
            "All that the log holds under a key of the verifiable map, or that it holds nothing, with the proof",
            "log",
        ),
        Endpoint(
            "POST",
            "/_paraph/v1/log/map",
            Access.PUBLIC,
            handlers.maps,
            "The same for up to 64 keys at once, all under one tree",
            "log",
            max_body=MAX_MAP_BODY,
        ),
        Endpoint("GET", "/_paraph/v1/entries", Access.PERSON, handlers.entries, "A person's own entries with openings"),
        *http_operator.endpoints(Disclosure(ledger, database)),
    ]


class Handlers:
    """Parse, ask the ledger, render."""

    def __init__(self, ledger: Ledger, database: Database) -> None:
        self._ledger = ledger
        self._database = database

    async def checkpoint(self, request: Request) -> Reply:
        """The newest signed checkpoint; a cache asks again each time, since its age counts."""
        data = await asyncio.to_thread(self._ledger.tile_file, CHECKPOINT)
        if data is None:
            raise MatrixError(404, "M_NOT_FOUND", "nothing is published yet")
        return _unless_known(request, sha256(data).hexdigest()[:32], Reply(200, data, _TEXT, _FRESH))

    async def tile(self, request: Request) -> Reply:
        """A tile or bundle. The path is parsed as a tile's and nothing else, so it cannot lead elsewhere."""
        path = "tile/" + "/".join(request.params.values())
        try:
            tile = parse_path(path)
        except MalformedPath as error:
            raise MatrixError(404, "M_NOT_FOUND", str(error)) from None
        data = await asyncio.to_thread(self._ledger.tile_file, tile.path)
        if data is None:
            raise MatrixError(404, "M_NOT_FOUND", f"{tile.path} is not published")
        return _unless_known(request, tile.path, Reply(200, data, _BINARY, _IMMUTABLE))

    async def policy(self, request: Request) -> Reply:
        """A change of the witness policy, by its number; those to come are not there yet, so 404 is not kept."""
        path = policies.path_of(request.params["number"])
        data = None if path is None else await asyncio.to_thread(self._ledger.tile_file, path)
        if data is None:
            raise MatrixError(404, "M_NOT_FOUND", "no such change of the policy")
        return Reply(200, data, _TEXT, _IMMUTABLE)

    async def leaf(self, request: Request) -> Reply:
        """Index and size of a leaf; waits up to `timeout` milliseconds for a leaf that is recorded already."""
        text = request.params["hash"]
        if not _HASH.fullmatch(text):
            raise MatrixError(400, "M_INVALID_PARAM", "a leaf hash is 64 lower-case hex digits")
        found = await self._ledger.integrated(bytes.fromhex(text), request.query_int("timeout", 0, 0, MAX_TIMEOUT_MS))
        if found is None:
            raise MatrixError(404, "ORG_PARAPH_NOT_INTEGRATED", "no published checkpoint covers this leaf")
        return Reply.json({"leaf_index": found[0], "size": found[1]})

    async def map(self, request: Request) -> Reply:
        """What the map of one signed tree says about a key; `size` names the tree, else it is the newest published."""
        text = request.params["key"]
        if not _HASH.fullmatch(text):
            raise MatrixError(400, "M_INVALID_PARAM", "a key of the map is 64 lower-case hex digits")
        size = request.query_int("size", 0, 1, 2**53 - 1) or None
        [answer] = await self._answers([bytes.fromhex(text)], size)
        return Reply.json(answer.rendered)

    async def maps(self, request: Request) -> Reply:
        """What the map of one signed tree says about each of some keys."""
        body = request.json(MapBody)
        answers = await self._answers([bytes.fromhex(key) for key in body.keys], body.size)
        return Reply.json({**answers[0].tree, "answers": [answer.statement for answer in answers]})

    async def _answers(self, keys: Sequence[bytes], size: int | None) -> list[KeyAnswer]:
        try:
            return await self._ledger.map_answers(keys, size)
        except MapNotKept as error:
            raise MatrixError(404, "ORG_PARAPH_MAP_NOT_KEPT", f"{error}; ask under the newest checkpoint") from None
        except TooManyLeaves as error:
            raise MatrixError(413, "M_TOO_LARGE", f"{error}; ask for fewer keys at a time") from None

    async def entries(self, request: Request) -> Reply:
        """The caller's entries from `from` on; `next` is the `from` that continues."""
        person = request.person.user_id
        start = request.query_int("from", 0, 0, 2**53 - 1)
        limit = request.query_int("limit", 100, 1, MAX_ENTRIES)
        found = await self._database.read(lambda tx: self._ledger.entries(tx, person, start, limit))
        following = found[-1].seq + 1 if found else start
        return Reply.json({"entries": [recorded.rendered for recorded in found], "next": following})


def _unless_known(request: Request, tag: str, reply: Reply) -> Reply:
    """The reply with an entity tag; 304 without a body where the caller has it already (RFC 9110 section 13.1.2).

    A tile never changes its bytes, so its path is its tag.
    """
    etag = f'"{tag}"'
    known = request.header(b"if-none-match")
    headers = (*reply.headers, (b"etag", etag.encode()))
    if known is not None and (known.strip() == "*" or etag in (one.strip() for one in known.split(","))):
        return Reply(304, b"", reply.content_type, headers)
    return replace(reply, headers=headers)
