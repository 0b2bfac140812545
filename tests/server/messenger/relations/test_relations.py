"""Events that relate to others: what is listed, what is bundled, and what is refused."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from paraph.server.storage import Transaction
from paraph.server.storage.migrations import load, statements
from tests.server.messenger.house import CIPHERTEXT, Answer, Device, House

V1 = "/_matrix/client/v1"


def text(body: str, **more: Any) -> dict[str, Any]:
    return {"msgtype": "m.text", "body": body, **more}


def relates(target: str, rel_type: str, **more: Any) -> dict[str, Any]:
    return {"m.relates_to": {"rel_type": rel_type, "event_id": target, **more}}


def edit(target: str, body: str) -> dict[str, Any]:
    return {**text(f"* {body}"), "m.new_content": text(body), **relates(target, "m.replace")}


async def say(device: Device, room: str, content: dict[str, Any], kind: str = "m.room.message") -> str:
    sent = await device.send(room, content, kind=kind)
    assert sent.status == 200, sent
    return str(sent["event_id"])


async def children(device: Device, room: str, event_id: str, *path: str, **params: Any) -> Answer:
    tail = "".join(f"/{quote(part)}" for part in path)
    found: Answer = await device.call("GET", f"{V1}/rooms/{quote(room)}/relations/{quote(event_id)}{tail}", **params)
    return found


async def bundle(device: Device, room: str, event_id: str) -> dict[str, Any]:
    event = await device.call("GET", f"/rooms/{quote(room)}/event/{quote(event_id)}")
    found: dict[str, Any] = event.get("unsigned", {}).get("m.relations", {})
    return found


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer
    return [event["event_id"] for event in answer["chunk"]]


async def test_children_are_listed_newest_first_by_relation_and_type(open_home: House) -> None:
    """All children, those of one relation, those of one relation and type; a stranger to the event gets 404."""
    author = open_home.device("author")
    room = await author.create()
    root = await say(author, room, text("root"))
    reply = await say(author, room, text("reply") | relates(root, "m.thread"))
    other = await say(author, room, relates(root, "m.thread"), kind="m.dummy")
    changed = await say(author, room, edit(root, "edited"))
    assert ids(await children(author, room, root)) == [changed, other, reply]
    assert ids(await children(author, room, root, "m.thread")) == [other, reply]
    assert ids(await children(author, room, root, "m.thread", "m.room.message")) == [reply]
    assert ids(await children(author, room, root, "m.thread", dir="f")) == [reply, other]
    assert ids(await children(author, room, reply)) == []
    missing = await children(author, room, "$unknown")
    assert (missing.status, missing["errcode"]) == (404, "M_NOT_FOUND")
    stranger = await children(open_home.device("stranger"), room, root)
    assert (stranger.status, stranger["errcode"]) == (403, "M_FORBIDDEN")


async def test_pages_of_children_follow_each_other_in_both_directions(open_home: House) -> None:
    """`next_batch` leads on until it is missing; a sync token stands between what was before it and what came after."""
    author = open_home.device("author")
    room = await author.create()
    root = await say(author, room, text("root"))
    first = [await say(author, room, text(str(n)) | relates(root, "m.thread")) for n in range(5)]
    between = (await author.sync())["next_batch"]
    second = [await say(author, room, text(str(n)) | relates(root, "m.thread")) for n in range(5)]
    everything = first + second
    for direction, expected in (("f", everything), ("b", everything[::-1])):
        found: list[str] = []
        params: dict[str, Any] = {"limit": 3, "dir": direction}
        while True:
            page = await children(author, room, root, **params)
            found += ids(page)
            assert ("prev_batch" in page) == ("from" in params)
            if "next_batch" not in page:
                break
            params["from"] = page["next_batch"]
        assert found == expected
    assert ids(await children(author, room, root, dir="f", **{"from": between})) == second
    assert ids(await children(author, room, root, dir="f", to=between)) == first
    assert ids(await children(author, room, root, dir="b", to=between)) == second[::-1]
    for bad in ({"from": "x"}, {"dir": "x"}, {"recurse": "maybe"}, {"limit": "x"}):
        assert (await children(author, room, root, **bad))["errcode"] == "M_INVALID_PARAM"


async def test_recurse_goes_down_three_levels(open_home: House) -> None:
    """Children of children are listed where asked for, filters apply to what is listed, and the depth is told."""
    author = open_home.device("author")
    room = await author.create()
    root = await say(author, room, text("root"))
    chain = [await say(author, room, text("1") | relates(root, "m.thread"))]
    for n in range(3):
        chain.append(await say(author, room, text(str(n)) | relates(chain[-1], "m.reference")))
    found = await children(author, room, root, recurse="true")
    assert (ids(found), found["recursion_depth"]) == (chain[2::-1], 3)
    only = await children(author, room, root, "m.reference", recurse="true", dir="f", limit=1)
    assert ids(only) == [chain[1]]
    assert ids(
        await children(author, room, root, "m.reference", recurse="true", dir="f", **{"from": only["next_batch"]})
    ) == [chain[2]]
    assert "recursion_depth" not in await children(author, room, root)


async def test_the_newest_valid_edit_is_bundled_everywhere(open_home: House) -> None:
    """Others' edits, edits of edits, of another type or without new content count for nothing; content stays."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    room = await author.create(other)
    before = (await other.sync())["next_batch"]
    original = await say(author, room, text("first"))
    await say(author, room, edit(original, "second"))
    newest = await say(author, room, edit(original, "third"))
    await say(other, room, edit(original, "not mine"))
    await say(author, room, edit(newest, "an edit's edit"))
    await say(author, room, text("nothing new") | relates(original, "m.replace"))
    await say(author, room, {"m.new_content": {}} | relates(original, "m.replace"), kind="m.other")
    assert (await bundle(author, room, original))["m.replace"]["event_id"] == newest
    assert "m.replace" not in await bundle(author, room, newest)
    where = [
        (await other.call("GET", f"/rooms/{quote(room)}/messages", dir="b", limit=50))["chunk"],
        [(await other.call("GET", f"/rooms/{quote(room)}/context/{quote(original)}"))["event"]],
        (await other.sync(before))["rooms"]["join"][room]["timeline"]["events"],
        (await other.sync())["rooms"]["join"][room]["timeline"]["events"],
    ]
    for served in where:
        event = next(event for event in served if event["event_id"] == original)
        assert event["content"]["body"] == "first"
        assert event["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"] == "third"
    await author.call("PUT", f"/rooms/{quote(room)}/redact/{quote(newest)}/r1", {})
    assert (await bundle(author, room, original))["m.replace"]["content"]["m.new_content"]["body"] == "second"
    await author.call("PUT", f"/rooms/{quote(room)}/redact/{quote(original)}/r2", {})
    assert "m.replace" not in await bundle(author, room, original)


