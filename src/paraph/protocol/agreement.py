"""Agreements between operator and partner: public, versioned, signed by both, extended only after notice."""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from paraph.protocol import limits as bounds
from paraph.protocol.documents import Document, Part, parse
from paraph.protocol.errors import DocumentError, SignatureError
from paraph.protocol.fields import (
    Count,
    GrantDays,
    Hash,
    Label,
    Labels,
    Name,
    NoticeDays,
    PublicKey,
    Purposes,
    RetentionDays,
    Slug,
    Text,
    Time,
    Verbs,
    Version,
    once,
)
from paraph.protocol.identifiers import partner_user_id
from paraph.protocol.signing import verify

OPERATOR_KEY_ID = "ed25519:operator"


class Signatory(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who stands behind the agreement, on which side, in which role."""

    party: Literal["operator", "partner"]
    name: Name
    role: Name


class Consideration(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What each side gives the other."""

    operator: Text
    partner: Text


class ReportGrid(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The cells that a partner's reports count: every interface by every initiation surface by every variant."""

    interfaces: Labels
    initiation_surfaces: Labels
    variants: Labels

    def __post_init__(self) -> None:
        once("interfaces", self.interfaces)
        once("initiation_surfaces", self.initiation_surfaces)
        once("variants", self.variants)


_Signatories = Annotated[tuple[Signatory, ...], Meta(min_length=2, max_length=bounds.MAX_SIGNATORIES)]
_Ties = Annotated[tuple[Text, ...], Meta(max_length=bounds.MAX_TIES)]
_Limits = Annotated[dict[Label, Count], Meta(max_length=bounds.MAX_PUBLISHED_LIMITS)]


class Agreement(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ceiling under which a partner may hold grants; an empty `ties` states that there are none."""

    type: Literal["org.paraph.agreement"]
    partner: Slug
    name: Name
    version: Version
    predecessor: Hash | None
    master_key: PublicKey
    operator_key: PublicKey
    signatories: _Signatories
    consideration: Consideration
    ties: _Ties
    purposes: Purposes
    verbs: Verbs
    max_duration_days: GrantDays
    max_retention_days: RetentionDays
    report: ReportGrid
    limits: _Limits
    from_: Time
    until: Time
    notice_days: NoticeDays
    reason: Text | None

    def __post_init__(self) -> None:
        once("purposes", self.purposes)
        once("verbs", self.verbs)
        if self.from_ >= self.until:
            raise ValueError("expected `from` before `until`")
        if (self.version == 1) != (self.predecessor is None):
            raise ValueError("expected a predecessor from version 2 on, and none before")
        if {signatory.party for signatory in self.signatories} != {"operator", "partner"}:
            raise ValueError("expected at least one signatory of each party")


class AgreementEnded(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The end of an agreement, and with it of all grants under it; either side may declare it."""

    type: Literal["org.paraph.agreement_ended"]
    partner: Slug
    version: Version
    agreement_hash: Hash
    ended: Time
    reason: Text | None


def verify_agreement(document: Mapping[str, Any], *, server_name: str, operator_key: str, master_key: str) -> Agreement:
    """Check an agreement's bounds, its two keys and both signatures; raises ProtocolError."""
    agreement = parse(Agreement, document)
    if (agreement.operator_key, agreement.master_key) != (operator_key, master_key):
        raise DocumentError("expected an agreement that names the operator's and the partner's known keys")
    verify_operator(document, server_name=server_name, operator_key=operator_key)
    verify_partner(document, agreement.partner, server_name=server_name, master_key=master_key)
    return agreement


def verify_agreement_ended(
    document: Mapping[str, Any], *, server_name: str, operator_key: str, master_key: str
) -> AgreementEnded:
    """Check an ending and that the operator or the partner's master key signed it; raises ProtocolError."""
    ending = parse(AgreementEnded, document)
    verify_either(document, ending.partner, server_name=server_name, operator_key=operator_key, master_key=master_key)
    return ending


def check_successor(predecessor: Agreement, agreement: Agreement) -> None:
    """Check that an agreement is the next version of another, by number and hash; raises DocumentError."""
    if agreement.partner != predecessor.partner or agreement.version != predecessor.version + 1:
        raise DocumentError(
            f"expected version {predecessor.version + 1} of {predecessor.partner}'s agreement, "
            f"found version {agreement.version} of {agreement.partner}'s"
        )
    if agreement.predecessor != predecessor.hash:
        raise DocumentError(f"expected the predecessor {predecessor.hash}, found {agreement.predecessor}")


def extensions(predecessor: Agreement, agreement: Agreement) -> list[str]:
    """The members in which a version allows more than the one before, or binds less; empty if it only narrows.

    More verbs or purposes, longer grants or retention, a later end, a higher limit or a new one, a shorter notice.
    """
    found = [
        name for name in ("verbs", "purposes") if not set(getattr(agreement, name)) <= set(getattr(predecessor, name))
    ]
    longer = ("max_duration_days", "max_retention_days", "until")
    found += [name for name in longer if getattr(agreement, name) > getattr(predecessor, name)]
    if any(limit > predecessor.limits.get(name, -1) for name, limit in agreement.limits.items()):
        found.append("limits")
    if agreement.notice_days < predecessor.notice_days:
        found.append("notice_days")
    return found


def begins(agreement: Agreement, predecessor: Agreement | None, recorded: int) -> int:
    """When a version takes effect (ms): at its `from`; an extension no sooner than its predecessor's notice allows.

    `recorded` is the time of its record in the log.
    """
    if predecessor is None or predecessor.notice_days == 0 or not extensions(predecessor, agreement):
        return agreement.from_
    return max(agreement.from_, recorded + predecessor.notice_days * bounds.DAY_MS)


def check_notice(predecessor: Agreement, agreement: Agreement, recorded: int) -> None:
    """Check that a version recorded at this time (ms) keeps the notice that the one before promised.

    Raises DocumentError.
    """
    if begins(agreement, predecessor, recorded) > agreement.from_:
        raise DocumentError(
            f"version {predecessor.version} promises {predecessor.notice_days} days of notice before an extension, and "
            f"this one extends {', '.join(extensions(predecessor, agreement))}: expected a `from` that many days ahead"
        )


def agreement_in_force(
    agreements: Iterable[Agreement], at: int, begin: Callable[[Agreement], int] = lambda agreement: agreement.from_
) -> Agreement | None:
    """Of one partner's agreements that have not been ended, the newest version begun at a time in milliseconds.

    None if none has begun or if that version has run out: an older version does not come back. `begin` says when each
    takes effect, by default at its `from`.
    """
    begun = [agreement for agreement in agreements if begin(agreement) <= at]
    newest = max(begun, key=lambda agreement: agreement.version, default=None)
    return newest if newest is not None and at < newest.until else None


def verify_operator(document: Mapping[str, Any], *, server_name: str, operator_key: str) -> None:
    """Check the operator's signature; raises SignatureError."""
    verify(document, server_name, OPERATOR_KEY_ID, operator_key)


def verify_partner(document: Mapping[str, Any], slug: str, *, server_name: str, master_key: str) -> None:
    """Check the signature of a partner's master key; raises SignatureError."""
    verify(document, partner_user_id(slug, server_name), f"ed25519:{master_key}", master_key)


def verify_either(
    document: Mapping[str, Any], slug: str, *, server_name: str, operator_key: str, master_key: str
) -> None:
    """Check that the operator or the partner's master key signed; raises SignatureError if neither did."""
    try:
        verify_operator(document, server_name=server_name, operator_key=operator_key)
    except SignatureError:
        verify_partner(document, slug, server_name=server_name, master_key=master_key)
