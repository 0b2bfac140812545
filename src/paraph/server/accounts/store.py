"""The tables of accounts: people, their sessions and tokens, registration tokens."""

from collections.abc import Iterable

from paraph.server.accounts.model import Account, Invitation, Offer, Passed, Session, StoredPassword
from paraph.server.http import PersonPrincipal, Standing
from paraph.server.storage import Row, Transaction, load_sql

sql = load_sql("paraph.server.accounts")

# --- Accounts


def add_account(tx: Transaction, user_id: str, password_hash: str, now: int) -> bool:
    """Make an account; False if the name is taken, or ever was."""
    return tx.run(sql.add_account, {"user_id": user_id, "password_hash": password_hash, "created": now}) == 1


def account(tx: Transaction, user_id: str) -> Account | None:
    """The account, deactivated or not; None if there never was one."""
    row = tx.row(sql.account, {"user_id": user_id})
    return None if row is None else _account(row)


def _account(row: Row) -> Account:
    user_id, created, deactivated, suspended, locked = row
    return Account(user_id, created, deactivated, bool(suspended), bool(locked))


def accounts(tx: Transaction, after: str, limit: int) -> list[Account]:
    """Accounts whose user id sorts after `after`, in order."""
    return [_account(row) for row in tx.rows(sql.accounts_after, {"after": after, "limit": limit})]


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


def deactivate(tx: Transaction, user_id: str, now: int, *, erase: bool) -> None:
    """Mark the account as deactivated and forget its password and its short-lived tokens."""
    tx.run(sql.deactivate, {"user_id": user_id, "now": now, "erase": int(erase)})
    tx.run(sql.drop_short_tokens, {"user_id": user_id})


def standing(tx: Transaction, user_id: str) -> tuple[bool, bool] | None:
    """Whether an account is suspended, and whether it is locked; None if there is none that anybody can use."""
    row = tx.row(sql.standing, {"user_id": user_id})
    return None if row is None else (bool(row[0]), bool(row[1]))


def set_standing(tx: Transaction, user_id: str, what: str, value: bool) -> None:
    """Set `suspended` or `locked`."""
    statement = {"suspended": sql.set_suspended, "locked": sql.set_locked}[what]
    tx.run(statement, {"user_id": user_id, "value": int(value)})


def live_tokens(tx: Transaction, user_id: str) -> list[bytes]:
    """The hashes of a person's access tokens."""
    return [bytes(row[0]) for row in tx.rows(sql.live_tokens, {"user_id": user_id})]


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
    if row is None:
        return None
    user_id, device_id, last_seen, expires, suspended, locked = row
    standing = Standing.LOCKED if locked else Standing.SUSPENDED if suspended else Standing.GOOD
    return Session(PersonPrincipal(user_id, device_id, standing), last_seen, expires)


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


# --- Short-lived tokens, and stages that were passed on a page


def add_short_token(tx: Transaction, token_hash: bytes, purpose: str, user_id: str, expires: int) -> None:
    """Keep a token."""
    params = {"token_hash": token_hash, "purpose": purpose, "user_id": user_id, "expires": expires}
    tx.run(sql.add_short_token, params)


def short_token(tx: Transaction, token_hash: bytes, purpose: str, now: int) -> str | None:
    """Whose token it is; None if nobody's, or no longer."""
    row = tx.row(sql.short_token, {"token_hash": token_hash, "purpose": purpose, "now": now})
    return None if row is None else str(row[0])


def take_short_token(tx: Transaction, token_hash: bytes, purpose: str, now: int) -> str | None:
    """The same, and it is gone."""
    rows = tx.rows(sql.take_short_token, {"token_hash": token_hash, "purpose": purpose})
    return str(rows[0][0]) if rows and rows[0][1] > now else None


def drop_older_short_tokens(tx: Transaction, user_id: str, purpose: str, *, keep: int) -> None:
    """Of one person's tokens for one purpose keep only the newest `keep`."""
    tx.run(sql.drop_older_short_tokens, {"user_id": user_id, "purpose": purpose, "keep": keep - 1})


def drop_expired(tx: Transaction, now: int) -> None:
    """Forget tokens and passed stages whose time is over, everybody's."""
    tx.run(sql.drop_expired_short_tokens, {"now": now})
    tx.run(sql.drop_expired_stages, {"now": now})


def add_passed_stage(tx: Transaction, session_hash: bytes, passed: Passed, now: int, lifetime: int) -> None:
    """Keep that a stage was passed for a session."""
    drop_expired(tx, now)
    tx.run(
        sql.add_passed_stage,
        {
            "session_hash": session_hash,
            "stage": passed.stage,
            "user_id": passed.user_id,
            "password_number": passed.password_number,
            "invitation_hash": passed.invitation_hash,
            "expires": now + lifetime,
        },
    )


def has_passed_stage(tx: Transaction, session_hash: bytes, now: int) -> bool:
    """Whether a stage was passed for a session."""
    return tx.row(sql.passed_stage, {"session_hash": session_hash, "now": now}) is not None


def take_passed_stage(tx: Transaction, session_hash: bytes, now: int) -> Passed | None:
    """The stage that was passed for a session, which is gone by that."""
    rows = tx.rows(sql.take_passed_stage, {"session_hash": session_hash})
    if not rows or rows[0][4] <= now:
        return None
    stage, user_id, number, invitation_hash, _ = rows[0]
    return Passed(stage, user_id, number, None if invitation_hash is None else bytes(invitation_hash))
