"""The tables of accounts: people, their sessions, registration tokens."""

from collections.abc import Iterable

from paraph.server.accounts.model import Account, Session
from paraph.server.http import PersonPrincipal
from paraph.server.storage import Transaction, load_sql

# Both dialects share every statement of this room.
sql = load_sql("paraph.server.accounts", "sqlite")


def add_account(tx: Transaction, user_id: str, password_hash: str, now: int) -> bool:
    """Make an account; False if the name is taken."""
    return tx.run(sql.add_account, {"user_id": user_id, "password_hash": password_hash, "created": now}) == 1


def exists(tx: Transaction, user_id: str) -> bool:
    """Whether there is such an account."""
    return tx.row(sql.account_exists, {"user_id": user_id}) is not None


def password_hash(tx: Transaction, user_id: str) -> str | None:
    """The password's stored hash, or None if there is no such account."""
    row = tx.row(sql.password_hash, {"user_id": user_id})
    return None if row is None else row[0]


def set_password_hash(tx: Transaction, user_id: str, password_hash: str) -> None:
    """Replace the password's hash."""
    tx.run(sql.set_password_hash, {"user_id": user_id, "password_hash": password_hash})


def accounts(tx: Transaction, after: str, limit: int) -> list[Account]:
    """Accounts whose user id sorts after `after`, in order."""
    return [Account(*row) for row in tx.rows(sql.accounts_after, {"after": after, "limit": limit})]


def add_session(tx: Transaction, token_hash: bytes, user_id: str, device_id: str, now: int) -> None:
    """Begin a session; the device must have none."""
    tx.run(sql.add_session, {"token_hash": token_hash, "user_id": user_id, "device_id": device_id, "now": now})


def session(tx: Transaction, token_hash: bytes) -> Session | None:
    """The session of a token, or None."""
    row = tx.row(sql.session, {"token_hash": token_hash})
    return None if row is None else Session(PersonPrincipal(row[0], row[1]), row[2])


def take_sessions(tx: Transaction, user_id: str, device_ids: Iterable[str]) -> list[bytes]:
    """End the sessions of these devices; returns the hashes of the tokens that died."""
    return [
        bytes(row[0])
        for device_id in device_ids
        for row in tx.rows(sql.take_session, {"user_id": user_id, "device_id": device_id})
    ]


def session_devices(tx: Transaction, user_id: str) -> list[str]:
    """The devices that are logged in."""
    return [row[0] for row in tx.rows(sql.session_devices, {"user_id": user_id})]


def set_last_seen(tx: Transaction, token_hash: bytes, now: int) -> None:
    """Note that a token was used; nothing if it is gone."""
    tx.run(sql.set_last_seen, {"token_hash": token_hash, "now": now})


def last_seen(tx: Transaction, user_id: str) -> dict[str, int]:
    """When each logged-in device was last seen (ms)."""
    return {row[0]: row[1] for row in tx.rows(sql.last_seen, {"user_id": user_id})}


def add_registration_token(tx: Transaction, token_hash: bytes, uses: int, now: int) -> None:
    """Keep a registration token."""
    tx.run(sql.add_registration_token, {"token_hash": token_hash, "uses": uses, "created": now})


def registration_token_is_valid(tx: Transaction, token_hash: bytes) -> bool:
    """Whether the token is good for one more account."""
    return tx.row(sql.registration_token_is_valid, {"token_hash": token_hash}) is not None


def use_registration_token(tx: Transaction, token_hash: bytes) -> bool:
    """Use the token once; False if it has no use left."""
    return tx.run(sql.use_registration_token, {"token_hash": token_hash}) == 1
