"""Messages between devices: exactly once, acknowledged by the next sync."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paraph.server.devices import to_device
from paraph.server.http import MatrixError
from paraph.server.storage import StorageError, Transaction
from tests.server.accounts.house import count, refused
from tests.server.devices.party import PARTNER, Home, Person, open_home


async def two(home: Home) -> tuple[Person, Person]:
    """An author and a correspondent."""
    return await home.person("author"), await home.person("correspondent")


async def test_a_message_arrives(home: Home) -> None:
    """The event has sender, type and content, and nothing else."""
    author, other = await two(home)
    home.woken.clear()
    assert (await author.send({other.user_id: {"PHONE": {"n": 1}}}, "t1", "m.room.encrypted")).json() == {}
    sync = await other.sync()
    assert sync["to_device"] == [{"sender": author.user_id, "type": "m.room.encrypted", "content": {"n": 1}}]
    assert home.woken == [{other.user_id}]
    assert await author.queue() == []


async def test_messages_come_again_until_acknowledged(home: Home) -> None:
    """The same token shows the same; a newer token shows only newer ones; acknowledging deletes."""
    author, other = await two(home)
    start = home.position
    await author.send({other.user_id: {"PHONE": {"n": 1}}}, "t1")
    assert await other.queue(start) == [{"n": 1}]
    assert await other.queue(start) == [{"n": 1}]
    token = home.position
    await author.send({other.user_id: {"PHONE": {"n": 2}}}, "t2")
    await home.devices.acknowledge(other.user_id, "PHONE", start)
    assert await other.queue(start) == [{"n": 1}, {"n": 2}]
    assert await other.queue(token) == [{"n": 2}]
    await home.devices.acknowledge(other.user_id, "PHONE", token)
    assert await other.queue(start) == [{"n": 2}]
    await home.devices.acknowledge(other.user_id, "PHONE", home.position)
    assert await other.queue(start) == []
    assert await count(home.database, "devices_queue") == 0


async def test_exactly_once_over_a_crash_between_sync_and_acknowledgement(tmp_path: Path) -> None:
    """Whatever moment the server dies at, following the tokens shows each message once and loses none."""
    path, seen, since = tmp_path / "paraph.db", [], 0
    async with open_home(path) as home:
        author, other = await two(home)
        tokens = author.token, other.token
    for n in range(4):
        async with open_home(path) as home:  # the server was restarted
            author = Person(home, author.user_id, "PHONE", tokens[0])
            other = Person(home, other.user_id, "PHONE", tokens[1])
            assert (await author.send({other.user_id: {"PHONE": {"n": n}}}, f"t{n}")).status_code == 200
            if n % 2:  # the server died before this sync's acknowledgement was written
                await home.devices.acknowledge(other.user_id, "PHONE", since)
            seen += await other.queue(since)
            since = home.position
    assert seen == [{"n": n} for n in range(4)]


async def test_a_repeated_request_sends_once(home: Home) -> None:
    """Same device, type and transaction id: twenty requests at once, one message; anything else is another one."""
    author, other = await two(home)
    laptop = await home.another(author, "LAPTOP")
    messages = {other.user_id: {"PHONE": {"n": 1}}}
    answers = await asyncio.gather(*(author.send(messages, "same") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert await other.queue() == [{"n": 1}]
    await laptop.send(messages, "same")
    await author.send(messages, "same", "m.other")
    await author.send(messages, "new")
    assert len(await other.queue()) == 4


async def test_requests_are_forgotten_after_a_week(home: Home) -> None:
    """The memory of transaction ids does not grow for ever."""
    author, other = await two(home)
    messages: dict[str, Any] = {other.user_id: {"PHONE": {}}}
    await author.send(messages, "t1")
    home.inner.clock.now += to_device.REMEMBER_TRANSACTIONS_MS + 1
    await author.send(messages, "t2")
    assert await count(home.database, "devices_transactions") == 1


async def test_a_star_reaches_every_device_once(home: Home) -> None:
    """A device that is named as well gets its own content; devices and people that do not exist are passed over."""
    author, other = await two(home)
    laptop = await home.another(other, "LAPTOP")
    messages: dict[str, Any] = {
        other.user_id: {"*": {"n": "all"}, "LAPTOP": {"n": "own"}, "GONE": {"n": "lost"}},
        "@nobody:test": {"*": {}, "X": {}},
    }
    assert (await author.send(messages, "t1")).status_code == 200
    assert await other.queue() == [{"n": "all"}]
    assert await laptop.queue() == [{"n": "own"}]
    assert await count(home.database, "devices_queue") == 2


async def test_partners_are_not_reached_this_way(home: Home) -> None:
    """Keys for partners have a path of their own, with a record: the whole request is refused, nothing is queued."""
    author, other = await two(home)
    home.grants.granted = {author.user_id}
    messages: dict[str, Any] = {other.user_id: {"PHONE": {}}, PARTNER: {"FILMS1": {}}}
    refused(await author.send(messages, "t1"), 403, "M_FORBIDDEN")
    assert await count(home.database, "devices_queue") == 0
    assert (await author.send({other.user_id: {"PHONE": {}}}, "t1")).status_code == 200
    assert await other.queue() == [{}]


@pytest.mark.parametrize(
    ("messages", "status", "errcode"),
    [
        ({"@correspondent:test": {"PHONE": {"pad": "x" * to_device.MAX_CONTENT_BYTES}}}, 413, "M_TOO_LARGE"),
        ({"@correspondent:test": {"PHONE": {"n": 1.5}}}, 400, "M_BAD_JSON"),
        ({"@correspondent:test": {"PHONE": {"n": 2**53}}}, 400, "M_BAD_JSON"),
        ({"@correspondent:test": {"PHONE": "text"}}, 400, "M_BAD_JSON"),
        ({"@correspondent:test": {"PHONE": None}}, 400, "M_BAD_JSON"),
        ({"@correspondent:test": []}, 400, "M_BAD_JSON"),
        ([], 400, "M_BAD_JSON"),
        ({"@correspondent:test": {f"D{n}": {} for n in range(to_device.MAX_TARGETS + 1)}}, 400, "M_INVALID_PARAM"),
        ({"@correspondent:test": {"*": {"pad": "x" * (5 << 20)}}}, 413, "M_TOO_LARGE"),
    ],
)
async def test_bad_messages_are_refused(home: Home, messages: Any, status: int, errcode: str) -> None:
    """Each has its error; nothing is queued, for nobody, and the transaction id stays free."""
    author, _ = await two(home)
    refused(await author.send(messages, "t1"), status, errcode)
    assert await count(home.database, "devices_queue") == 0
    assert await count(home.database, "devices_transactions") == 0


async def test_deep_content_is_refused(home: Home) -> None:
    """Nesting is bounded: recipients' parsers have limits of their own."""
    author, other = await two(home)
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"d": deep}
    refused(await author.send({other.user_id: {"PHONE": deep}}, "t1"), 400, "M_BAD_JSON")


