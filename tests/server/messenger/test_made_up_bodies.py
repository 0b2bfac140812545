"""Made-up bodies for whatever takes one: an answer below 500 always, and nothing changes where it is a refusal."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.messenger.house import Device, House
from tests.server.messenger.relations.test_relations import relates, say, text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def likely(**fields: Any) -> st.SearchStrategy[Any]:
    """Objects with some of these members, each as it should be or anything; or anything in their place."""
    members = {
        name: JSON | (st.sampled_from(some) if isinstance(some, list) else some) for name, some in fields.items()
    }
    return st.fixed_dictionaries({}, optional=members) | JSON


RULE = likely(
    actions=[[], ["notify"], [{"set_tweak": "highlight"}]],
    conditions=st.lists(likely(kind=["event_match"], key=["content.body"], pattern=["*?*"]), max_size=2),
    pattern=["*", "a?c"],
)
PUSHER = likely(
    kind=["http", None],
    app_id=["app"],
    pushkey=["key"],
    app_display_name=["App"],
    device_display_name=["Phone"],
    lang=["en"],
    data=likely(url=["https://push.example.org/_matrix/push/v1/notify"], format=["event_id_only"]),
    append=[True, False],
)
SEARCH = likely(
    search_categories=likely(
        room_events=likely(
            search_term=["a"],
            keys=[["content.body"]],
            filter=likely(limit=[1, -1], rooms=[["!a:b"]], senders=[["@a:b"]]),
            order_by=["rank", "recent"],
            event_context=likely(before_limit=[1, 10**9], after_limit=[0]),
            include_state=[True],
            groupings=likely(group_by=[[{"key": "room_id"}], [{"key": "sender"}]]),
        )
    )
)
RELATED = likely(
    body=["a"],
    **{
        "m.relates_to": likely(
            rel_type=["m.thread", "m.replace", "m.annotation", "m.reference"], event_id=["ROOT", "CHILD"], key=["+"]
        ),
        "m.new_content": [{}],
    },
)
MARKERS = likely(**{"m.read": ["ROOT"], "m.read.private": ["CHILD"], "m.fully_read": ["ROOT", "$x"]})
CALLS: list[tuple[str, str, st.SearchStrategy[Any]]] = [
    ("PUT", "/pushrules/global/override/own", RULE),
    ("PUT", "/pushrules/global/content/own", RULE),
    ("PUT", "/pushrules/global/room/own", RULE),
    ("PUT", "/pushrules/global/override/.m.rule.master/enabled", likely(enabled=[True])),
    ("PUT", "/pushrules/global/override/.m.rule.call/actions", likely(actions=[[], ["dont_notify"]])),
    ("POST", "/pushers/set", PUSHER),
    ("POST", "/search", SEARCH),
    ("POST", "/rooms/ROOM/receipt/m.read/ROOT", likely(thread_id=["main", "", "$x"])),
    ("POST", "/rooms/ROOM/read_markers", MARKERS),
    ("PUT", "/rooms/ROOM/send/m.room.message/TXN", RELATED),
    ("PUT", "/rooms/ROOM/send/m.reaction/TXN", RELATED),
]


async def kept(home: House) -> list[Any]:
    """Whatever these calls can change."""
    tables = ("events", "relations", "threads", "receipts", "account_data", "pushers", "search_words")
    return await home.messenger.core.database.read(lambda tx: [tx.rows(f"SELECT * FROM {table}") for table in tables])


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
@pytest.mark.parametrize("call", range(len(CALLS)))
async def test_a_made_up_body_is_no_failure_and_a_refused_one_changes_nothing(open_home: House, call: int) -> None:
    """Whoever reads the room afterwards is answered as well: what was taken in can be held against rules and served."""
    method, path, bodies = CALLS[call]
    author, other = open_home.device("author"), open_home.device("correspondent")
    room = await author.create(other)
    root = await say(author, room, text("a"))
    child = await say(author, room, text("b") | relates(root, "m.reference"))
    made: list[Any] = []

    @settings(max_examples=40, suppress_health_check=list(HealthCheck), database=None)
    @given(bodies)
    def make(body: Any) -> None:
        made.append(body)

    make()
    names = {"ROOM": quote(room), "ROOT": root, "CHILD": child}
    for number, body in enumerate(made):
        before = await kept(open_home)
        answer = await author.call(method, _named(path, names | {"TXN": str(number)}), _named(body, names))
        assert answer.status < 500, (body, answer)
        assert answer.status == 200 or await kept(open_home) == before, (body, answer)
    await _read(author, room, root)
    await _read(other, room, root)


def _named(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        for name, meant in names.items():
            value = value.replace(name, meant)
        return value
    if isinstance(value, dict):
        return {name: _named(inner, names) for name, inner in value.items()}
    return [_named(inner, names) for inner in value] if isinstance(value, list) else value


async def _read(device: Device, room: str, root: str) -> None:
    v1 = f"/_matrix/client/v1/rooms/{quote(room)}"
    for path in ("/sync", "/pushrules/", "/pushers", "/notifications", f"{v1}/threads"):
        assert (await device.call("GET", path)).status == 200, path
    assert (await device.call("GET", f"/rooms/{quote(room)}/messages", dir="b", limit=100)).status == 200
    assert (await device.call("GET", f"{v1}/relations/{quote(root)}", recurse="true")).status == 200
