"""The way between the author's device and the platform, on which the keys she shares with partners can get lost."""

import httpx

from paraph.sdk import Transport

TIMEOUT = 30.0


class Post(httpx.AsyncBaseTransport):
    """Passes everything on, except what carries keys to partners while `losing`; that is kept, to be found again."""

    def __init__(self, url: str) -> None:
        self.losing = False
        self._url = url
        self._lost: list[httpx.Request] = []
        self._wire = httpx.AsyncHTTPTransport()
        self._client = httpx.AsyncClient(transport=self, timeout=TIMEOUT)

    def transport(self) -> Transport:
        """The author's way to the platform."""
        return Transport(self._url, client=self._client)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass it on, or lose it: the device believes that it arrived."""
        if self.losing and request.method == "PUT" and "/key-shares/" in request.url.path:
            await request.aread()
            self._lost.append(request)
            return httpx.Response(200, json={"entries": []})
        return await self._wire.handle_async_request(request)

    async def find(self) -> int:
        """Lose nothing more, and let what was lost arrive; how many shares of keys the platform then took."""
        self.losing, found, self._lost = False, self._lost, []
        taken = 0
        for request in found:
            response = await self._wire.handle_async_request(request)
            await response.aread()
            taken += response.is_success
        return taken

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def aclose(self) -> None:
        """Close the wire; the client does."""
        await self._wire.aclose()
