"""Consent over HTTP (docs/protocol.md sections 6 to 8): for people and for the operator."""

from typing import Any

import msgspec

from paraph import __version__
from paraph.server.consent.key_shares import Share
from paraph.server.consent.model import Partner
from paraph.server.consent.oauth import http as oauth_http
from paraph.server.consent.service import Consent
from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database

API = "/_paraph/v1"
ADMIN = f"{API}/admin"
MAX_DOCUMENT = 128 * 1024
"""Bytes of a body that carries one document."""


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class EnrolBody(_Body, frozen=True):
    """POST /enrol."""

    enrolment: dict[str, Any]
    log_key: str


class GrantBody(_Body, frozen=True):
    """POST /grants."""

    grant: dict[str, Any]


class AmendmentBody(_Body, frozen=True):
    """POST /grants/{grant_id}/amendments."""

    amendment: dict[str, Any]


class RevokeBody(_Body, frozen=True):
    """POST /grants/{grant_id}/revoke."""

    reason: str | None = None


class SharesBody(_Body, frozen=True):
    """PUT /grants/{grant_id}/key-shares/{txn_id}."""

    shares: list[Share]


class PartnerBody(_Body, frozen=True):
    """POST /admin/partners."""

    slug: str
    name: str
    master_key: str
    client_jwk: dict[str, Any]
    redirect_uris: list[str] | None = None


class AgreementBody(_Body, frozen=True):
    """POST /admin/agreements."""

    agreement: dict[str, Any]


class EndingBody(_Body, frozen=True):
    """POST /admin/agreements/{slug}/end and /admin/partner-devices/{slug}/{device_id}/end."""

    ending: dict[str, Any]


def endpoints(consent: Consent, ledger: Ledger, database: Database, policy: str | None) -> list[Endpoint]:
    """The endpoints of this room; `policy` is the text of the log's witness policy."""
    people, operator = PeopleHandlers(consent, ledger, database, policy), OperatorHandlers(consent, database)
    person, admin, anyone = Access.PERSON, Access.OPERATOR, Access.PUBLIC
    grant = f"{API}/grants/{{grant_id}}"
    return [
        Endpoint("GET", f"{API}/platform", anyone, people.platform, "Who runs this platform, and its log's key"),
        Endpoint("GET", f"{API}/partners", anyone, people.partners, "All partners with their public records"),
        Endpoint("GET", f"{API}/partners/{{slug}}", anyone, people.partner, "One partner with its public records"),
        Endpoint("POST", f"{API}/enrol", person, people.enrol, "Enrol the calling device", max_body=MAX_DOCUMENT),
        Endpoint("GET", f"{API}/grants", person, people.grants, "The caller's grants and their version"),
        Endpoint("POST", f"{API}/grants", person, people.create, "Make a grant", max_body=MAX_DOCUMENT),
        Endpoint("POST", f"{grant}/amendments", person, people.amend, "Narrow a grant", max_body=MAX_DOCUMENT),
        Endpoint("POST", f"{grant}/revoke", person, people.revoke, "Revoke a grant, for good", max_body=MAX_DOCUMENT),
        Endpoint("PUT", f"{grant}/key-shares/{{txn_id}}", person, people.share, "Hand keys to a partner's devices"),
        Endpoint("POST", f"{ADMIN}/partners", admin, operator.register, "Register a partner", max_body=MAX_DOCUMENT),
        Endpoint("GET", f"{ADMIN}/partners", admin, operator.partners, "Registered partners"),
        Endpoint(
            "POST", f"{ADMIN}/agreements", admin, operator.agree, "Publish a signed agreement", max_body=MAX_DOCUMENT
        ),
        Endpoint(
            "POST",
            f"{ADMIN}/agreements/{{slug}}/end",
            admin,
            operator.end_agreement,
            "End an agreement and every grant under it",
            max_body=MAX_DOCUMENT,
        ),
        Endpoint(
            "POST",
            f"{ADMIN}/partner-devices/{{slug}}/{{device_id}}/end",
            admin,
            operator.end_device,
            "End a partner's device",
            max_body=MAX_DOCUMENT,
        ),
        *oauth_http.endpoints(consent.authorization, database, ledger.receipts),
    ]


