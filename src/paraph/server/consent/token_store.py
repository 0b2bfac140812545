"""Tables of partner tokens and used assertions."""

from paraph.server.storage import Transaction, load_sql

sql = load_sql("paraph.server.consent")


def add_token(tx: Transaction, token_hash: bytes, partner: str, expires: int) -> None:
    """Keep a token by its SHA-256; `expires` in ms."""
    tx.run(sql.add_token, {"token_hash": token_hash, "partner": partner, "expires": expires})


def token(tx: Transaction, token_hash: bytes) -> tuple[str, int] | None:
    """Partner and expiry of a token."""
    row = tx.row(sql.token, {"token_hash": token_hash})
    return None if row is None else (row[0], row[1])


def use_assertion(tx: Transaction, partner: str, jti: str, expires: int) -> bool:
    """Remember an assertion until it expires; False if it was used before."""
    return tx.run(sql.add_assertion, {"partner": partner, "jti": jti, "expires": expires}) == 1


def drop_expired(tx: Transaction, at: int) -> None:
    """Forget what has expired."""
    tx.run(sql.drop_tokens, {"at": at})
    tx.run(sql.drop_assertions, {"at": at})
