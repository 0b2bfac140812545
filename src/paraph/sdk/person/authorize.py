"""A person's side of a partner's authorization request: look at it, grant what is asked or less, or decline.

The answer comes back to this device and is opened in this person's own browser. Nobody else gets it: not whoever sent
her the address, who may be hoping that she opens her words to an account of theirs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

from paraph.protocol.authorization import InboxDetails, check_granted
from paraph.protocol.documents import parse
from paraph.protocol.errors import ProtocolError
from paraph.protocol.fields import ADVERTISING
from paraph.protocol.grant import Grant
from paraph.sdk.errors import SdkError, TransportError, TrustError
from paraph.sdk.person.consent import Consent, GrantTerms
from paraph.sdk.person.standing import GrantState
from paraph.sdk.transport import PARAPH, Transport, path

URN = "urn:ietf:params:oauth:request_uri:"
WAIT_MS = 10_000
ATTEMPTS = 6


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """What a partner asks for, and how far its answer is: `open`, `pending`, `done` or `declined`.

    `expires` is in milliseconds; `redirect_uri` is where the answer goes, by way of the person's browser.
    """

    id: str
    partner: str
    name: str
    asked: InboxDetails
    redirect_uri: str
    expires: int
    status: str

    def terms(self, *, advertising: bool = False) -> GrantTerms:
        """All that is asked for but advertising, which is granted only where the person says so.

        Raises SdkError where nothing else is asked for.
        """
        asked = self.asked
        rooms = None if asked.rooms == "all" else asked.rooms
        purposes = tuple(purpose for purpose in asked.purposes if advertising or purpose != ADVERTISING)
        if not purposes:
            raise SdkError(f"{self.partner} asks for nothing but {ADVERTISING}, which is never granted by default")
        return GrantTerms(purposes, asked.until, rooms, asked.verbs, asked.retention_days, asked.history)


@dataclass(frozen=True, slots=True)
class Answered:
    """A request that was granted: the grant, and the address to open in the person's own browser."""

    grant: GrantState
    redirect: str


class Authorize:
    """Answers requests with one device's keys."""

    def __init__(self, transport: Transport, consent: Consent, now: Callable[[], int]) -> None:
        """`now()` gives milliseconds since 1970."""
        self._transport = transport
        self._consent = consent
        self._now = now

    async def look(self, link: str) -> ConsentRequest:
        """See `Person.consents`."""
        request_id = request_of(link, self._transport.base_url)
        answer = await self._transport.json("GET", _url(request_id))
        request = _read(answer)
        if request.id != request_id:
            raise TransportError("the platform shows another request than the one asked for")
        return request

    async def answer(
        self, request: ConsentRequest, terms: GrantTerms | None, *, agree: Callable[[str], bool] | None
    ) -> Answered:
        """See `Person.answer`."""
        if request.status != "open":
            raise SdkError("this request was answered before")
        chosen = terms or request.terms()
        if request.asked.from_ is not None and request.asked.from_ > self._now():
            raise SdkError("the request is for a later time; answer it then")
        url = _url(request.id)
        grant, answer = await self._consent.grant_at(url, request.partner, chosen, agree=agree, check=_fits(request))
        if answer.get("status") != "pending":
            return Answered(grant, _redirect(request, answer))
        return Answered(grant, await self.collect(request))

    async def collect(self, request: ConsentRequest) -> str:
        """See `Person.collect`."""
        for _ in range(ATTEMPTS):
            answer = await self._transport.json("GET", _url(request.id), params={"timeout": WAIT_MS}, wait_ms=WAIT_MS)
            if answer.get("status") != "pending":
                return _redirect(request, answer)
        raise TransportError("the grant is recorded, but the platform does not say where to go back to")

    async def decline(self, request: ConsentRequest) -> str:
        """See `Person.decline`."""
        answer = await self._transport.json("POST", _url(request.id), {"declined": True}, idempotent=True)
        return _redirect(request, answer)


def request_of(link: str, base_url: str) -> str:
    """The id of the request behind an address (or a bare `request_uri`); raises SdkError for another platform's."""
    uri = link.strip()
    if not uri.startswith(URN):
        parts, ours = urlsplit(uri), urlsplit(base_url)
        if (parts.scheme, parts.netloc) != (ours.scheme, ours.netloc) or not parts.path.endswith("/oauth/authorize"):
            raise SdkError(f"this address is not one of {base_url}, where this device has its account")
        uri = (parse_qs(parts.query).get("request_uri") or [""])[0]
    request_id = uri.removeprefix(URN)
    if not uri.startswith(URN) or not request_id:
        raise SdkError("the address names no request")
    return request_id


def _url(request_id: str) -> str:
    return path(PARAPH + "/consents/{}", request_id)


def _fits(request: ConsentRequest) -> Callable[[Grant], None]:
    """Before it is signed: the grant gives no more than is asked for."""
    return lambda grant: check_granted(grant, request.asked, request.partner)


def _read(answer: dict[str, Any]) -> ConsentRequest:
    try:
        (details,) = answer["authorization_details"]
        partner = answer["partner"]
        return ConsentRequest(
            str(answer["id"]),
            str(partner["slug"]),
            str(partner["name"]),
            parse(InboxDetails, details),
            str(answer["redirect_uri"]),
            int(answer["expires"]),
            str(answer["status"]),
        )
    except (KeyError, TypeError, ValueError, ProtocolError) as error:
        raise TransportError("the platform does not say what is asked for") from error


def _redirect(request: ConsentRequest, answer: dict[str, Any]) -> str:
    """Where to go back to: the partner's own address and nothing else."""
    redirect = answer.get("redirect")
    if not isinstance(redirect, str):
        raise SdkError("the request is answered, and its code was used; there is no other redirect for it")
    separator = "&" if "?" in request.redirect_uri else "?"
    if not redirect.startswith(request.redirect_uri + separator):
        raise TrustError("the platform leads back to another address than the request named")
    return redirect
