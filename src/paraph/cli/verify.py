"""`paraph user verify`: a person compares emoji with another device, on a device of her own that has its store here."""

import asyncio
from pathlib import Path

import typer
from rich.markup import escape

from paraph.cli.consent import passphrase
from paraph.cli.output import emit_json, err, fail
from paraph.sdk import Person, ShortCode, SqliteStore, Verification, VerificationError
from paraph.sdk.errors import SdkError

SYNC_MS = 5_000


def verify(store: Path, user_id: str | None, device: str | None, room: str | None, *, as_json: bool) -> None:
    """Compare with whom the options name, and say how it went."""
    if not store.is_file():
        fail(f"there is no key store {store}")
    try:
        found = asyncio.run(_run(SqliteStore.open(store, passphrase=passphrase()), user_id, device, room))
    except SdkError as error:
        fail(str(error))
    if as_json:
        emit_json(found)
    else:
        err.print(f"{escape(str(found['user_id']))} is verified.")


async def _run(store: SqliteStore, user_id: str | None, device: str | None, room: str | None) -> dict[str, object]:
    person = await Person.open(store)
    try:
        async with asyncio.TaskGroup() as group:
            following = group.create_task(_follow(person))
            verification = await _begin(person, user_id, device, room)
            code = await verification.code()
            await _compare(verification, code)
            await verification.done()
            following.cancel()
        await person.sync()  # what follows, secrets for instance
    except BaseExceptionGroup as group_of_one:
        raise group_of_one.exceptions[0] from None
    finally:
        await person.close()
    shown = {"emoji": [name for _, name in code.emoji], "decimals": list(code.decimals)}
    return {"user_id": verification.user_id, "device_id": verification.device_id, "verified": True, **shown}


async def _follow(person: Person) -> None:
    """What the other side says comes with each sync."""
    while True:
        await person.sync(SYNC_MS)


async def _begin(person: Person, user_id: str | None, device: str | None, room: str | None) -> Verification:
    if user_id is not None:
        asked = await person.verify(user_id, device, room_id=room)
        err.print(f"Asked. Waiting for {escape(user_id)} to accept on another screen ...")
        return asked
    err.print("Waiting for somebody to ask ...")
    while not (waiting := [one for one in person.verifications() if one.incoming]):
        await person.verifying.moved()
    first = waiting[0]
    if not await _ask(f"{first.user_id} asks, from the device {first.device_id}. Do you want to compare?"):
        await first.cancel()
        raise VerificationError("m.user", "you did not want to")
    await first.accept()
    await first.start()
    return first


async def _compare(verification: Verification, code: ShortCode) -> None:
    err.print("\n  " + "   ".join(f"{symbol} {name}" for symbol, name in code.emoji))
    err.print("  or, as numbers: " + " ".join(map(str, code.decimals)) + "\n")
    if await _ask("Does the other screen show the same, in the same order?"):
        await verification.confirm()
        return
    await verification.mismatch()
    raise VerificationError("m.mismatched_sas", "the other screen shows something else: somebody may be in between")


async def _ask(question: str) -> bool:
    """Asked in a thread: the device goes on syncing meanwhile."""
    return await asyncio.to_thread(typer.confirm, escape(question), default=False, err=True)