async def test_encrypted_events_relate_in_clear(home: House) -> None:
    """In an encrypted room edits, threads and reactions are bundled and listed by what stands beside the ciphertext."""
    author, other = home.device("author"), home.device("correspondent")
    room = await author.create(other)
    root = await say(author, room, CIPHERTEXT, "m.room.encrypted")
    changed = await say(author, room, CIPHERTEXT | relates(root, "m.replace"), "m.room.encrypted")
    reply = await say(other, room, CIPHERTEXT | relates(root, "m.thread"), "m.room.encrypted")
    reaction = await say(other, room, relates(root, "m.annotation", key="+1"), "m.reaction")
    found = await bundle(author, room, root)
    assert found["m.replace"]["event_id"] == changed
    assert found["m.thread"]["latest_event"]["event_id"] == reply
    assert found["m.thread"]["current_user_participated"] is True  # she sent the root
    assert ids(await children(author, room, root)) == [reaction, reply, changed]


async def test_threads_are_bundled_with_their_newest_event(open_home: House) -> None:
    """Count, newest event with its own edit, and whether one takes part; redacted and ignored replies count no more."""
    author, other, third = (open_home.device(name) for name in ("author", "correspondent", "third"))
    room = await author.create(other, third)
    root = await say(author, room, text("root"))
    one = await say(other, room, text("one") | relates(root, "m.thread"))
    two = await say(other, room, text("two") | relates(root, "m.thread"))
    await say(other, room, edit(two, "two, edited"))
    thread = (await bundle(third, room, root))["m.thread"]
    assert (thread["count"], thread["current_user_participated"]) == (2, False)
    assert thread["latest_event"]["event_id"] == two
    assert thread["latest_event"]["unsigned"]["m.relations"]["m.replace"]["content"]["body"] == "* two, edited"
    assert (await bundle(other, room, root))["m.thread"]["current_user_participated"] is True
    await other.call("PUT", f"/rooms/{quote(room)}/redact/{quote(two)}/r", {})
    thread = (await bundle(third, room, root))["m.thread"]
    assert (thread["count"], thread["latest_event"]["event_id"]) == (1, one)
    ignored = {"ignored_users": {other.user_id: {}}}
    await third.call("PUT", f"/user/{third.user_id}/account_data/m.ignored_user_list", ignored)
    assert "m.thread" not in await bundle(third, room, root)


