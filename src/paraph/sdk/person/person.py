"""`Person`: one device of a person on a Paraph platform, from sign-up to grants."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from paraph.sdk.clock import system_time
from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.cross_signing import IdentitySeeds
from paraph.sdk.errors import MatrixError, SdkError
from paraph.sdk.keystore import MemoryStore, Records, Store
from paraph.sdk.log.partners import PartnerInfo, Trust
from paraph.sdk.log.promises import filed
from paraph.sdk.log.receipts import LedgerEntry
from paraph.sdk.media import Media
from paraph.sdk.person.authorize import Answered, Authorize, ConsentRequest
from paraph.sdk.person.consent import ENROLLED, Consent, GrantTerms
from paraph.sdk.person.driver import Driver
from paraph.sdk.person.history import Collector, History, Self, fork_evidence
from paraph.sdk.person.messaging import Messenger
from paraph.sdk.person.standing import GrantState
from paraph.sdk.person.verifying import Verification
from paraph.sdk.rooms import Message
from paraph.sdk.transport import CLIENT, PARAPH, Json, Transport

SESSION = "session"


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a person's next device needs to speak for her: identity seeds and, once enrolled, the account log key."""

    identity: IdentitySeeds = field(repr=False)
    log_key: bytes | None = field(repr=False)


class Session(msgspec.Struct, frozen=True):
    """Where and as whom the device is logged in; `refresh_token` gives the next access token, where this one expires.

    Both tokens are replaced together, on disk before the new ones are used.
    """

    base_url: str
    user_id: str
    device_id: str
    access_token: str
    refresh_token: str | None = None

    def __repr__(self) -> str:
        return f"Session({self.user_id}, {self.device_id})"


