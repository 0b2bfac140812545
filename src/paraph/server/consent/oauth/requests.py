"""Pushed authorization requests as they are kept, and the tables they are kept in."""

import hashlib
import hmac
from dataclasses import asdict, dataclass

from paraph.protocol.authorization import InboxDetails
from paraph.protocol.base64 import b64url
from paraph.protocol.canonical import decode, encode
from paraph.protocol.documents import parse
from paraph.server.consent.oauth import token_store
from paraph.server.storage import Row, Transaction, load_sql

sql = load_sql("paraph.server.consent")

URN = "urn:ietf:params:oauth:request_uri:"
PUSHED, OPEN, GRANTED, DECLINED = "pushed", "open", "granted", "declined"
CODE_LIFETIME_MS = 60_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What a partner pushed: where the answer goes, and what is asked for. `jkt` is the key its tokens are bound to."""

    id: str
    partner: str
    redirect_uri: str
    state: str | None
    code_challenge: str
    jkt: str
    details: InboxDetails
    expires: int


@dataclass(frozen=True, slots=True)
class Request:
    """A pushed request and what became of it.

    `person` is who answers it; `redeemed` when its code was used (ms). The code itself is never kept.
    """

    asked: Asked
    status: str
    person: str | None
    grant_id: str | None
    code_hash: bytes | None
    code_expires: int | None
    redeemed: int | None


def add(tx: Transaction, asked: Asked) -> None:
    """Keep a pushed request."""
    tx.run(sql.add_request, asdict(asked) | {"details": encode(asked.details.document).decode()})


def find(tx: Transaction, request_id: str) -> Request | None:
    """A request by its id."""
    row = tx.row(sql.request, {"id": request_id})
    return None if row is None else _request(row)


def find_by_code(tx: Transaction, code: str) -> Request | None:
    """The request that a code answers."""
    row = tx.row(sql.request_by_code, {"code_hash": _hash(code)})
    return None if row is None else _request(row)


def open_(tx: Transaction, request_id: str, expires: int) -> None:
    """Somebody looks at it: from now on it lives as long as a person needs to read it."""
    tx.run(sql.open_request, {"id": request_id, "expires": expires})


def claim(tx: Transaction, request_id: str, person: str) -> None:
    """Let this person answer it, and nobody else."""
    tx.run(sql.claim_request, {"id": request_id, "person": person})


def answer(tx: Transaction, request_id: str, status: str, grant_id: str | None, expires: int) -> None:
    """Keep the answer."""
    params = {"id": request_id, "status": status, "grant_id": grant_id, "expires": expires}
    tx.run(sql.answer_request, params)


def redeem(tx: Transaction, request_id: str, at: int, until: int) -> None:
    """The code was used; the request is remembered `until` then, to know the code if it is used again."""
    tx.run(sql.redeem, {"id": request_id, "redeemed": at, "expires": until})


def code(tx: Transaction, request: Request, now: int) -> str:
    """The request's code; while one is good, the same, and another after that. It is made anew, never read."""
    expires = request.code_expires
    if expires is None or expires <= now:
        expires = now + CODE_LIFETIME_MS
    key = token_store.secret(tx, "authorization-code")
    made = b64url(hmac.digest(key, f"{request.asked.id} {expires}".encode(), "sha256"))
    tx.run(sql.put_code, {"id": request.asked.id, "code_hash": _hash(made), "code_expires": expires})
    return made


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _request(row: Row) -> Request:
    (id_, partner, redirect_uri, state, challenge, jkt, details, expires, *rest) = row
    status, person, grant_id, code_hash, code_expires, redeemed = rest
    asked = Asked(
        id_, partner, redirect_uri, state, challenge, jkt, parse(InboxDetails, decode(details.encode())), expires
    )
    hash_ = None if code_hash is None else bytes(code_hash)
    return Request(asked, status, person, grant_id, hash_, code_expires, redeemed)