async def test_references_are_listed_in_the_bundle(open_home: House) -> None:
    """`m.reference` gives the ids of what refers to the event; annotations are not bundled."""
    author = open_home.device("author")
    room = await author.create()
    root = await say(author, room, text("root"))
    first, second = [await say(author, room, text("see") | relates(root, "m.reference")) for _ in range(2)]
    await say(author, room, relates(root, "m.annotation", key="+1"), "m.reaction")
    assert await bundle(author, room, root) == {"m.reference": {"chunk": [{"event_id": first}, {"event_id": second}]}}


async def test_the_same_reaction_twice_is_refused(open_home: House) -> None:
    """One person reacts once in one way, until the reaction is redacted; a repeated request is answered as before."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    room = await author.create(other)
    root = await say(author, room, text("root"))
    reaction = relates(root, "m.annotation", key="+1")
    sent = await author.send(room, reaction, txn="once", kind="m.reaction")
    again = await author.send(room, reaction, kind="m.reaction")
    assert (again.status, again["errcode"]) == (400, "M_DUPLICATE_ANNOTATION")
    assert (await author.send(room, reaction, txn="once", kind="m.reaction"))["event_id"] == sent["event_id"]
    await say(author, room, relates(root, "m.annotation", key="-1"), "m.reaction")
    await say(other, room, reaction, "m.reaction")
    await author.call("PUT", f"/rooms/{quote(room)}/redact/{quote(sent['event_id'])}/r", {})
    await say(author, room, reaction, "m.reaction")
    assert len(ids(await children(author, room, root, "m.annotation"))) == 3


async def test_no_thread_begins_at_an_event_that_relates_to_another(open_home: House) -> None:
    """400 M_UNKNOWN, and nothing is stored."""
    author = open_home.device("author")
    room = await author.create()
    root = await say(author, room, text("root"))
    for rel_type in ("m.thread", "m.reference", "m.annotation", "m.replace", "org.example"):
        child = await say(author, room, text("child") | relates(root, rel_type))
        before = await open_home.event_count()
        refused = await author.send(room, text("nested") | relates(child, "m.thread"), kind="m.room.message")
        assert (refused.status, refused["errcode"]) == (400, "M_UNKNOWN")
        assert await open_home.event_count() == before


async def test_threads_of_a_room_come_by_their_newest_event(open_home: House) -> None:
    """A reply moves its thread to the front; `participated` leaves out what one has no part in; pages end."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    room = await author.create(other)
    roots = [await say(author, room, text(str(n))) for n in range(3)]
    threads = f"{V1}/rooms/{quote(room)}/threads"
    for root in roots:
        await say(author, room, text("reply") | relates(root, "m.thread"))
    assert ids(await author.call("GET", threads)) == roots[::-1]
    last = await say(other, room, text("again") | relates(roots[0], "m.thread"))
    listed = await other.call("GET", threads)
    assert ids(listed) == [roots[0], roots[2], roots[1]]
    assert listed["chunk"][0]["unsigned"]["m.relations"]["m.thread"]["latest_event"]["event_id"] == last
    assert ids(await other.call("GET", threads, include="participated")) == [roots[0]]
    assert len(ids(await author.call("GET", threads, include="participated"))) == 3
    page = await author.call("GET", threads, limit=2)
    rest = await author.call("GET", threads, limit=2, **{"from": page["next_batch"]})
    assert (ids(page) + ids(rest), "next_batch" in rest) == ([roots[0], roots[2], roots[1]], False)
    await other.call("PUT", f"/rooms/{quote(room)}/redact/{quote(last)}/r", {})
    assert ids(await author.call("GET", threads)) == roots[::-1]
    for bad in ({"include": "some"}, {"from": "nothing"}):
        assert (await author.call("GET", threads, **bad))["errcode"] == "M_INVALID_PARAM"
    assert (await open_home.device("stranger").call("GET", threads)).status == 403


