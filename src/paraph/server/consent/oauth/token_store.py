"""Tables of tokens, and of assertions and proofs that were used."""

import secrets
from dataclasses import asdict, dataclass

from paraph.server.storage import Transaction, load_sql

sql = load_sql("paraph.server.consent")

ACCESS, REFRESH = "access", "refresh"


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept: for whom, for which grant (None: the partner as a whole), bound to which key.

    `consent_id` is the request whose code gave it, or None; `issued` and `expires` are in milliseconds.
    """

    kind: str
    partner: str
    grant_id: str | None
    consent_id: str | None
    jkt: str
    issued: int
    expires: int


def add_token(tx: Transaction, token_hash: bytes, token: Token) -> None:
    """Keep a token by its SHA-256."""
    tx.run(sql.add_token, {"token_hash": token_hash, **asdict(token)})


def token(tx: Transaction, token_hash: bytes) -> Token | None:
    """The token with this SHA-256."""
    row = tx.row(sql.token, {"token_hash": token_hash})
    return None if row is None else Token(*row)


def drop_token(tx: Transaction, token_hash: bytes, partner: str) -> None:
    """Forget a partner's token."""
    tx.run(sql.drop_token, {"token_hash": token_hash, "partner": partner})


def drop_tokens_of_consent(tx: Transaction, consent_id: str) -> None:
    """Forget every token that a code gave, directly or by refreshing."""
    tx.run(sql.drop_tokens_of_consent, {"consent_id": consent_id})


def use_assertion(tx: Transaction, partner: str, jti: str, expires: int) -> bool:
    """Remember an assertion until it expires; False if it was used before."""
    return tx.run(sql.add_assertion, {"partner": partner, "jti": jti, "expires": expires}) == 1


def use_proof(tx: Transaction, proof_hash: bytes, expires: int) -> bool:
    """Remember a DPoP proof until it expires; False if it was used before."""
    return tx.run(sql.add_proof, {"proof_hash": proof_hash, "expires": expires}) == 1


def secret(tx: Transaction, name: str) -> bytes:
    """The 32 random bytes under a name, the same for every process; made when first asked for."""
    tx.run(sql.add_secret, {"name": name, "value": secrets.token_bytes(32)})
    row = tx.row(sql.secret, {"name": name})
    if row is None:
        raise LookupError(f"the secret {name} was not kept")
    return bytes(row[0])


def drop_expired(tx: Transaction, at: int) -> None:
    """Forget what has expired."""
    for statement in (sql.drop_tokens, sql.drop_assertions, sql.drop_proofs, sql.drop_requests):
        tx.run(statement, {"at": at})
