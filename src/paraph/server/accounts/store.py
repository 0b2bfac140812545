"""The tables of accounts: people, their sessions and tokens, registration tokens."""

from collections.abc import Iterable

from paraph.server.accounts.model import Account, Invitation, Offer, Session, StoredPassword
from paraph.server.http import PersonPrincipal
from paraph.server.storage import Transaction, load_sql

sql = load_sql("paraph.server.accounts")

# --- Accounts


def add_account(tx: Transaction, user_id: str, password_hash: str, now: int) -> bool:
    """Make an account; False if the name is taken, or ever was."""
    return tx.run(sql.add_account, {"user_id": user_id, "password_hash": password_hash, "created": now}) == 1


def account(tx: Transaction, user_id: str) -> Account | None:
    """The account, deactivated or not; None if there never was one."""
    row = tx.row(sql.account, {"user_id": user_id})
    return None if row is None else Account(*row)


def accounts(tx: Transaction, after: str, limit: int) -> list[Account]:
    """Accounts whose user id sorts after `after`, in order."""
    return [Account(*row) for row in tx.rows(sql.accounts_after, {"after": after, "limit": limit})]


def password(tx: Transaction, user_id: str) -> StoredPassword | None:
    """The account's password, or None if there is no account that anybody could log in to."""
    row = tx.row(sql.password, {"user_id": user_id})
    return None if row is None else StoredPassword(*row)


def set_password(tx: Transaction, user_id: str, password_hash: str) -> None:
    """Give the account another password."""
    tx.run(sql.set_password, {"user_id": user_id, "password_hash": password_hash})


def rehash_password(tx: Transaction, user_id: str, password_hash: str) -> None:
    """Keep another hash of the same password."""
    tx.run(sql.rehash_password, {"user_id": user_id, "password_hash": password_hash})


def deactivate(tx: Transaction, user_id: str, now: int) -> None:
    """Mark the account as deactivated and forget its password."""
    tx.run(sql.deactivate, {"user_id": user_id, "now": now})


# --- Sessions


def add_session(
    tx: Transaction,
    principal: PersonPrincipal,
    now: int,
    *,
    token_hash: bytes,
    expires: int | None,
    refresh_hash: bytes | None,
) -> None:
    """Begin a session; the device must have none."""
    secrets = {"token_hash": token_hash, "expires": expires, "refresh_hash": refresh_hash}
    tx.run(sql.add_session, _of(principal) | secrets | {"now": now})


def session(tx: Transaction, token_hash: bytes) -> Session | None:
    """The session that has this access token, or None."""
    row = tx.row(sql.session, {"token_hash": token_hash})
    return None if row is None else Session(PersonPrincipal(row[0], row[1]), row[2], row[3])


def session_to_refresh(tx: Transaction, refresh_hash: bytes) -> PersonPrincipal | None:
    """Whose session has this refresh token, or None."""
    row = tx.row(sql.session_to_refresh, {"refresh_hash": refresh_hash})
    return None if row is None else PersonPrincipal(row[0], row[1])


def take_sessions(tx: Transaction, user_id: str, device_ids: Iterable[str]) -> list[bytes]:
    """End the sessions of these devices, offers included; returns the hashes of the access tokens that died."""
    return [
        bytes(row[0])
        for device_id in device_ids
        for row in tx.rows(sql.take_session, _of(PersonPrincipal(user_id, device_id)))
    ]


def session_devices(tx: Transaction, user_id: str) -> list[str]:
    """The devices that are logged in."""
    return [row[0] for row in tx.rows(sql.session_devices, {"user_id": user_id})]


def count_sessions(tx: Transaction, user_id: str) -> int:
    """How many devices are logged in."""
    row = tx.row(sql.count_sessions, {"user_id": user_id})
    return 0 if row is None else int(row[0])


def set_last_seen(tx: Transaction, token_hash: bytes, now: int) -> None:
    """Note that a token was used; nothing if it is gone."""
    tx.run(sql.set_last_seen, {"token_hash": token_hash, "now": now})


def last_seen(tx: Transaction, user_id: str) -> dict[str, int]:
    """When each logged-in device was last seen (ms)."""
    return {row[0]: row[1] for row in tx.rows(sql.last_seen, {"user_id": user_id})}


# --- Offers: tokens given out by a refresh and not used yet


def add_offer(tx: Transaction, offer: Offer, *, keep: int) -> None:
    """Keep an offer; of one session's only the newest `keep` stay."""
    of = _of(offer.principal)
    row = tx.row(sql.newest_offer, of)
    number = 1 if row is None else int(row[0]) + 1
    secrets = {"token_hash": offer.token_hash, "refresh_hash": offer.refresh_hash, "expires": offer.expires}
    tx.run(sql.add_offer, of | secrets | {"number": number})
    tx.run(sql.drop_offers, of | {"upto": number - keep})


def offer_by_token(tx: Transaction, token_hash: bytes) -> Offer | None:
    """The offer with this access token, or None."""
    row = tx.row(sql.offer_by_token, {"token_hash": token_hash})
    return None if row is None else Offer(PersonPrincipal(row[0], row[1]), bytes(row[2]), bytes(row[3]), row[4])


def offer_by_refresh(tx: Transaction, refresh_hash: bytes) -> Offer | None:
    """The offer with this refresh token, or None."""
    row = tx.row(sql.offer_by_refresh, {"refresh_hash": refresh_hash})
    return None if row is None else Offer(PersonPrincipal(row[0], row[1]), bytes(row[2]), bytes(row[3]), row[4])


def adopt(tx: Transaction, offer: Offer) -> bytes:
    """Make an offer the session's own tokens and drop all others; returns the hash of the access token that died."""
    of = _of(offer.principal)
    row = tx.row(sql.session_token, of)
    if row is None:
        raise LookupError("an offer without its session")
    secrets = {"token_hash": offer.token_hash, "refresh_hash": offer.refresh_hash, "expires": offer.expires}
    tx.run(sql.renew_session, of | secrets)
    tx.run(sql.drop_offers, of | {"upto": 2**62})
    return bytes(row[0])


def _of(principal: PersonPrincipal) -> dict[str, str | bytes | int | None]:
    return {"user_id": principal.user_id, "device_id": principal.device_id}


# --- Registration tokens


def add_registration_token(tx: Transaction, token_hash: bytes, invitation: Invitation) -> None:
    """Keep a registration token."""
    tx.run(
        sql.add_registration_token,
        {
            "token_hash": token_hash,
            "id": invitation.id,
            "uses": invitation.uses_left,
            "created": invitation.created,
            "expires": invitation.expires,
        },
    )


def registration_token_is_valid(tx: Transaction, token_hash: bytes, now: int) -> bool:
    """Whether the token is good for one more account."""
    return tx.row(sql.registration_token_is_valid, {"token_hash": token_hash, "now": now}) is not None


def use_registration_token(tx: Transaction, token_hash: bytes, now: int) -> bool:
    """Use the token once; False if it is no longer good."""
    return tx.run(sql.use_registration_token, {"token_hash": token_hash, "now": now}) == 1


def registration_tokens(tx: Transaction, after: str, limit: int) -> list[Invitation]:
    """Registration tokens whose id sorts after `after`, in order."""
    return [Invitation(*row) for row in tx.rows(sql.registration_tokens_after, {"after": after, "limit": limit})]


def drop_registration_token(tx: Transaction, id_: str) -> bool:
    """Forget a registration token; False if there is none of this id."""
    return tx.run(sql.drop_registration_token, {"id": id_}) == 1
