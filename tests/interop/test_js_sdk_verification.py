"""People compare emoji across libraries: matrix-js-sdk on one side, Paraph's own client on the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from paraph.sdk import ShortCode, Verification, VerificationError
from tests.interop.conftest import StartJsSdk, StartPerson
from tests.interop.js_sdk_party import JsSdkParty
from tests.interop.party import PATIENCE, meet, tell
from tests.interop.person_party import PersonParty

pytestmark = pytest.mark.slow


@contextlib.asynccontextmanager
async def syncing(*parties: PersonParty) -> AsyncIterator[None]:
    """These devices sync all the while."""

    async def follow(party: PersonParty) -> None:
        while True:
            await party.step(1000)

    tasks = [asyncio.create_task(follow(party)) for party in parties]
    try:
        async with asyncio.timeout(PATIENCE):
            yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def asked(ours: PersonParty) -> Verification:
    """The request that somebody made to this device."""
    while not (found := [one for one in ours.person.verifications() if one.incoming]):
        await ours.person.verifying.moved()
    return found[0]


async def same_code(mine: Verification, theirs: JsSdkParty) -> None:
    """Both show the same emoji, by the same names, and the same numbers."""
    code, shown = await asyncio.gather(mine.code(), theirs.do("code"))
    emoji = tuple((symbol, name) for symbol, name in shown["emoji"])
    assert ShortCode(emoji, tuple(shown["decimals"])) == code


async def both_confirm(mine: Verification, theirs: JsSdkParty) -> None:
    """Both people confirm, and both devices come to the end."""
    await mine.confirm()
    await theirs.do("confirm")
    await mine.done()
    assert await theirs.do("ended") == "done"


async def verified(ours: PersonParty, theirs: JsSdkParty) -> None:
    """Each side takes the other's identity for verified, by the signatures that lie on the server."""
    assert ours.person.is_verified(theirs.user_id)
    while not await theirs.do("trusts", user_id=ours.user_id):
        await theirs.step(1000)
    assert await theirs.do("trusts", user_id=ours.user_id, device_id=ours.device_id)


async def test_we_ask_in_messages_to_devices(js_sdk: StartJsSdk, person: StartPerson) -> None:
    """Paraph's client asks every device of a person; js-sdk answers."""
    ours, theirs = await person("person-asks"), await js_sdk("js-asked")
    await meet(ours, theirs)
    async with syncing(ours):
        mine = await ours.person.verify(theirs.user_id)
        assert (await theirs.do("incoming"))["device_id"] == ours.device_id
        await theirs.do("accept")
        await same_code(mine, theirs)
        await both_confirm(mine, theirs)
        await verified(ours, theirs)


async def test_they_ask_in_a_room(js_sdk: StartJsSdk, person: StartPerson) -> None:
    """js-sdk asks in the encrypted room, as Element does; Paraph's client answers there."""
    ours, theirs = await person("person-in-room"), await js_sdk("js-in-room")
    room = await meet(ours, theirs)
    await tell(theirs, ours, room, "Let me verify you.")
    async with syncing(ours):
        await theirs.do("request", user_id=ours.user_id, room_id=room)
        mine = await asked(ours)
        assert mine.room_id == room
        await mine.accept()
        await theirs.do("start")
        await same_code(mine, theirs)
        await both_confirm(mine, theirs)
        await verified(ours, theirs)


async def test_we_ask_in_a_room_and_both_start(js_sdk: StartJsSdk, person: StartPerson) -> None:
    """Both begin at once: both settle on the same start, by the smaller name."""
    ours, theirs = await person("z-person-first"), await js_sdk("a-js-first")
    room = await meet(ours, theirs)
    async with syncing(ours):
        mine = await ours.person.verify(theirs.user_id, room_id=room)
        await theirs.do("incoming")
        await theirs.do("accept")
        await theirs.do("start")
        await same_code(mine, theirs)
        await both_confirm(mine, theirs)
        await verified(ours, theirs)


@pytest.mark.parametrize("who", ["ours", "theirs"])
async def test_different_emoji_end_it(js_sdk: StartJsSdk, person: StartPerson, who: str) -> None:
    """Whoever sees something else says so; the other side learns it, and nobody is verified."""
    ours, theirs = await person(f"person-{who}-no"), await js_sdk(f"js-{who}-no")
    await meet(ours, theirs)
    async with syncing(ours):
        mine = await ours.person.verify(theirs.user_id, theirs.device_id)
        await theirs.do("incoming")
        await theirs.do("accept")
        await same_code(mine, theirs)
        if who == "ours":
            await mine.mismatch()
        else:
            await theirs.do("mismatch")
            with pytest.raises(VerificationError, match=r"m\.mismatched_sas"):
                await mine.done()
        assert await theirs.do("ended") == "m.mismatched_sas"
        assert not ours.person.is_verified(theirs.user_id)
        assert not await theirs.do("trusts", user_id=ours.user_id)


async def test_our_next_device_gets_its_secrets_from_js_sdk(js_sdk: StartJsSdk, person: StartPerson) -> None:
    """A person of js-sdk logs in with Paraph's client, compares, and it signs itself with what it is given."""
    theirs = await js_sdk("js-then-person")
    ours = await person("js-then-person", log_in=True)
    assert ours.person.engine.identity is None
    async with syncing(ours):
        await theirs.do("request", user_id=ours.user_id, device_id=ours.device_id)
        mine = await asked(ours)
        await mine.accept()
        await theirs.do("start")
        await same_code(mine, theirs)
        await both_confirm(mine, theirs)
        while ours.person.engine.identity is None:
            await ours.person.verifying.moved()
        while not await theirs.do("trusts", user_id=ours.user_id, device_id=ours.device_id):
            await theirs.step(1000)


async def test_their_next_device_gets_its_secrets_from_us(js_sdk: StartJsSdk, person: StartPerson) -> None:
    """A person of Paraph's client logs in with js-sdk, compares, and it holds her whole identity."""
    ours = await person("person-then-js")
    theirs = await js_sdk("person-then-js", log_in=True)
    async with syncing(ours):
        mine = await ours.person.verify(ours.user_id)
        await theirs.do("incoming")
        await theirs.do("accept")
        await same_code(mine, theirs)
        await both_confirm(mine, theirs)
        while not all((await theirs.do("owns")).values()):
            await theirs.step(1000)
        assert await theirs.do("trusts", user_id=ours.user_id, device_id=theirs.device_id)
