"""An operator that lies to one person: all that her device asks and is answered passes through its hands.

The platform behind is the real one and honest to everybody else. A lie stands between one client and it, and may change
what is asked and what is answered, as whoever runs the front server can. It has no key of anybody.
"""

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import httpx

from paraph.sdk import Transport

Json = dict[str, Any]
Forward = Callable[[httpx.Request], Awaitable[httpx.Response]]
Lie = Callable[[httpx.Request, Forward], Awaitable[httpx.Response]]

PARAPH, INBOX = "/_paraph/v1", "/inbox/v1"
CLAIM = "/_matrix/client/v3/keys/claim"
LOG = ("/log/", f"{PARAPH}/log/")
TIMEOUT = 30.0


async def honest(request: httpx.Request, forward: Forward) -> httpx.Response:
    """No lie."""
    return await forward(request)


class Hands(httpx.AsyncBaseTransport):
    """What lies between one client and the platform. `lie` may be exchanged at any time."""

    def __init__(self, url: str, lie: Lie = honest) -> None:
        self.lie = lie
        self._url = url
        self._wire = httpx.AsyncHTTPTransport()
        self._client = httpx.AsyncClient(transport=self, timeout=TIMEOUT)

    def transport(self) -> Transport:
        """A client's way to the platform, through these hands; to be made anew after the client closed it."""
        return Transport(self._url, client=self._client)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass it on, as the lie has it."""
        return await self.lie(request, self._wire.handle_async_request)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def aclose(self) -> None:
        """Close the wire; the client does."""
        await self._wire.aclose()


def all_of(*lies: Lie) -> Lie:
    """Several lies at once."""

    def through(outer: Lie, inner: Lie) -> Lie:
        return lambda request, forward: outer(request, lambda changed: inner(changed, forward))

    whole: Lie = honest
    for lie in lies:
        whole = through(whole, lie)
    return whole


# About keys


async def cuts_off_the_cosignatures(request: httpx.Request, forward: Forward) -> httpx.Response:
    """Shows checkpoints with the log's own signature alone."""
    response = await forward(request)
    if request.url.path != "/log/checkpoint":
        return response
    text, _, signatures = (await response.aread()).partition(b"\n\n")
    origin = text.split(b"\n")[0]
    own = [line for line in signatures.split(b"\n") if line.startswith("\u2014 ".encode() + origin + b" ")]
    return httpx.Response(200, content=text + b"\n\n" + b"\n".join(own) + b"\n")


def lists_a_grant(listed: Json) -> Lie:
    """Shows her a grant among her own that she did not make, and that nobody else is shown."""

    def change(answer: Json) -> None:
        answer["grants"].append(listed)

    return _answering(f"{PARAPH}/grants", change)


def lists_a_device(slug: str, record: Json, key: Json) -> Lie:
    """Shows a record of one more device of a partner, and a one-time key for it when she asks for one."""
    keys = record["document"]["device_keys"]

    def change(answer: Json) -> None:
        answer["devices"].append(record)

    def claimed(answer: Json) -> None:
        answer["one_time_keys"].setdefault(keys["user_id"], {})[keys["device_id"]] = key

    return all_of(_answering(f"{PARAPH}/partners/{slug}", change), _answering(CLAIM, claimed, method="POST"))


def lists_an_agreement(slug: str, record: Json) -> Lie:
    """Shows a version of a partner's agreement that the log does not have, and does not let her wait for it there."""

    def change(answer: Json) -> None:
        answer["agreements"].append(record)

    async def at_once(request: httpx.Request, forward: Forward) -> httpx.Response:
        if request.url.path.startswith(f"{PARAPH}/log/leaf/"):
            request = httpx.Request(request.method, request.url.copy_remove_param("timeout"), headers=request.headers)
        return await forward(request)

    return all_of(_answering(f"{PARAPH}/partners/{slug}", change), at_once)


def hides_a_revocation(grant_id: str) -> Lie:
    """Shows a grant as if it had not been revoked, in both lists where that stands."""

    def revived(answer: Json) -> None:
        for listed in answer["grants"]:
            if listed["grant"]["grant_id"] == grant_id:
                listed.update(revocation=None, live=True)

    def forgotten(answer: Json) -> None:
        answer["entries"] = [shown for shown in answer["entries"] if shown["entry"]["kind"] != "revoke"]

    return all_of(_answering(f"{PARAPH}/grants", revived), _answering(f"{PARAPH}/entries", forgotten))


