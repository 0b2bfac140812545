"""People's devices against a real server: talking, and what survives restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from paraph.sdk import MatrixError, MemoryStore, Message, Person, SdkError, SqliteStore, Store
from tests.conftest import StartServer
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow

PASSWORD = "correct horse battery staple"
SignUp = Callable[..., Awaitable[Person]]


@pytest_asyncio.fixture
async def sign_up(server: RunningServer) -> AsyncIterator[SignUp]:
    """Make people on the module's server; all are closed at the end."""
    people: list[Person] = []

    async def make(store: Store | None = None) -> Person:
        name = f"p{uuid4().hex[:12]}"
        person = await Person.register(server.url, name, PASSWORD, store=store)
        people.append(person)
        return person

    yield make
    for person in people:
        await person.close()


async def room_of(author: Person, *others: Person) -> str:
    """A room in which all of them are, and all know it."""
    room_id = await author.create_room([other.user_id for other in others])
    for other in others:
        await other.join(room_id)
    for person in (author, *others):
        await person.sync()
    return room_id


async def received(person: Person, event_id: str) -> Message:
    """The message, once it and its key have come."""
    for _ in range(20):
        update = await person.sync(2000)
        for message in (*update.late, *update.messages):
            if message.event_id == event_id and message.undecryptable is None:
                return message
    raise AssertionError(f"{event_id} did not arrive")


async def test_two_people_talk(sign_up: SignUp) -> None:
    """Two people who just met read each other, from verified devices, in a room encrypted from the start."""
    author, correspondent = await sign_up(), await sign_up()
    room_id = await room_of(author, correspondent)
    first = await received(correspondent, await author.send_text(room_id, "hello"))
    second = await received(author, await correspondent.send_text(room_id, "hello yourself"))
    assert (first.body, first.sender, first.verified) == ("hello", author.user_id, True)
    assert (second.body, second.verified) == ("hello yourself", True)
    assert [m.body for m in await correspondent.messages(room_id)] == ["hello", "hello yourself"]


async def test_same_transaction_is_the_same_event(sign_up: SignUp) -> None:
    """A message sent again under its transaction id is not there twice."""
    author = await sign_up()
    room_id = await room_of(author)
    first = await author.send_text(room_id, "once", txn_id="t1")
    again = await author.send_text(room_id, "once", txn_id="t1")
    assert first == again
    assert [m.body for m in await author.messages(room_id)] == ["once"]


async def test_member_who_leaves_reads_no_further(sign_up: SignUp) -> None:
    """Who left cannot open what follows, who is invited reads from then on."""
    author, leaver, newcomer = await sign_up(), await sign_up(), await sign_up()
    room_id = await room_of(author, leaver)
    before = await author.send_text(room_id, "before")
    await leaver.leave(room_id)
    await author.sync()
    await author.invite(room_id, newcomer.user_id)
    after = await author.send_text(room_id, "after")
    await newcomer.join(room_id)
    assert (await received(leaver, before)).body == "before"
    outbound = author.engine.outbound.current(room_id)
    assert outbound is not None
    assert {r.user_id for r in outbound.recipients} == {newcomer.user_id}
    await newcomer.sync()
    opened = {m.event_id: m.body for m in await newcomer.messages(room_id)}
    assert opened[after] == "after"
    assert opened.get(before) is None


async def test_device_goes_on_from_its_store(server: RunningServer, tmp_path: Path) -> None:
    """A device that was closed goes on where it was, from its store on disk alone."""
    key = bytes(range(32))
    author = await Person.register(
        server.url, f"p{uuid4().hex[:12]}", PASSWORD, store=SqliteStore.open(tmp_path / "author", key=key)
    )
    room_id = await room_of(author)
    await author.send_text(room_id, "one")
    await author.close()
    again = await Person.open(SqliteStore.open(tmp_path / "author", key=key))
    await again.sync()
    await again.send_text(room_id, "two")
    assert [m.body for m in await again.messages(room_id)] == ["one", "two"]
    await again.close()


async def test_second_device_with_secrets_reads_and_is_read(server: RunningServer, sign_up: SignUp) -> None:
    """A second device that got the secrets is signed by the same identity: both read and are verified."""
    author, correspondent = await sign_up(), await sign_up()
    room_id = await room_of(author, correspondent)
    second = await Person.login(server.url, author.user_id, PASSWORD, secrets=author.export_secrets())
    try:
        await second.sync()
        await correspondent.sync()
        await author.sync()
        sent = await correspondent.send_text(room_id, "to both")
        assert (await received(author, sent)).body == "to both"
        assert (await received(second, sent)).body == "to both"
        answer = await second.send_text(room_id, "from the second")
        message = await received(correspondent, answer)
        assert (message.body, message.verified) == ("from the second", True)
    finally:
        await second.close()