@pytest.mark.parametrize("path", ["m.x/" + "t" * 256, "x" * 256 + "/t", "m.x/%00", "m.x/%0a", "%7f/t"])
async def test_bad_types_and_transaction_ids_are_refused(home: Home, path: str) -> None:
    """Both are bounded and printable."""
    author, other = await two(home)
    body: dict[str, Any] = {"messages": {other.user_id: {"PHONE": {}}}}
    refused(await author.ask("PUT", f"/sendToDevice/{path}", body), 400, "M_INVALID_PARAM")


async def test_one_sender_cannot_fill_a_queue(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound nothing of a sender is queued for that device; other devices and other senders are served."""
    monkeypatch.setattr(to_device, "MAX_WAITING_FROM_ONE", 3)
    author, other = await two(home)
    third = await home.person("third")
    for n in range(3):
        assert (await author.send({other.user_id: {"PHONE": {}}}, f"t{n}")).status_code == 200
    both: dict[str, Any] = {third.user_id: {"PHONE": {}}, other.user_id: {"PHONE": {}}}
    assert (await author.send(both, "t9")).status_code == 200
    assert (len(await other.queue()), len(await third.queue())) == (3, 1)
    assert (await third.send({other.user_id: {"PHONE": {}}}, "t1")).status_code == 200
    assert len(await other.queue()) == 4
    await home.devices.acknowledge(other.user_id, "PHONE", home.position)
    assert (await author.send(both, "t10")).status_code == 200
    assert (len(await other.queue()), len(await third.queue())) == (1, 2)


@pytest.mark.parametrize(("name", "bound"), [("MAX_WAITING", 3), ("MAX_WAITING_BYTES", 6)])
async def test_queues_are_bounded(home: Home, monkeypatch: pytest.MonkeyPatch, name: str, bound: int) -> None:
    """Messages and bytes that wait for one device have a bound, whoever sent them."""
    monkeypatch.setattr(to_device, name, bound)
    author, other = await two(home)
    third = await home.person("third")
    for n, sender in enumerate((author, third, author)):
        assert (await sender.send({other.user_id: {"PHONE": {}}}, f"t{n}")).status_code == 200
    assert (await third.send({other.user_id: {"PHONE": {}}}, "t9")).status_code == 200
    assert len(await other.queue()) == 3


async def test_a_limited_sync_loses_nothing(home: Home) -> None:
    """Followed by its own position, a sync in parts shows everything once, and acknowledges only what it showed."""
    author, other = await two(home)
    for n in range(7):
        await author.send({other.user_id: {"PHONE": {"n": n}}}, f"t{n}")
    upto, after, seen, parts = home.position, 0, [], 0
    while after < upto:
        part = await other.part(0, to_device_since=after, limit=3)
        seen += [msgspec.json.decode(event["content"])["n"] for event in part.to_device]
        after, parts = part.to_device_upto, parts + 1
        await home.devices.acknowledge(other.user_id, "PHONE", after)
    assert (seen, parts) == (list(range(7)), 3)
    assert await count(home.database, "devices_queue") == 0


async def test_a_logout_drops_what_waited(home: Home) -> None:
    """A new device under an old name does not get the old one's messages."""
    author, other = await two(home)
    await author.send({other.user_id: {"PHONE": {}}}, "t1")
    assert await other.queue() == [{}]
    await other("POST", "/logout")
    again = await home.another(other, "PHONE")
    assert await again.queue() == []


async def test_a_new_login_on_the_same_device_keeps_what_waits(home: Home) -> None:
    """The device is the same, only its token is new."""
    author, other = await two(home)
    await author.send({other.user_id: {"PHONE": {}}}, "t1")
    again = await home.another(other, "PHONE")
    assert await again.queue() == [{}]


async def test_other_rooms_queue_for_partners(home: Home) -> None:
    """Within another write; sender's device kept; collected from a position on, in parts, then acknowledged."""
    author, _ = await two(home)

    def share(tx: Transaction) -> None:
        for n in range(3):
            contents = {PARTNER: {"FILMS1": {"n": n}}}
            home.devices.queue_to_device(tx, author.user_id, "m.room.encrypted", contents, sender_device="PHONE")

    home.woken.clear()
    await home.database.write(share)
    assert home.woken == [{PARTNER}] * 3
    first = await home.database.read(lambda tx: home.devices.collect(tx, PARTNER, "FILMS1", 0, 2))
    assert [(m.sender, m.sender_device, bytes(m.content)) for m in first] == [
        (author.user_id, "PHONE", b'{"n":0}'),
        (author.user_id, "PHONE", b'{"n":1}'),
    ]
    since = first[-1].position
    await home.devices.acknowledge(PARTNER, "FILMS1", since)
    rest = await home.database.read(lambda tx: home.devices.collect(tx, PARTNER, "FILMS1", since, 10))
    assert [bytes(m.content) for m in rest] == [b'{"n":2}']
    assert await count(home.database, "devices_queue") == 1


async def test_a_failed_write_queues_nothing(home: Home) -> None:
    """The queue stands in the caller's transaction: if that fails, nobody hears of it."""
    home.woken.clear()

    def fails(tx: Transaction) -> None:
        home.devices.queue_to_device(tx, "@author:test", "m.x", {PARTNER: {"FILMS1": {}}})
        raise StorageError("something else went wrong")

    with pytest.raises(StorageError):
        await home.database.write(fails)
    assert await home.database.read(lambda tx: home.devices.collect(tx, PARTNER, "FILMS1", 0, 10)) == []
    assert home.woken == []


async def test_a_partner_has_no_star(home: Home) -> None:
    """Who gets a key is named device by device."""
    with pytest.raises(MatrixError) as refusal:
        await home.database.write(
            lambda tx: home.devices.queue_to_device(tx, "@author:test", "m.x", {PARTNER: {"*": {}}})
        )
    assert refusal.value.code == "M_INVALID_PARAM"


async def test_an_idle_sync_asks_the_database_nothing(home: Home) -> None:
    """Once known, nothing new costs no query; acknowledging nothing writes nothing."""
    author, other = await two(home)
    await author.publish(["a"])
    await author.send({other.user_id: {"PHONE": {}}}, "t1")
    await other.part()
    await home.devices.acknowledge(other.user_id, "PHONE", home.position)
    since = home.position
    await other.part(since)

    class Silent:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"the database was asked for {name}")

    silent: Any = Silent()
    part = home.devices.sync_part(silent, other.user_id, "PHONE", since, home.position)
    assert not part.has_news
    assert part.to_device_upto == since
    writes = home.database.write
    home.database.write = silent  # type: ignore[method-assign]
    await home.devices.acknowledge(other.user_id, "PHONE", since)
    home.database.write = writes  # type: ignore[method-assign]
    await author.send({other.user_id: {"PHONE": {"n": 2}}}, "t2")
    assert await other.queue(since) == [{"n": 2}]


async def test_many_senders_at_once_reach_one_device_in_order(home: Home) -> None:
    """Concurrent sends are all delivered, each sender's in the order of its answers."""
    author, other = await two(home)
    third = await home.person("third")

    async def run(sender: Person) -> None:
        for n in range(20):
            await sender.send({other.user_id: {"PHONE": {"from": sender.user_id, "n": n}}}, f"t{n}")

    await asyncio.gather(run(author), run(third))
    queue = await other.queue()
    for sender in (author, third):
        assert [item["n"] for item in queue if item["from"] == sender.user_id] == list(range(20))


async def test_a_partners_full_queue_is_an_error(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key whose sharing is recorded must be on its way: no room for it takes the record back as well."""
    monkeypatch.setattr(to_device, "MAX_WAITING", 1)
    message: dict[str, Any] = {"@app-marquee:localhost": {"SERVER": {}}}

    def queue(tx: Transaction) -> None:
        home.devices.queue_to_device(tx, "@author:localhost", "m.room.encrypted", message)

    await home.database.write(queue)
    with pytest.raises(MatrixError) as error:
        await home.database.write(queue)
    assert (error.value.status, error.value.code) == (429, "M_LIMIT_EXCEEDED")
