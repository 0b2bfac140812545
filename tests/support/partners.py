"""Partners for tests: registered by the operator, under an agreement that both sides signed."""

from typing import Any

import httpx

from paraph.cli.agreement import draft_agreement
from paraph.protocol.agreement import OPERATOR_KEY_ID
from paraph.protocol.signing import sign
from paraph.sdk import Partner
from paraph.server.app import Server

ADMIN = "/_paraph/v1/admin"


async def register_partner(http: httpx.AsyncClient, operator: dict[str, str], partner: Partner) -> None:
    """Register a partner by its public keys."""
    body = {
        "slug": partner.slug,
        "name": partner.slug.title(),
        "master_key": partner.master_key,
        "client_jwk": partner.client_jwk,
    }
    answer = await http.post(f"{ADMIN}/partners", json=body, headers=operator)
    assert answer.is_success, answer.text


async def publish_agreement(
    http: httpx.AsyncClient, operator: dict[str, str], partner: Partner, server: Server, **terms: Any
) -> dict[str, Any]:
    """Draft the partner's next agreement, let both sides sign, and publish it; returns the document."""
    platform = (await http.get("/_paraph/v1/platform")).json()
    known = (await http.get(f"/_paraph/v1/partners/{partner.slug}")).json()
    draft = draft_agreement(platform, known, **terms)
    signed = sign(draft, platform["server_name"], OPERATOR_KEY_ID, server.consent.operator_key.sign)
    document = partner.sign_document(signed)
    answer = await http.post(f"{ADMIN}/agreements", json={"agreement": document}, headers=operator)
    assert answer.is_success, answer.text
    return document
