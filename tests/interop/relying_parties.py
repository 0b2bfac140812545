"""Partners made with other people's OAuth libraries, all driven the same way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from requests_oauth2client import (
    AuthorizationRequest,
    BearerToken,
    DPoPToken,
    OAuth2Client,
    PrivateKeyJwt,
    RequestUriParameterAuthorizationRequest,
)

DRIVER = Path(__file__).parent / "node" / "relying_party.mjs"
ANSWER_WITHIN = 20.0
Json = dict[str, Any]
T = TypeVar("T")


class ClientError(AssertionError):
    """The library refused what the server answered; the message carries its own."""


class RelyingParty(Protocol):
    """A partner, with the keys and checks of the library that it is made with."""

    async def begin(
        self, *, issuer: str, client_id: str, jwk: dict[str, str], redirect_uri: str, details: list[Json]
    ) -> str:
        """Discover the server, push a request; the address for the person."""

    async def finish(self, *, redirect: str) -> Json:
        """Check where she came back, redeem the code; the token answer."""

    async def read(self, *, path: str) -> Json:
        """GET below the Inbox API with the newest token."""

    async def refresh(self) -> Json:
        """Another access token."""

    async def introspect(self) -> Json:
        """What the server says of the access token."""

    async def revoke(self) -> None:
        """Give the refresh token back."""

    async def whole(self) -> Json:
        """A token for the partner as a whole."""

    async def close(self) -> None:
        """End it."""


class NodeParty:
    """`oauth4webapi` or `openid-client`, in a Node process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, node: str, library: str) -> NodeParty:
        """Start the driver."""
        pipe = asyncio.subprocess.PIPE
        return cls(await asyncio.create_subprocess_exec(node, str(DRIVER), library, stdin=pipe, stdout=pipe))

    async def begin(self, **given: Any) -> str:
        return str(await self._call("begin", given))

    async def finish(self, **given: Any) -> Json:
        return dict(await self._call("finish", given))

    async def read(self, **given: Any) -> Json:
        return dict(await self._call("read", given))

    async def refresh(self) -> Json:
        return dict(await self._call("refresh", {}))

    async def introspect(self) -> Json:
        return dict(await self._call("introspect", {}))

    async def revoke(self) -> None:
        await self._call("revoke", {})

    async def whole(self) -> Json:
        return dict(await self._call("whole", {}))

    async def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._process.wait()

    async def _call(self, command: str, given: Json) -> Any:
        reader, writer = self._process.stdout, self._process.stdin
        assert reader is not None
        assert writer is not None
        writer.write(json.dumps({"command": command, "arguments": given}).encode() + b"\n")
        answer = json.loads(await asyncio.wait_for(reader.readline(), ANSWER_WITHIN))
        if "error" in answer:
            raise ClientError(answer["error"])
        return answer.get("result")


async def _called(function: Callable[..., T], *arguments: Any) -> T:
    """Call the library on a thread; what it raises is named by its class."""
    try:
        return await asyncio.to_thread(function, *arguments)
    except Exception as error:
        raise ClientError(f"{type(error).__name__} {getattr(error, 'error', '')} {error}") from error


class RequestsParty:
    """`requests-oauth2client`, on a thread of its own."""

    def __init__(self) -> None:
        self._client: OAuth2Client
        self._request: AuthorizationRequest
        self._token: DPoPToken

    async def begin(self, **given: Any) -> str:
        return await _called(self._begin, given)

    def _begin(self, given: Json) -> str:
        key = {**given["jwk"], "alg": "EdDSA", "kid": "client"}
        self._client = OAuth2Client.from_discovery_endpoint(
            f"{given['issuer']}/.well-known/oauth-authorization-server",
            issuer=given["issuer"],
            auth=PrivateKeyJwt(given["client_id"], key, alg="EdDSA", aud=given["issuer"]),
            redirect_uri=given["redirect_uri"],
            testing=True,  # http on this machine
            dpop_bound_access_tokens=True,
        )
        self._issuer = given["issuer"]
        self._request = self._client.authorization_request(
            scope=None,
            authorization_details=json.dumps(given["details"]),
            dpop=True,
            # The client read this in the metadata; it does not hand it on by itself.
            authorization_response_iss_parameter_supported=True,
        )
        pushed = self._client.pushed_authorization_request(self._request)
        assert isinstance(pushed, RequestUriParameterAuthorizationRequest)
        return str(pushed.uri)

    async def finish(self, **given: Any) -> Json:
        return await _called(self._finish, given)

    def _finish(self, given: Json) -> Json:
        answer = self._request.validate_callback(given["redirect"])
        return self._took(self._client.authorization_code(answer))

    def _took(self, token: BearerToken) -> Json:
        if not isinstance(token, DPoPToken):
            raise ClientError(f"expected a token bound to a key, found {type(token).__name__}")
        self._token = token
        return dict(token.as_dict())

    async def read(self, **given: Any) -> Json:
        return await _called(self._read, given)

    def _read(self, given: Json) -> Json:
        answer = self._client.session.get(f"{self._issuer}{given['path']}", auth=self._token)
        answer.raise_for_status()
        return dict(answer.json())

    async def refresh(self) -> Json:
        return await _called(lambda: self._took(self._client.refresh_token(self._token)))

    async def introspect(self) -> Json:
        return dict(await _called(self._client.introspect_token, self._token.access_token))

    async def revoke(self) -> None:
        await _called(self._client.revoke_refresh_token, self._token)

    async def whole(self) -> Json:
        return await _called(lambda: self._took(self._client.client_credentials(scope=None, dpop=True)))

    async def close(self) -> None:
        self._client.session.close()