class Person(Messenger):
    """One logged-in device. Make it with `register`, `login` or `open`; `close` it at the end.

    Methods raise MatrixError for what the server refuses and TransportError when it cannot be reached.
    """

    def __init__(
        self, transport: Transport, records: Records, *, trust: Trust | None, now: Callable[[], int] = system_time
    ) -> None:
        """Load the device that the records hold; use the class methods instead."""
        session = records.get(SESSION, "self", Session)
        if session is None:
            raise SdkError("the store holds no session")
        transport.token = session.access_token
        transport.renew = None if session.refresh_token is None else self._renew
        engine = DeviceEngine(records, os.urandom)
        driver = Driver(transport, records, engine, now)
        consent = Consent(transport, records, engine, driver, trust, now)
        super().__init__(transport, records, engine, driver, consent, now)
        self._authorize = Authorize(transport, consent, now)
        self._media = Media(transport)

    def __repr__(self) -> str:
        return f"Person({self.user_id}, {self.device_id})"

    # Coming and going

    @classmethod
    async def register(
        cls,
        base_url: str,
        username: str,
        password: str,
        *,
        store: Store | None = None,
        registration_token: str | None = None,
        trust: Trust | None = None,
        now: Callable[[], int] = system_time,
        transport: Transport | None = None,
    ) -> "Person":
        """Make an account, this device and the person's cross-signing identity."""
        transport = transport or Transport(base_url)
        body: Json = {"username": username, "password": password, "inhibit_login": False, "refresh_token": True}
        body["auth"] = {"type": "m.login.dummy"}
        if registration_token is not None:
            body["auth"] = {"type": "m.login.registration_token", "token": registration_token}
        answer = await _register(transport, body)
        seeds = IdentitySeeds(*(os.urandom(32) for _ in range(3)))
        return await cls._begin(transport, answer, store, trust, now, seeds, published=False)

    @classmethod
    async def login(
        cls,
        base_url: str,
        username: str,
        password: str,
        *,
        store: Store | None = None,
        secrets: Secrets | None = None,
        trust: Trust | None = None,
        now: Callable[[], int] = system_time,
        transport: Transport | None = None,
    ) -> "Person":
        """Log a new device in. With the `secrets` of another device it signs itself and can enrol."""
        transport = transport or Transport(base_url)
        identifier = {"type": "m.id.user", "user": username}
        body = {"type": "m.login.password", "identifier": identifier, "password": password, "refresh_token": True}
        answer = await transport.json("POST", CLIENT + "/login", body)
        seeds = None if secrets is None else secrets.identity
        person = await cls._begin(transport, answer, store, trust, now, seeds, published=True)
        if secrets is not None and secrets.log_key is not None:
            person._consent.adopt_log_key(secrets.log_key)
        return person

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        trust: Trust | None = None,
        now: Callable[[], int] = system_time,
        transport: Transport | None = None,
    ) -> "Person":
        """Go on with the device in the store. Nothing is sent until something is asked for."""
        records = Records(store)
        session = records.get(SESSION, "self", Session)
        if session is None:
            raise SdkError("the store holds no session")
        return cls(transport or Transport(session.base_url), records, trust=trust, now=now)

    @classmethod
    async def _begin(
        cls,
        transport: Transport,
        answer: Json,
        store: Store | None,
        trust: Trust | None,
        now: Callable[[], int],
        seeds: IdentitySeeds | None,
        *,
        published: bool,
    ) -> "Person":
        records = Records(store or MemoryStore())
        session = Session(
            transport.base_url,
            answer["user_id"],
            answer["device_id"],
            answer["access_token"],
            answer.get("refresh_token"),
        )
        with records.step():
            records.put(SESSION, "self", session)
            DeviceEngine.create(
                records,
                session.user_id,
                session.device_id,
                random=os.urandom,
                identity=seeds,
                identity_published=published,
            )
        person = cls(transport, records, trust=trust, now=now)
        await person._driver.drain()
        return person

    async def _renew(self) -> None:
        """Replace the expired access token. An answer that is lost costs nothing: the old refresh token lives on."""
        session = self._records.get(SESSION, "self", Session)
        if session is None:
            raise SdkError("the store holds no session")
        asked = {"refresh_token": session.refresh_token}
        answer = await self._transport.json("POST", CLIENT + "/refresh", asked, idempotent=True, public=True)
        tokens = {"access_token": answer["access_token"]}
        tokens["refresh_token"] = answer.get("refresh_token", session.refresh_token)
        with self._records.step():
            self._records.put(SESSION, "self", msgspec.structs.replace(session, **tokens))
        self._transport.token = tokens["access_token"]

    async def logout(self) -> None:
        """End the session on the server and close the device. What the store holds can still be read."""
        await self._transport.json("POST", CLIENT + "/logout", {})
        await self.close()

    async def close(self) -> None:
        """Release connections and store."""
        await self._transport.close()
        self._records.close()

    def export_secrets(self) -> Secrets:
        """The secrets for `login` of the person's next device."""
        if self.engine.identity is None:
            raise SdkError("this device does not hold the person's identity")
        return Secrets(self.engine.identity.seeds, self._consent.log_key_or_none)

    def export_room_keys(self) -> list[Json]:
        """All Megolm sessions this device can read with, secret, for `import_room_keys` of the person's own device."""
        return self.engine.inbound.export()

    def import_room_keys(self, exported: Sequence[Json]) -> int:
        """Take in another own device's room keys; how many were new. What they open is never shown as verified."""
        with self._records.step():
            return self.engine.inbound.import_(list(exported))

    # Verification

    async def verify(self, user_id: str, device_id: str | None = None, *, room_id: str | None = None) -> Verification:
        """Ask somebody to compare emoji: a person (all her devices), one device, or a person in a room.

        With another device of one's own, the one that lacks the secrets of `export_secrets` gets them at the end.
        Raises SdkError where there is no device to ask.
        """
        return await self.verifying.request(user_id, device_id, room_id)

    def verifications(self) -> list[Verification]:
        """The verifications under way, those that others ask for included."""
        return self.verifying.all()

    def is_verified(self, user_id: str) -> bool:
        """Whether this person has compared codes with them, on this device or on one whose signature shows it."""
        user = self.engine.users.get(user_id)
        return user is not None and user.verified and not user.blocked

    # Files

    async def send_file(
        self, room_id: str, source: bytes | Path, *, name: str | None = None, content_type: str | None = None
    ) -> str:
        """Encrypt a file, upload it and send the message that opens it; returns its event id.

        `name` is by default the path's. Raises MatrixError where it is too large or the account has no room for it.
        """
        room = self.rooms.get(room_id) or await self.load_room(room_id)
        if not room.encrypted:
            raise SdkError(f"room {room_id} is not encrypted; files are sent to encrypted rooms only")
        content = await self._media.upload(room_id, source, name, content_type)
        return await self.send(room_id, "m.room.message", content)

    async def download(self, message: Message) -> bytes:
        """The file that a message carries, decrypted. Raises MediaError."""
        return await self._media.download(message)

    # Partners

    async def enrol(self) -> LedgerEntry:
        """Enrol this device: commit to the account log key (docs/protocol.md §6); again: the same entry."""
        return await self._consent.enrol()

    async def partners(self) -> list[PartnerInfo]:
        """The partners whose public records verify."""
        return await self._consent.partners()

    async def grants(self) -> list[GrantState]:
        """The person's grants, those whose signature chain verifies."""
        return await self._consent.grants()

    async def grant(self, partner: str, terms: GrantTerms, *, agree: Callable[[str], bool] | None = None) -> GrantState:
        """Let a partner read this person's own words from now on.

        Verifies the agreement in the log, renders the consent text, asks `agree` (when given) with that text, signs,
        waits until the grant is in the log, and sends the grant's key to the partner's live devices. Raises TrustError,
        LogError, ProtocolError (terms beyond the agreement), ConsentRefusedError.
        """
        granted = await self._consent.grant(partner, terms, agree=agree)
        await self._share_history_quietly()
        return granted

    async def consents(self, link: str) -> ConsentRequest:
        """What a partner asks for: the address it sent this person to. From now on she alone can answer it.

        Raises SdkError for an address that is none of this platform's, MatrixError for a request that has run out.
        """
        return await self._authorize.look(link)

    async def answer(
        self, request: ConsentRequest, terms: GrantTerms | None = None, *, agree: Callable[[str], bool] | None = None
    ) -> Answered:
        """Grant what is asked for or, with `terms`, less; the redirect is for this person's own browser.

        Raises as `grant`, and ProtocolError for terms beyond the request.
        """
        answered = await self._authorize.answer(request, terms, agree=agree)
        await self._share_history_quietly()
        return answered

    async def collect(self, request: ConsentRequest) -> str:
        """The redirect of a request that was answered, should the answer have been lost on its way. Raises SdkError."""
        return await self._authorize.collect(request)

    async def decline(self, request: ConsentRequest) -> str:
        """Decline; returns the address at which the partner learns it."""
        return await self._authorize.decline(request)

    async def revoke(self, grant_id: str, reason: str | None = None) -> LedgerEntry:
        """End a grant for good. The next message is sent with a new key."""
        return await self._consent.revoke(grant_id, reason)

    async def pause(self, grant_id: str) -> str:
        """Suspend a grant; returns the id that `resume` takes."""
        return await self._consent.pause(grant_id)

    async def resume(self, grant_id: str, pause_id: str) -> LedgerEntry:
        """Take a pause back."""
        return await self._consent.amend(grant_id, {"op": "resume", "pause_id": pause_id})

    async def drop_rooms(self, grant_id: str, rooms: Iterable[str]) -> LedgerEntry:
        """Take rooms out of a grant."""
        return await self._consent.amend(grant_id, {"op": "drop_rooms", "rooms": sorted(rooms)})

    async def shorten(self, grant_id: str, until: int) -> LedgerEntry:
        """Let a grant end earlier, at `until` (milliseconds)."""
        return await self._consent.amend(grant_id, {"op": "shorten", "until": until})

    async def entries(self, *, prove: bool = False) -> list[LedgerEntry]:
        """Everything the platform says it recorded about this person, oldest first, each under its right label.

        With `prove`, each entry is also proven to be in the log just so (slow the first time). Raises ReceiptError,
        LogError.
        """
        return await self._consent.entries(prove=prove)

    async def history(self) -> History:
        """Every record that concerns this person, proven to be all that the log holds, with the verdicts per partner.

        What the platform leaves out or changes is named in the report and is no exception. Raises LogError where the
        log cannot be relied upon, NotEnrolledError.
        """
        grants, _, log_view = await self._consent._parts()
        enrolment = self._records.get(ENROLLED, "self", Json)
        known = Self(self.user_id, grants.log_key, grants.master_key, enrolment)
        return await Collector(self._transport, self._records, log_view, known).collect(self._now())

    async def fork(self) -> bytes | None:
        """The evidence file of a fork, if the log has shown this device two histories; None if it has not."""
        _, _, log_view = await self._consent._parts()
        return fork_evidence(log_view)

    def evidence(self) -> list[bytes]:
        """An evidence file for each act of hers that the platform promised to record and did not, once that is late.

        The device looks for it with each look at the grants.
        """
        return filed(self._records)

    async def list_me(self, *, listed: bool) -> None:
        """Let oneself be listed among the friends of one's friends, as a code for each partner, or not any more."""
        await self._transport.json("PUT", PARAPH + "/friends-listing", {"listed": listed})

    async def trust(self) -> Trust:
        """The keys of log and operator that this device has pinned."""
        return await self._consent.trust()


async def _register(transport: Transport, body: Json) -> Json:
    """Register in one request, or in two where the server insists on an interactive session."""
    url = CLIENT + "/register"
    try:
        return await transport.json("POST", url, body)
    except MatrixError as error:
        session = error.body.get("session")
        if error.status != 401 or not isinstance(session, str) or "errcode" in error.body:
            raise
    return await transport.json("POST", url, {**body, "auth": {**body["auth"], "session": session}})