class FrozenLog:
    """The log as it stood: first her device is answered truly while this `listens`, then the same again and again."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, str, bytes], bytes] = {}

    async def listens(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        """Keep what the log answers."""
        response = await forward(request)
        if request.url.path.startswith(LOG) and response.status_code == httpx.codes.OK:
            self._answers[_asked(request)] = await response.aread()
        return response

    async def repeats(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        """Answer as before."""
        kept = self._answers.get(_asked(request))
        return await forward(request) if kept is None else httpx.Response(200, content=kept)


class Post:
    """Keys that the operator takes in the platform's place, without a record, and hands to whoever they are for."""

    def __init__(self) -> None:
        self.taken = 0
        self._letters: dict[str, list[Json]] = {}

    def takes(self, sender: str, *, grants: Collection[str] = (), devices: Collection[str] = ()) -> Lie:
        """Take what her device shares under these grants, or with these devices; the platform gets the rest."""

        async def lie(request: httpx.Request, forward: Forward) -> httpx.Response:
            before, shares, _ = request.url.path.partition("/key-shares/")
            if request.method != "PUT" or not shares:
                return await forward(request)
            made = json.loads(await request.aread())["shares"]
            kept = [one for one in made if before.rpartition("/")[2] in grants or one["device_id"] in devices]
            for one in kept:
                self._letters.setdefault(one["device_id"], []).append({"sender": sender, "content": one["content"]})
            self.taken += len(kept)
            rest = [one for one in made if one not in kept]
            return await forward(_asking(request, {"shares": rest})) if rest else _json({"entries": []})

        return lie

    async def hands_over(self, request: httpx.Request, forward: Forward) -> httpx.Response:
        """Give a partner's device what was taken for it, with what the platform has."""
        response = await forward(request)
        letters = self._letters.get(request.url.params.get("device_id", ""))
        if request.url.path != f"{INBOX}/key-events" or not letters:
            return response
        if response.status_code in (httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND):
            # A device that the platform does not know.
            answer = {"events": letters.copy(), "next": None}
        else:
            answer = json.loads(await response.aread())
            answer["events"] = [*answer["events"], *letters]
        letters.clear()
        return _json(answer, response.headers)


# About records


def hides_an_entry(seq: int) -> Lie:
    """Leaves one record out of her list."""

    def change(answer: Json) -> None:
        answer["entries"] = [shown for shown in answer["entries"] if shown["seq"] != seq]

    return _answering(f"{PARAPH}/entries", change)


def edits_an_entry(seq: int) -> Lie:
    """Shows one read as smaller than it was."""

    def change(answer: Json) -> None:
        for shown in answer["entries"]:
            if shown["seq"] == seq:
                shown["entry"]["body"]["event_ids"].pop()

    return _answering(f"{PARAPH}/entries", change)


async def strips_the_receipts(request: httpx.Request, forward: Forward) -> httpx.Response:
    """Gives a partner messages and access entries, and promises nothing about them."""
    path = request.url.path
    if not (path.startswith(f"{INBOX}/rooms/") and path.endswith("/messages")):
        return await forward(request)

    def change(answer: Json) -> None:
        for access in answer["accesses"]:
            access.pop("receipt", None)

    return await _answering(path, change)(request, forward)


# Inside


def _answering(path: str, change: Callable[[Json], None], *, method: str = "GET") -> Lie:
    """Change the JSON that is answered to requests for this path."""

    async def lie(request: httpx.Request, forward: Forward) -> httpx.Response:
        response = await forward(request)
        if (request.method, request.url.path) != (method, path) or response.status_code != httpx.codes.OK:
            return response
        answer = json.loads(await response.aread())
        change(answer)
        return _json(answer, response.headers)

    return lie


def _json(answer: Json, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """An answer; of other headers, those that do not speak of the body stay."""
    kept = {name: value for name, value in (headers or {}).items() if not name.lower().startswith(("content-", "tran"))}
    return httpx.Response(200, headers=kept, json=answer)


def _asking(request: httpx.Request, body: Json) -> httpx.Request:
    headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
    return httpx.Request(request.method, request.url, headers=headers, json=body)


def _asked(request: httpx.Request) -> tuple[str, str, bytes]:
    return request.method, str(request.url), request.content