async def test_device_without_secrets_gets_no_keys(server: RunningServer, sign_up: SignUp) -> None:
    """Who only knows the password is not handed keys: the identity does not vouch for that device."""
    author, correspondent = await sign_up(), await sign_up()
    room_id = await room_of(author, correspondent)
    intruder = await Person.login(server.url, author.user_id, PASSWORD)
    try:
        await intruder.sync()
        await correspondent.sync()
        sent = await correspondent.send_text(room_id, "secret")
        assert (await received(author, sent)).body == "secret"
        await intruder.sync()
        (message,) = await intruder.messages(room_id)
        assert message.undecryptable is not None
    finally:
        await intruder.close()


async def test_redaction(sign_up: SignUp) -> None:
    """A redacted message shows as such, without content."""
    author = await sign_up()
    room_id = await room_of(author)
    sent = await author.send_text(room_id, "regret")
    await author.redact(room_id, sent)
    message = next(m for m in await author.messages(room_id) if m.event_id == sent)
    assert (message.redacted, message.body) == (True, None)


async def test_plaintext_does_not_slip_out(sign_up: SignUp) -> None:
    """A room that is not encrypted takes no message by accident, an encrypted one none in clear."""
    author = await sign_up()
    plain = await author.create_room(encrypted=True)
    with pytest.raises(MatrixError):
        await author.send(plain, "m.room.message", {"body": "x"}, encrypted=False)
    with pytest.raises(SdkError):
        await author.send_text("!unknown:localhost", "x")


async def test_many_messages_at_once(sign_up: SignUp) -> None:
    """Concurrent sends in both directions arrive whole, once each, while both sync."""
    author, correspondent = await sign_up(), await sign_up()
    room_id = await room_of(author, correspondent)
    sent = await asyncio.gather(
        *(author.send_text(room_id, f"a{n}") for n in range(20)),
        *(correspondent.send_text(room_id, f"c{n}") for n in range(20)),
        author.sync(),
        correspondent.sync(),
    )
    for person in (author, correspondent):
        await person.sync()
        bodies = [m.body for m in await person.messages(room_id, limit=100)]
        assert sorted(filter(None, bodies)) == sorted([f"a{n}" for n in range(20)] + [f"c{n}" for n in range(20)])
    assert len(sent) == 42


async def test_logout_ends_the_session(server: RunningServer) -> None:
    """After logout the device's token opens nothing."""
    store = MemoryStore()
    person = await Person.register(server.url, f"p{uuid4().hex[:12]}", PASSWORD, store=store)
    await person.logout()
    again = await Person.open(store)
    with pytest.raises(MatrixError) as caught:
        await again.sync()
    assert caught.value.errcode == "M_UNKNOWN_TOKEN"
    await again.close()


async def test_registration_by_token(start_server: StartServer) -> None:
    """Where the operator gives out tokens, one opens one account, and nothing opens without."""
    server = start_server(registration="token")
    admin = (server.data / "keys" / "admin-token").read_text().strip()
    async with httpx.AsyncClient(base_url=server.url, headers={"authorization": f"Bearer {admin}"}) as operator:
        made = await operator.post("/_paraph/v1/admin/registration-tokens", json={"uses": 1})
    token = made.json()["token"]
    with pytest.raises(MatrixError):
        await Person.register(server.url, "nobody", PASSWORD)
    person = await Person.register(server.url, "author", PASSWORD, registration_token=token)
    assert person.user_id == "@author:localhost"
    await person.close()
    with pytest.raises(MatrixError):
        await Person.register(server.url, "another", PASSWORD, registration_token=token)


async def test_device_goes_on_after_the_server_was_killed(start_server: StartServer) -> None:
    """A server that dies and comes back finds the same devices, sessions and messages."""
    server = start_server()
    author = await Person.register(server.url, "author", PASSWORD)
    correspondent = await Person.register(server.url, "correspondent", PASSWORD)
    room_id = await room_of(author, correspondent)
    await author.send_text(room_id, "one")
    server.kill()
    sending = asyncio.create_task(author.send_text(room_id, "two", txn_id="t2"))
    await asyncio.to_thread(server.start)
    sent = await sending
    assert (await received(correspondent, sent)).body == "two"
    assert [m.body for m in await correspondent.messages(room_id)] == ["one", "two"]
    for person in (author, correspondent):
        await person.close()
