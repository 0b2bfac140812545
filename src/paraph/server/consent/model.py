"""Consent as it is kept: partners, agreements, grants with all that became of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from paraph.protocol.agreement import Agreement, agreement_in_force
from paraph.protocol.canonical import decode
from paraph.protocol.documents import parse
from paraph.protocol.grant import Amendment, Grant
from paraph.protocol.scope import Scope, effective_scope, runs_until


@dataclass(frozen=True, slots=True)
class Partner:
    """A registered partner: its slug, display name, master key and OAuth client key (a public JWK)."""

    slug: str
    name: str
    master_key: str
    client_jwk: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Agreements:
    """One partner's agreements by version, and up to which version they were ended (0: none)."""

    versions: Mapping[int, Agreement]
    ended: int

    def in_force(self, at: int) -> Agreement | None:
        """The version in force at a time in milliseconds."""
        return agreement_in_force([a for v, a in self.versions.items() if v > self.ended], at)


@dataclass(frozen=True, slots=True)
class HeldAmendment:
    """An amendment as it was recorded."""

    amendment: Amendment
    document: dict[str, Any]
    chain: dict[str, Any]
    hash: str
    seq: int
    version: int


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant as it was recorded, with all that became of it.

    `seq` is its ledger entry's and its position in the server's one order; `version` the person's count after it.
    """

    grant: Grant
    document: dict[str, Any]
    chain: dict[str, Any]
    hash: str
    seq: int
    version: int
    amendments: tuple[HeldAmendment, ...]
    revocation: dict[str, Any] | None
    revocation_seq: int | None
    revocation_version: int | None
    ended: dict[str, Any] | None

    def scope(self, agreements: Agreements, at: int) -> Scope | None:
        """What the grant allows at a time in milliseconds, or None."""
        return effective_scope(
            self.grant,
            [held.amendment for held in self.amendments],
            agreements.versions[self.grant.agreement.version],
            agreements.in_force(at),
            at=at,
            revoked=self.revocation is not None,
            ended=self.ended is not None,
        )

    def runs_until(self, agreements: Agreements, at: int) -> int:
        """When the grant runs out by itself, as amendments and agreements at a time in milliseconds leave it."""
        own, amendments = (
            agreements.versions[self.grant.agreement.version],
            [made.amendment for made in self.amendments],
        )
        return runs_until(self.grant, amendments, own, agreements.in_force(at))

    def rendered(self, agreements: Agreements, at: int) -> dict[str, Any]:
        """The `G` of docs/protocol.md section 6."""
        return {
            "grant": self.document,
            "chain": self.chain,
            "amendments": [{"amendment": held.document, "chain": held.chain} for held in self.amendments],
            "revocation": self.revocation,
            "ended": self.ended,
            "live": self.scope(agreements, at) is not None,
        }


# Documents never change, so each text is parsed once however often it is read.


@lru_cache(maxsize=1024)
def agreement_of(text: str) -> Agreement:
    """A kept agreement."""
    return parse(Agreement, decode(text.encode()))


@lru_cache(maxsize=4096)
def grant_of(text: str) -> Grant:
    """A kept grant."""
    return parse(Grant, decode(text.encode()))


@lru_cache(maxsize=4096)
def amendment_of(text: str) -> Amendment:
    """A kept amendment."""
    return parse(Amendment, decode(text.encode()))
