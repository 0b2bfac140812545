"""The operator at the command line of a platform of their own: registers partners, signs and publishes agreements."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paraph.cli.admin import Admin
from paraph.cli.agreement import draft_agreement, sign_as_operator
from paraph.sdk import Partner


class Operator:
    """The operator of the server that runs on a data folder."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._admin = Admin(data)
        self.platform: dict[str, Any] = self._admin.get("/_paraph/v1/platform")

    def register(self, partner: Partner, name: str, redirect_uris: Sequence[str] = ()) -> None:
        """Register a partner by its public keys."""
        body: dict[str, Any] = {
            "slug": partner.slug,
            "name": name,
            "master_key": partner.master_key,
            "client_jwk": partner.client_jwk,
        }
        if redirect_uris:
            body["redirect_uris"] = list(redirect_uris)
        self._admin.post("/_paraph/v1/admin/partners", body)

    def newest(self, slug: str) -> dict[str, Any]:
        """The newest version of a partner's agreement, as it was published."""
        documents = [record["document"] for record in self._admin.get(f"/_paraph/v1/partners/{slug}")["agreements"]]
        return dict(max(documents, key=lambda document: document["version"]))

    def draft(self, slug: str, **terms: Any) -> dict[str, Any]:
        """The next version of a partner's agreement, unsigned."""
        return draft_agreement(self.platform, self._admin.get(f"/_paraph/v1/partners/{slug}"), **terms)

    def sign(self, document: dict[str, Any]) -> dict[str, Any]:
        """Add the operator's signature."""
        return sign_as_operator(document, self.platform["server_name"], self._data / "keys" / "operator.key")

    def publish(self, document: dict[str, Any]) -> None:
        """Publish an agreement; ends the program if the server refuses."""
        self._admin.post("/_paraph/v1/admin/agreements", {"agreement": document})

    def try_to_publish(self, document: dict[str, Any]) -> tuple[int, str]:
        """Status and answer when a document is put forward that may be refused."""
        answer = self._admin.try_post("/_paraph/v1/admin/agreements", {"agreement": document})
        return answer.status_code, _reason(answer.content)


def _reason(content: bytes) -> str:
    try:
        body = json.loads(content)
    except ValueError:
        return content[:200].decode(errors="replace")
    return str(body.get("error", body))
