"""One POST to an address that somebody else chose: it was checked, without redirects, within a few seconds."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from paraph.server.outgoing.target import BadTarget, Resolve, Target, checked_address, parse, system_resolve

CONNECT_WITHIN = 5.0
ANSWER_WITHIN = 10.0
"""Seconds for the whole of it."""
MAX_ANSWER = 16_384


class Unreachable(Exception):
    """The endpoint gave no answer; the message says why, for the partner's developer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the endpoint said: status, and the first bytes of the body."""

    status: int
    body: bytes


class Sender:
    """Sends; no connection is used twice, since two hosts may share an address and not a certificate."""

    def __init__(
        self,
        *,
        anywhere: bool = False,
        context: ssl.SSLContext | None = None,
        resolve: Resolve = system_resolve,
    ) -> None:
        """`anywhere`: also plain http and addresses that are not public, for tests."""
        self.anywhere = anywhere
        self._resolve = resolve
        self._context = context
        self._made: httpx.AsyncClient | None = None

    @property
    def _client(self) -> httpx.AsyncClient:
        """Made when it is needed first: reading all root certificates takes time."""
        if self._made is None:
            self._made = httpx.AsyncClient(
                verify=True if self._context is None else self._context,
                trust_env=False,  # a proxy would resolve the name again
                follow_redirects=False,
                timeout=httpx.Timeout(ANSWER_WITHIN, connect=CONNECT_WITHIN),
                limits=httpx.Limits(max_keepalive_connections=0),
            )
        return self._made

    async def close(self) -> None:
        """Close."""
        if self._made is not None:
            await self._made.aclose()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send and take the answer, whatever it is. Raises BadTarget, Unreachable."""
        target = parse(url, anywhere=self.anywhere)
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                address = await checked_address(target, self._resolve, anywhere=self.anywhere)
                return await self._post(target, address, headers, body)
        except TimeoutError:
            raise Unreachable(f"no answer within {ANSWER_WITHIN:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise Unreachable(f"{type(error).__name__}: {str(error)[:200]}") from None

    async def _post(self, target: Target, address: str, headers: Mapping[str, str], body: bytes) -> Answer:
        host = f"[{address}]" if ":" in address else address
        request = self._client.build_request(
            "POST",
            f"{target.scheme}://{host}:{target.port}{target.path}",
            headers={**headers, "host": target.authority, "content-type": "application/json"},
            content=body,
            extensions={"sni_hostname": target.host},  # the certificate must be the name's
        )
        response = await self._client.send(request, stream=True)
        try:
            found = b""
            async for piece in response.aiter_raw(MAX_ANSWER):
                found += piece
                if len(found) >= MAX_ANSWER:
                    break
            return Answer(response.status_code, found[:MAX_ANSWER])
        finally:
            await response.aclose()


__all__ = ["Answer", "BadTarget", "Sender", "Unreachable"]
