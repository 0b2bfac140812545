"""A partner at doors that are not its own: raw requests with the token that it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from paraph.sdk import Partner

SCHEMES = ("DPoP", "Bearer")


@dataclass
class Knocking:
    """Requests of one partner, beside those that its SDK would make."""

    partner: Partner
    url: str
    _token: str = ""
    _http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> "Knocking":
        """Get a token, as for any read."""
        answer = await self.partner.auth.form("/oauth/token", {"grant_type": "client_credentials"})
        self._token = str(answer["access_token"])
        self._http = httpx.AsyncClient(base_url=self.url, timeout=30)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the connections go."""
        if self._http is not None:
            await self._http.aclose()

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, scheme: str = "DPoP"
    ) -> httpx.Response:
        """Ask for a path with the token, with a proof of its key where one is due."""
        if self._http is None:
            raise RuntimeError("no token yet")
        headers = {**self.partner.auth.prove(method, path), "authorization": f"{scheme} {self._token}"}
        return await self._http.request(method, path, json=body, headers=headers)