class PeopleHandlers:
    """What people and the public ask."""

    def __init__(self, consent: Consent, ledger: Ledger, database: Database, policy: str | None) -> None:
        self._consent = consent
        self._ledger = ledger
        self._receipts = ledger.receipts
        self._database = database
        self._policy = policy

    async def platform(self, _request: Request) -> Reply:
        """Name, version and keys of this platform, and whose cosignatures its log's checkpoints carry."""
        return Reply.json(
            {
                "server_name": self._consent.server_name,
                "version": __version__,
                "log": {"origin": self._ledger.origin, "vkey": self._ledger.vkey, "policy": self._policy},
                "operator_key": self._consent.operator_key.public_key,
                "receipt_key": self._receipts.public_key,
                "record": await self._database.read(self._ledger.platform_record),
            }
        )

    async def partners(self, _request: Request) -> Reply:
        """All partners."""
        return Reply.json({"partners": await self._database.read(self._consent.partners.all_rendered)})

    async def partner(self, request: Request) -> Reply:
        """One partner."""
        partners, slug = self._consent.partners, request.params["slug"]
        return Reply.json(await self._database.read(lambda tx: partners.rendered(tx, partners.get(tx, slug))))

    async def enrol(self, request: Request) -> Reply:
        """Enrol the calling device."""
        body, person = request.json(EnrolBody), request.person
        entry = await self._database.write(
            lambda tx: self._consent.grants.enrol(tx, person, body.enrolment, body.log_key)
        )
        return Reply.json({"entry": self._receipts.answered(entry)})

    async def grants(self, request: Request) -> Reply:
        """The caller's grants."""
        person = request.person
        return Reply.json(await self._database.read(lambda tx: self._consent.grants.listed(tx, person)))

    async def create(self, request: Request) -> Reply:
        """Make a grant."""
        body, person = request.json(GrantBody), request.person
        made = await self._database.write(lambda tx: self._consent.grants.create(tx, person, body.grant))
        return Reply.json(made.answered(self._receipts))

    async def amend(self, request: Request) -> Reply:
        """Narrow a grant."""
        body, person, grant_id = request.json(AmendmentBody), request.person, request.params["grant_id"]
        grants = self._consent.grants
        made = await self._database.write(lambda tx: grants.amend(tx, person, grant_id, body.amendment))
        return Reply.json(made.answered(self._receipts))

    async def revoke(self, request: Request) -> Reply:
        """Revoke a grant."""
        body, person, grant_id = request.json(RevokeBody), request.person, request.params["grant_id"]
        made = await self._database.write(lambda tx: self._consent.grants.revoke(tx, person, grant_id, body.reason))
        return Reply.json(made.answered(self._receipts))

    async def share(self, request: Request) -> Reply:
        """Hand keys to a partner's devices."""
        body, person, params = request.json(SharesBody), request.person, request.params
        entries = await self._database.write(
            lambda tx: self._consent.key_shares.share(tx, person, params["grant_id"], params["txn_id"], body.shares)
        )
        return Reply.json({"entries": [self._receipts.answered(entry) for entry in entries]})


class OperatorHandlers:
    """What the operator does."""

    def __init__(self, consent: Consent, database: Database) -> None:
        self._partners = consent.partners
        self._database = database

    async def register(self, request: Request) -> Reply:
        """Register a partner."""
        body = request.json(PartnerBody)
        made = Partner(body.slug, body.name, body.master_key, body.client_jwk)
        registered = await self._database.write(
            lambda tx: self._partners.rendered(tx, self._partners.register(tx, made, body.redirect_uris))
        )
        return Reply.json(registered)

    async def partners(self, _request: Request) -> Reply:
        """Registered partners."""
        return Reply.json({"partners": await self._database.read(self._partners.all_rendered)})

    async def agree(self, request: Request) -> Reply:
        """Publish an agreement."""
        body = request.json(AgreementBody)
        record = await self._database.write(lambda tx: self._partners.publish_agreement(tx, body.agreement))
        return Reply.json({"record": record})

    async def end_agreement(self, request: Request) -> Reply:
        """End an agreement."""
        body, slug = request.json(EndingBody), request.params["slug"]
        record = await self._database.write(lambda tx: self._partners.end_agreement(tx, slug, body.ending))
        return Reply.json({"record": record})

    async def end_device(self, request: Request) -> Reply:
        """End a partner's device."""
        body, slug, device_id = request.json(EndingBody), request.params["slug"], request.params["device_id"]
        record = await self._database.write(lambda tx: self._partners.end_device(tx, slug, device_id, body.ending))
        return Reply.json({"record": record})
