"""Verification between two devices as their people meet it: ask or accept, compare, say whether it is the same.

What the other side says comes with `Person.sync`: somebody has to call it while a verification is waited for.
"""

import asyncio
import logging
import secrets as randomness
from collections.abc import Awaitable, Callable, Iterable

from paraph.sdk.engine import DeviceEngine
from paraph.sdk.engine.model import Json
from paraph.sdk.engine.verification import CancelCode, Flow, Phase, ShortCode
from paraph.sdk.engine.verification.model import RoomNote
from paraph.sdk.errors import SdkError, VerificationError
from paraph.sdk.keystore import Records
from paraph.sdk.person.driver import Driver
from paraph.sdk.rooms import Message

log = logging.getLogger(__name__)

SendToRoom = Callable[[str, str, Json, str], Awaitable[str]]
"""Sends a message to a room: room, type, content, transaction id; gives its event id."""


class Verification:
    """One comparison with one other device. Methods that wait raise VerificationError once it is cancelled."""

    def __init__(self, verifying: "Verifying", flow: Flow) -> None:
        self._verifying = verifying
        self._flow = flow

    def __repr__(self) -> str:
        return f"Verification({self.user_id}, {self.device_id}, {self.phase.name})"

    @property
    def user_id(self) -> str:
        """The other person (or this one, for a device of her own)."""
        return self._flow.user_id

    @property
    def device_id(self) -> str | None:
        """The other device, once it is known which one answers."""
        return self._flow.device_id

    @property
    def room_id(self) -> str | None:
        """The room in which it is held, or None."""
        return self._flow.room_id

    @property
    def incoming(self) -> bool:
        """Whether the other side asked."""
        return self._flow.incoming

    @property
    def phase(self) -> Phase:
        """How far it has come."""
        return self._flow.phase

    async def accept(self) -> None:
        """Agree to a request that came in."""
        await self._verifying.look_up(self.user_id)
        await self._act(self._flow.accept)

    async def start(self) -> None:
        """Begin the comparison. Whoever asked need not call it: their device begins by itself."""
        await self._act(self._flow.start)

    async def code(self) -> ShortCode:
        """Wait for what both people have to compare, by another way than this platform."""
        await self._until(lambda: self._flow.code is not None)
        if self._flow.code is None:
            raise VerificationError(CancelCode.UNEXPECTED_MESSAGE.value, "there is nothing to compare")
        return self._flow.code

    async def confirm(self) -> None:
        """The person says that both show the same."""
        await self._act(self._flow.confirm)

    async def mismatch(self) -> None:
        """The person says that they differ: somebody is in between."""
        await self._act(lambda: self._flow.cancel(CancelCode.MISMATCHED_SAS, "the short codes differ"))

    async def cancel(self) -> None:
        """Do not go on."""
        await self._act(self._flow.cancel)

    async def done(self) -> None:
        """Wait for the end: both have confirmed, and each device has proven its keys to the other."""
        await self._until(lambda: self._flow.phase == Phase.DONE)

    async def _act(self, action: Callable[[], None]) -> None:
        self._raise_if_over()
        await self._verifying.act(self._flow, action)
        self._raise_if_over()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._raise_if_over()
            await self._verifying.moved()

    def _raise_if_over(self) -> None:
        cancelled = self._flow.cancelled
        if cancelled is not None and not cancelled.by_us:
            raise VerificationError(cancelled.code, cancelled.reason)
        if cancelled is not None and cancelled.code not in _OWN_WISH:
            raise VerificationError(cancelled.code, cancelled.reason)


_OWN_WISH = (CancelCode.USER.value, CancelCode.MISMATCHED_SAS.value)


class Verifying:
    """The verifications of one device."""

    def __init__(
        self, records: Records, engine: DeviceEngine, driver: Driver, send: SendToRoom, now: Callable[[], int]
    ) -> None:
        self._records = records
        self._engine = engine
        self._driver = driver
        self._send = send
        self._now = now
        self._moved = asyncio.Event()

    def all(self) -> list[Verification]:
        """Those under way, those that others ask for included."""
        return [Verification(self, flow) for flow in self._engine.verifications.open()]

    async def request(self, user_id: str, device_id: str | None, room_id: str | None) -> Verification:
        """Ask a person's devices, one of them, or (in a room) the person. Raises SdkError where there is no device."""
        await self.look_up(user_id)
        if room_id is not None:
            return await self._request_in_room(user_id, room_id)
        user = self._engine.users.get(user_id)
        known = [d.device_id for d in (user.devices if user else ()) if not d.gone and not d.changed]
        own = self._engine.device_id if user_id == self._engine.user_id else None
        devices = [name for name in known if name != own and device_id in (None, name)]
        if not devices:
            raise SdkError(f"{user_id} has no such device to verify")
        with self._records.step():
            flow = self._engine.verifications.request(user_id, devices, self._now())
        await self._driver.drain()
        return Verification(self, flow)

    async def look_up(self, user_id: str) -> None:
        """Have the person's devices as they are now."""
        with self._records.step():
            self._engine.users.track([user_id])
            self._engine.users.outdate([user_id])
        await self._driver.drain()

    async def act(self, flow: Flow, action: Callable[[], None]) -> None:
        """Do it and send what follows. Raises SdkError where it does not fit now."""
        try:
            with self._records.step():
                self._engine.verifications.act(flow, action)
        except ValueError as error:
            raise SdkError(str(error)) from error
        await self.send_notes()
        await self._driver.drain()
        self.wake()

    def hear(self, messages: Iterable[Message]) -> None:
        """Take in what rooms brought (in the step of a sync)."""
        for one in messages:
            self._engine.verifications.receive_in_room(
                one.room_id, one.event_id, one.sender, one.type, one.content, one.ts, self._now()
            )

    async def send_notes(self) -> None:
        """Send what verifications have to say in rooms. What fails is not sent again: the comparison runs out."""
        for note in self._engine.verifications.room_notes():
            try:
                await self._note(note)
            except SdkError as error:
                log.warning("a verification cannot go on in %s: %s", note.room_id, error)

    def wake(self) -> None:
        """Let those who wait look again."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def moved(self) -> None:
        """Wait until something has happened."""
        await self._moved.wait()

    async def _request_in_room(self, user_id: str, room_id: str) -> Verification:
        content = self._engine.verifications.room_request(user_id)
        event_id = await self._send(room_id, "m.room.message", content, randomness.token_hex(16))
        flow = self._engine.verifications.requested_in_room(room_id, event_id, user_id, self._now())
        return Verification(self, flow)

    async def _note(self, note: RoomNote) -> None:
        await self._send(note.room_id, note.event_type, note.content, randomness.token_hex(16))
