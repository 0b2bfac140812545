"""The endpoints for push rules, and where rules show."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tests.server.messenger.house import Answer, Device, House

RULES = "/pushrules/global"


async def put(device: Device, kind: str, rule_id: str, body: Any = None, **params: str) -> Answer:
    answer: Answer = await device.call(
        "PUT", f"{RULES}/{kind}/{quote(rule_id, safe='')}", {"actions": ["notify"]} if body is None else body, **params
    )
    return answer


async def ids(device: Device, kind: str) -> list[str]:
    rules = (await device.call("GET", "/pushrules/"))["global"][kind]
    return [rule["rule_id"] for rule in rules if not rule["default"]]


KINDS: dict[str, dict[str, Any]] = {
    "room": {},
    "sender": {},
    "content": {"pattern": "cake"},
    "override": {"conditions": [{"kind": "event_match", "key": "content.msgtype", "pattern": "m.notice"}]},
    "underride": {"conditions": []},
}


async def test_rules_of_each_kind_come_and_go(home: House) -> None:
    """A new rule is on, is the most important of its kind, is shown as it was given, and is gone once deleted."""
    author = home.device("author")
    actions = ["notify", {"set_tweak": "sound"}]
    for kind, more in KINDS.items():
        for rule_id in ("first", "second"):
            assert await put(author, kind, rule_id, {"actions": actions, **more}) == {}
        found = await author.call("GET", f"{RULES}/{kind}/second")
        assert found == {"rule_id": "second", "default": False, "enabled": True, "actions": actions} | more
        assert await ids(author, kind) == ["second", "first"]
        assert await author.call("DELETE", f"{RULES}/{kind}/first") == {}
        assert await ids(author, kind) == ["second"]
        again = await author.call("DELETE", f"{RULES}/{kind}/first")
        assert (again.status, again["errcode"]) == (404, "M_NOT_FOUND")


async def test_rules_are_ordered_by_before_and_after(home: House) -> None:
    """`before` is more important, `after` less; an existing rule moves; the master rule stays first, defaults last."""
    author = home.device("author")
    await put(author, "override", "a")
    await put(author, "override", "b")
    await put(author, "override", "c", after="a")
    assert await ids(author, "override") == ["b", "a", "c"]
    await put(author, "override", "d", before="a")
    assert await ids(author, "override") == ["b", "d", "a", "c"]
    await put(author, "override", "b", after="c", before="a")
    assert await ids(author, "override") == ["d", "b", "a", "c"]
    await put(author, "override", "a")
    assert await ids(author, "override") == ["d", "b", "a", "c"]
    rules = (await author.call("GET", "/pushrules/global/"))["override"]
    assert [rule["default"] for rule in rules[:6]] == [True, False, False, False, False, True]
    assert rules[0]["rule_id"] == ".m.rule.master"
    for other in ("unknown", ".m.rule.master", "a"):
        refused = await put(author, "override", "a", before=other)
        assert (refused.status, refused["errcode"]) == (400, "M_UNKNOWN")
    assert await ids(author, "override") == ["d", "b", "a", "c"]


async def test_every_rule_can_be_switched_and_given_actions(home: House) -> None:
    """Predefined and own ones; historical actions are kept as they were given; unknown rules are 404."""
    author = home.device("author")
    await put(author, "sender", "@other:paraph.test")
    rules = (await author.call("GET", "/pushrules/"))["global"]
    named = [(kind, rule["rule_id"]) for kind, found in rules.items() for rule in found]
    assert len(named) > 15
    for kind, rule_id in named:
        path = f"{RULES}/{kind}/{quote(rule_id, safe='')}"
        for enabled in (True, False):
            assert await author.call("PUT", f"{path}/enabled", {"enabled": enabled}) == {}
            assert await author.call("GET", f"{path}/enabled") == {"enabled": enabled}
        assert await author.call("PUT", f"{path}/actions", {"actions": ["dont_notify"]}) == {}
        assert await author.call("GET", f"{path}/actions") == {"actions": ["dont_notify"]}
    for attribute, body in (("enabled", {"enabled": True}), ("actions", {"actions": []})):
        unknown = await author.call("PUT", f"{RULES}/override/.not.there/{attribute}", body)
        assert (unknown.status, unknown["errcode"]) == (404, "M_NOT_FOUND")
    refused = await author.call("DELETE", f"{RULES}/override/.m.rule.master")
    assert (refused.status, refused["errcode"]) == (400, "M_INVALID_PARAM")


NO_RULES: list[Any] = [
    ("/pushrules/", {}),
    ("/pushrules", {}),
    ("/pushrules/other/room/x", {"actions": []}),
    ("/pushrules/global", {}),
    ("/pushrules/global/room", {}),
    ("/pushrules/global/room/", {"actions": []}),
    ("/pushrules/global/other/x", {"actions": []}),
    ("/pushrules/global/room/a%5Cb", {"actions": []}),
    ("/pushrules/global/room/a%2Fb", {"actions": []}),
    ("/pushrules/global/room/.dotted", {"actions": []}),
    ("/pushrules/global/room/" + "x" * 256, {"actions": []}),
    ("/pushrules/global/override/x", {}),
    ("/pushrules/global/override/x", {"actions": [], "conditions": [{}]}),
    ("/pushrules/global/override/x", {"actions": [], "conditions": [{"kind": "a"}] * 51}),
    ("/pushrules/global/content/x", {"actions": []}),
    ("/pushrules/global/content/x", {"actions": [], "pattern": "x" * 256}),
    ("/pushrules/global/room/x", {"actions": ["not_an_action"]}),
    ("/pushrules/global/room/x", {"actions": [{"tweak": 1}]}),
    ("/pushrules/global/room/x", {"actions": ["notify"] * 21}),
    ("/pushrules/global/override/.m.rule.master/other", {"enabled": True}),
    ("/pushrules/global/override/.m.rule.master/enabled", {"enabled": "yes"}),
    ("/pushrules/global/override/.m.rule.master/actions", {"actions": [7]}),
]


async def test_what_is_no_rule_is_refused(home: House) -> None:
    """400, and the rules stay as they were."""
    author = home.device("author")
    before = await author.call("GET", "/pushrules/")
    for path, body in NO_RULES:
        assert (await author.call("PUT", path, body)).status == 400
        assert await author.call("GET", "/pushrules/") == before


NOT_THERE: list[Any] = [
    ("/pushrules", 400),
    ("/pushrules/global", 400),
    ("/pushrules/global/room", 400),
    ("/pushrules/other/", 400),
    ("/pushrules/global/other/", 400),
    ("/pushrules/global/override/.m.rule.master/other", 400),
    ("/pushrules/global/override/unknown", 404),
    ("/pushrules/global/other/unknown", 404),
    ("/pushrules/global/other/unknown/enabled", 404),
]


async def test_what_is_asked_for_wrongly(home: House) -> None:
    """Half a path is a bad request; a rule that is not there is not found."""

    for path, status in NOT_THERE:
        assert (await home.device("author").call("GET", path)).status == status


async def test_rules_are_account_data_and_come_with_sync(home: House) -> None:
    """In the first sync before any was changed, and in the next after each change; nothing else writes them."""
    author, other = home.device("author"), home.device("author", "B")
    first = await author.next()
    (data,) = [event for event in first["account_data"]["events"] if event["type"] == "m.push_rules"]
    assert data["content"] == await author.call("GET", "/pushrules/")
    assert "account_data" not in await author.next()
    await put(other, "room", "!room:paraph.test")
    (data,) = (await author.next())["account_data"]["events"]
    assert data["content"]["global"]["room"][0]["rule_id"] == "!room:paraph.test"
    path = f"/user/{author.user_id}/account_data/m.push_rules"
    assert await author.call("GET", path) == data["content"]
    assert (await author.call("PUT", path, {})).status == 405
    assert await home.device("other").call("GET", f"/user/{home.device('other').user_id}/account_data/m.push_rules")


async def test_mention_rules_of_old_are_there_only_where_bodies_can_be_read(home: House) -> None:
    """A server that requires encryption offers none of them; polls have rules, as messages do."""
    rules = (await home.device("author").call("GET", "/pushrules/"))["global"]
    names = {rule["rule_id"] for found in rules.values() for rule in found}
    assert rules["content"] == []
    assert not names & {".m.rule.contains_display_name", ".m.rule.roomnotif", ".m.rule.contains_user_name"}
    assert names >= {".m.rule.poll_start_one_to_one", ".m.rule.poll_end", ".m.rule.suppress_edits", ".m.rule.encrypted"}