NO_RELATIONS: list[Any] = [
    "text",
    7,
    [],
    {"rel_type": "m.thread"},
    {"rel_type": 1, "event_id": "$x"},
    {"rel_type": "x" * 300, "event_id": "$x"},
]


async def test_what_has_not_the_shape_of_a_relation_is_none(open_home: House) -> None:
    """Such an event is stored as any other, and is nobody's child; nor is one whose target is in another room."""
    author = open_home.device("author")
    room, elsewhere = await author.create(), await author.create()
    root = await say(author, elsewhere, text("root"))
    for said in NO_RELATIONS:
        await say(author, room, text("odd") | {"m.relates_to": said})
    await say(author, room, text("from afar") | relates(root, "m.reference"))
    assert ids(await children(author, elsewhere, root)) == []
    assert await bundle(author, elsewhere, root) == {}


async def test_the_migration_finds_the_relations_of_events_that_were_there_before(open_home: House) -> None:
    """What the first migration makes of stored events is what sending them left behind."""
    author, other = open_home.device("author"), open_home.device("correspondent")
    room = await author.create(other)
    root = await say(author, room, text("root"))
    first = await say(author, room, edit(root, "edited"))
    await say(other, room, edit(root, "not mine"))
    await say(author, room, edit(first, "an edit's edit"))
    await say(author, room, text("no content") | relates(root, "m.replace"))
    await say(other, room, relates(root, "m.annotation", key="+1"), "m.reaction")
    await say(other, room, text("reply") | relates(root, "m.thread"))
    gone = await say(other, room, text("gone") | relates(root, "m.thread"))
    await other.call("PUT", f"/rooms/{quote(room)}/redact/{quote(gone)}/r", {})
    await say(author, room, text("odd") | {"m.relates_to": [1]})

    def stored(tx: Transaction) -> tuple[list[Any], list[Any]]:
        return tx.rows("SELECT * FROM relations ORDER BY position"), tx.rows("SELECT * FROM threads")

    def again(tx: Transaction) -> tuple[list[Any], list[Any]]:
        tx.run("DELETE FROM relations")
        tx.run("DELETE FROM threads")
        (migration,) = load(["paraph.server.messenger.relations"], database.dialect)
        for statement in statements(migration.sql):
            if "INSERT INTO" in statement:
                tx.run(statement)
        return stored(tx)

    database = open_home.messenger.core.database
    before = await database.read(stored)
    assert len(before[0]) == 6
    assert await database.write(again) == before
