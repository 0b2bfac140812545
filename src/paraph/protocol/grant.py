"""Grants: what a person lets a partner do, signed by one of her devices; amendments, which only narrow."""

from collections.abc import Mapping
from typing import Any, Literal

from paraph.protocol.chain import verify_chain
from paraph.protocol.documents import Document, Part, parse
from paraph.protocol.errors import DocumentError
from paraph.protocol.fields import (
    DeviceId,
    GrantId,
    Hash,
    Label,
    Locale,
    PersonId,
    PublicKey,
    Purposes,
    RandomId,
    RetentionDays,
    Rooms,
    Slug,
    Text,
    Time,
    Verbs,
    Version,
    once,
)
from paraph.protocol.limits import DAY_MS, MAX_GRANT_DAYS


class AgreementReference(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The version of the agreement that the person saw, by number and document hash."""

    version: Version
    hash: Hash


class Consent(Part, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which text the person was shown: template, language, and base64url(SHA-256(UTF-8 text))."""

    template: Label
    locale: Locale
    text_hash: Hash


class Grant(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A person's permission: who may do what, where, for which purposes, from when until when."""

    type: Literal["org.paraph.grant"]
    grant_id: GrantId
    person: PersonId
    device_id: DeviceId
    master_key: PublicKey
    partner: Slug
    agreement: AgreementReference
    verbs: Verbs
    rooms: Literal["all"] | Rooms
    purposes: Purposes
    from_: Time
    until: Time
    history: Time | None
    retention_days: RetentionDays
    grant_key_hash: Hash
    consent: Consent

    def __post_init__(self) -> None:
        once("verbs", self.verbs)
        once("purposes", self.purposes)
        if self.rooms != "all":
            once("rooms", self.rooms)
        if not 0 < self.until - self.from_ <= MAX_GRANT_DAYS * DAY_MS:
            raise ValueError(f"expected `until` after `from` by at most {MAX_GRANT_DAYS} days")
        if self.history is not None and self.history > self.from_:
            raise ValueError("expected `history` no later than `from`")


class DropRooms(Part, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="op", tag="drop_rooms"):
    """These rooms are no longer granted."""

    rooms: Rooms

    def __post_init__(self) -> None:
        once("rooms", self.rooms)


class Shorten(Part, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="op", tag="shorten"):
    """The grant ends earlier."""

    until: Time


class Pause(Part, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="op", tag="pause"):
    """The grant gives nothing until this pause is resumed."""

    pause_id: RandomId


class Resume(Part, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="op", tag="resume"):
    """This pause, made before it on the same branch, is over."""

    pause_id: RandomId


class Amendment(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A narrowing of a grant; `previous` is the hash of the grant or of the amendment before it."""

    type: Literal["org.paraph.amendment"]
    grant_id: GrantId
    person: PersonId
    device_id: DeviceId
    previous: Hash
    change: DropRooms | Shorten | Pause | Resume
    created: Time


class Revocation(Document, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The end of a grant. It needs no signature, since it takes away and gives nothing, and it is final."""

    type: Literal["org.paraph.revocation"]
    grant_id: GrantId
    person: PersonId
    reason: Text | None
    created: Time


def verify_grant(document: Mapping[str, Any], chain: Mapping[str, Any], *, master_key: str) -> Grant:
    """Check a grant and the chain from its device to the person's pinned master key; raises ProtocolError.

    The agreement's ceiling and the consent text are checked apart: `scope.check_within`, `consent.check_consent`.
    """
    grant = parse(Grant, document)
    if grant.master_key != master_key:
        raise DocumentError(f"expected the master key {master_key}, found {grant.master_key}")
    verify_chain(document, chain, person=grant.person, device_id=grant.device_id, master_key=master_key)
    return grant


def verify_amendment(
    document: Mapping[str, Any], chain: Mapping[str, Any], *, grant: Grant, master_key: str
) -> Amendment:
    """Check an amendment of this grant and the chain from its device to the person's pinned master key.

    Whether it narrows and follows on is checked apart: `scope.check_amendment`. Raises ProtocolError.
    """
    amendment = parse(Amendment, document)
    if (amendment.grant_id, amendment.person) != (grant.grant_id, grant.person):
        raise DocumentError(f"expected an amendment of {grant.grant_id} by {grant.person}")
    verify_chain(document, chain, person=grant.person, device_id=amendment.device_id, master_key=master_key)
    return amendment
