"""Publishing keys, looking them up, claiming one-time keys."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from paraph.protocol.signing import sign, verify
from paraph.server.devices import one_time
from paraph.server.devices.directory import MAX_USERS
from paraph.server.devices.service import MAX_CLAIMS
from paraph.server.http import MatrixError
from tests.server.accounts.house import count, refused
from tests.server.devices.party import PARTNER, Home, Person, flipped, open_home, public, seeded

UPLOAD, QUERY, CLAIM = "/keys/upload", "/keys/query", "/keys/claim"


async def claim(who: Person, owner: Person) -> dict[str, Any]:
    """Claim one key of a device; empty if there is none."""
    body = {"one_time_keys": {owner.user_id: {owner.device_id: "signed_curve25519"}}}
    answer = await who("POST", CLAIM, body)
    assert answer["failures"] == {}
    found: dict[str, Any] = answer["one_time_keys"].get(owner.user_id, {}).get(owner.device_id, {})
    return found


async def test_keys_are_served_as_they_were_published(home: Home) -> None:
    """Others see exactly the signed object, and the device's name beside it."""
    author, other = await home.person("author"), await home.person("correspondent")
    assert await author.publish(range(3)) == {"signed_curve25519": 3}
    await author("PUT", "/devices/PHONE", {"display_name": "Pocket"})
    answer = await other("POST", QUERY, {"device_keys": {author.user_id: [], "@nobody:test": []}})
    served = answer["device_keys"][author.user_id]["PHONE"]
    assert served.pop("unsigned") == {"device_display_name": "Pocket"}
    assert served == author.device_keys()
    assert answer["failures"] == {}
    assert "@nobody:test" not in answer["device_keys"]


async def test_a_query_can_name_devices(home: Home) -> None:
    """Only the named devices are answered; an empty list means all; devices without keys do not show."""
    author = await home.person("author")
    laptop = await home.another(author, "LAPTOP")
    await home.another(author, "KEYLESS")
    await author.publish()
    await laptop.publish()

    async def seen(*device_ids: str) -> set[str]:
        answer = await author("POST", QUERY, {"device_keys": {author.user_id: list(device_ids)}})
        return set(answer["device_keys"].get(author.user_id, {}))

    assert await seen() == {"PHONE", "LAPTOP"}
    assert await seen("LAPTOP", "OTHER") == {"LAPTOP"}
    assert await seen("OTHER") == set()


async def test_members_we_do_not_know_are_kept(home: Home) -> None:
    """A signature covers them, so they are served too; `unsigned` and other people's signatures are not."""
    author = await home.person("author")
    document = author.device_keys(dehydrated=True)
    stranger = seeded("stranger")
    more = sign(document, "@stranger:test", "ed25519:X", stranger.sign) | {"unsigned": {"age": 1}}
    await author("POST", UPLOAD, {"device_keys": more})
    answer = await author("POST", QUERY, {"device_keys": {author.user_id: []}})
    served = answer["device_keys"][author.user_id]["PHONE"]
    assert served == document | {"unsigned": {}}
    served.pop("unsigned")
    verify(served, author.user_id, "ed25519:PHONE", author.key.public_key)


def broken_device_keys(author: Person) -> dict[str, tuple[dict[str, Any], str]]:
    """Device keys with one thing wrong each, and the error for it."""
    keys = author.device_keys()["keys"]
    other = {f"ed25519:{author.device_id}": seeded("other").public_key}
    unsigned = {name: value for name, value in author.device_keys().items() if name != "signatures"}
    return {
        "another person's": (author.device_keys(user_id="@other:test"), "M_INVALID_PARAM"),
        "another device's": (author.device_keys(device_id="OTHER"), "M_BAD_JSON"),
        "no algorithms": (author.device_keys(algorithms=None), "M_BAD_JSON"),
        "algorithms of numbers": (author.device_keys(algorithms=[1]), "M_BAD_JSON"),
        "no keys": (author.device_keys(keys={}), "M_BAD_JSON"),
        "no identity key": (author.device_keys(keys={"ed25519:PHONE": keys["ed25519:PHONE"]}), "M_BAD_JSON"),
        "a short key": (author.device_keys(keys=keys | {"curve25519:PHONE": "AAAA"}), "M_BAD_JSON"),
        "a padded key": (author.device_keys(keys=keys | {"curve25519:PHONE": "A" * 43 + "="}), "M_BAD_JSON"),
        "another's signing key": (author.device_keys(keys=keys | other), "M_INVALID_SIGNATURE"),
        "no signatures": (unsigned, "M_BAD_JSON"),
        "empty signatures": (unsigned | {"signatures": {}}, "M_INVALID_SIGNATURE"),
        "signatures as text": (unsigned | {"signatures": "x"}, "M_INVALID_PARAM"),
        "a signature as number": (
            unsigned | {"signatures": {author.user_id: {"ed25519:PHONE": 7}}},
            "M_INVALID_PARAM",
        ),
        "many signatures": (
            unsigned | {"signatures": {author.user_id: {f"ed25519:{n}": "x" for n in range(17)}}},
            "M_INVALID_PARAM",
        ),
        "a wrong signature": (flipped(author.device_keys()), "M_INVALID_SIGNATURE"),
        "changed after signing": (author.device_keys() | {"algorithms": []}, "M_INVALID_SIGNATURE"),
        "a float": (author.device_keys() | {"age": 1.5}, "M_BAD_JSON"),
        "a weak key": (
            unsigned
            | {"keys": keys | {"ed25519:PHONE": "A" * 43}, "signatures": flipped(author.device_keys())["signatures"]},
            "M_INVALID_SIGNATURE",
        ),
        "too large": (author.device_keys(padding="x" * 20_000), "M_INVALID_PARAM"),
    }


async def test_broken_device_keys_are_refused(home: Home) -> None:
    """Each has its error, and nothing is written: neither the keys nor the one-time keys sent along."""
    author = await home.person("author")
    for what, (document, errcode) in broken_device_keys(author).items():
        answer = await author.ask("POST", UPLOAD, {"device_keys": document, "one_time_keys": author.one_time("a")})
        assert (answer.status_code, answer.json()["errcode"]) == (400, errcode), (what, answer.text)
        query = await author("POST", QUERY, {"device_keys": {author.user_id: []}})
        assert query["device_keys"] == {author.user_id: {}}, what
        assert await count(home.database, "devices_one_time_keys") == 0


async def test_identity_keys_never_change(home: Home) -> None:
    """The same keys again are taken; other ones for the same device are refused, also with a good signature."""
    author = await home.person("author")
    await author.publish()
    before = home.position
    await author.publish()
    assert home.position == before
    for name in ("curve25519:PHONE", "ed25519:PHONE"):
        key = seeded("new")
        changed = author.device_keys()["keys"] | {name: key.public_key}
        document = {**author.device_keys(), "keys": changed, "signatures": {}}
        signer = key if name.startswith("ed25519") else author.key
        signed = sign(document, author.user_id, "ed25519:PHONE", signer.sign)
        refused(await author.ask("POST", UPLOAD, {"device_keys": signed}), 400, "M_INVALID_PARAM")
    answer = await author("POST", QUERY, {"device_keys": {author.user_id: []}})
    served = answer["device_keys"][author.user_id]["PHONE"]
    assert served["keys"] == author.device_keys()["keys"]


async def test_algorithms_may_change(home: Home) -> None:
    """What a device can do may change while its keys stay."""
    author = await home.person("author")
    await author.publish()
    await author("POST", UPLOAD, {"device_keys": author.device_keys(algorithms=["m.new"])})
    answer = await author("POST", QUERY, {"device_keys": {author.user_id: []}})
    assert answer["device_keys"][author.user_id]["PHONE"]["algorithms"] == ["m.new"]


async def test_a_device_logs_in_anew_with_new_keys(home: Home) -> None:
    """After a logout the keys are gone everywhere, and the same device id starts afresh."""
    author = await home.person("author")
    await author.publish(range(3), ["f"])
    await author("POST", "/logout")
    for table in ("devices", "devices_one_time_keys", "devices_fallback_keys"):
        assert await count(home.database, table) == 0
    again = await home.another(author, "PHONE")
    assert await again.publish() == {"signed_curve25519": 0}


# --- One-time keys


async def test_a_hundred_claims_at_once_share_fifty_keys(home: Home) -> None:
    """No key is handed out twice, every key is handed out, and each is what its device signed."""
    author, other = await home.person("author"), await home.person("correspondent")
    await author.publish(range(50))
    claimed = await asyncio.gather(*(claim(other, author) for _ in range(100)))
    keys = [name for found in claimed for name in found]
    assert sorted(keys) == sorted(f"signed_curve25519:{n}" for n in range(50))
    for found in claimed:
        for name, key in found.items():
            assert key == author.one_time([name.partition(":")[2]])[name]
    part = await author.part()
    assert part.one_time_key_counts == {"signed_curve25519": 0}


async def test_the_oldest_key_goes_first(home: Home) -> None:
    """Keys are handed out in the order in which they came."""
    author, other = await home.person("author"), await home.person("correspondent")
    await author.publish(["z", "a"])
    await author("POST", UPLOAD, {"one_time_keys": author.one_time(["m"])})
    order = [name for _ in range(3) for name in await claim(other, author)]
    assert order == [f"signed_curve25519:{name}" for name in ("z", "a", "m")]


async def test_claimed_keys_stay_claimed_after_a_restart(tmp_path: Path) -> None:
    """An answered claim is on disk."""
    async with open_home(tmp_path / "paraph.db") as home:
        author, other = await home.person("author"), await home.person("correspondent")
        await author.publish(["a", "b"])
        first = await claim(other, author)
        tokens = author.token, other.token
    async with open_home(tmp_path / "paraph.db") as home:
        author = Person(home, author.user_id, "PHONE", tokens[0])
        other = Person(home, other.user_id, "PHONE", tokens[1])
        second = await claim(other, author)
        assert {*first, *second} == {"signed_curve25519:a", "signed_curve25519:b"}
        assert await claim(other, author) == {}


async def test_a_repeated_upload_changes_nothing(home: Home) -> None:
    """A client that missed the answer uploads again: the counts are the same, and a key claimed meanwhile stays so."""
    author, other = await home.person("author"), await home.person("correspondent")
    keys = author.one_time(["a", "b"])
    await author.publish(["a", "b"])
    first = await claim(other, author)
    again = await author("POST", UPLOAD, {"one_time_keys": keys})
    assert again["one_time_key_counts"] == {"signed_curve25519": 1}
    second = await claim(other, author)
    assert set(first) | set(second) == set(keys)
    assert await claim(other, author) == {}


async def test_another_key_under_a_known_id_is_refused(home: Home) -> None:
    """An id stands for one key for ever, claimed or not; the upload is refused as a whole."""
    author, other = await home.person("author"), await home.person("correspondent")
    await author.publish(["a", "b"])
    await claim(other, author)
    for name in ("a", "b"):
        forged = {f"signed_curve25519:{name}": author.signed({"key": public("other")}), **author.one_time(["c"])}
        refused(await author.ask("POST", UPLOAD, {"one_time_keys": forged}), 400, "M_INVALID_PARAM")
    assert (await author.part()).one_time_key_counts == {"signed_curve25519": 1}


@pytest.mark.parametrize("kind", ["one_time_keys", "fallback_keys"])
async def test_broken_one_time_keys_are_refused(home: Home, kind: str) -> None:
    """Each has its error, and none of the upload is kept."""
    author = await home.person("author")
    await author.publish()
    good = author.one_time(["good"])
    (key,) = author.one_time(["x"]).values()
    stranger = sign({"key": public("x")}, author.user_id, "ed25519:PHONE", seeded("stranger").sign)
    table: list[tuple[dict[str, Any], str]] = [
        ({"curve25519:x": public("x")}, "M_INVALID_PARAM"),
        ({"signed_curve25519": key}, "M_INVALID_PARAM"),
        ({"signed_curve25519:": key}, "M_INVALID_PARAM"),
        ({"signed_curve25519:\n": key}, "M_INVALID_PARAM"),
        ({"signed_curve25519:" + "x" * 200: key}, "M_INVALID_PARAM"),
        ({"m.unknown:x": key}, "M_INVALID_PARAM"),
        ({"signed_curve25519:x": public("x")}, "M_INVALID_PARAM"),
        ({"signed_curve25519:x": None}, "M_INVALID_PARAM"),
        ({"signed_curve25519:x": author.signed({"key": "short"})}, "M_INVALID_PARAM"),
        ({"signed_curve25519:x": author.signed({})}, "M_INVALID_PARAM"),
        ({"signed_curve25519:x": author.signed({"key": public("x"), "pad": "x" * 3000})}, "M_INVALID_PARAM"),
        ({"signed_curve25519:x": {"key": public("x")}}, "M_INVALID_SIGNATURE"),
        ({"signed_curve25519:x": flipped(key)}, "M_INVALID_SIGNATURE"),
        ({"signed_curve25519:x": stranger}, "M_INVALID_SIGNATURE"),
        ({"signed_curve25519:x": key | {"key": public("y")}}, "M_INVALID_SIGNATURE"),
        ({"signed_curve25519:x": key | {"when": 1.5}}, "M_BAD_JSON"),
    ]
    for keys, errcode in table:
        answer = await author.ask("POST", UPLOAD, {kind: keys | good if kind == "one_time_keys" else keys})
        assert (answer.status_code, answer.json()["errcode"]) == (400, errcode), (keys, answer.text)
    assert await count(home.database, "devices_one_time_keys") == 0
    assert await count(home.database, "devices_fallback_keys") == 0


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"device_keys": []}, "M_BAD_JSON"),
        ({"one_time_keys": []}, "M_BAD_JSON"),
        ({"one_time_keys": "x"}, "M_BAD_JSON"),
        ([], "M_BAD_JSON"),
    ],
)
async def test_bodies_of_another_shape_are_refused(home: Home, body: Any, errcode: str) -> None:
    """Upload takes objects only."""
    author = await home.person("author")
    refused(await author.ask("POST", UPLOAD, body), 400, errcode)


async def test_one_time_keys_may_come_before_device_keys(home: Home) -> None:
    """They are handed out in the order in which they came; of those left, the ones that the device did not sign go as
    soon as its signing key is known."""
    author, mate = await home.person("author"), await home.person("mate")
    (nobodys,) = (flipped(key) for key in author.one_time("x").values())
    bad = {f"signed_curve25519:{name}": nobodys for name in "zy"}
    for keys in (author.one_time("b"), author.one_time("a"), bad):
        body = {"one_time_keys": keys, "fallback_keys": {"signed_curve25519:f": nobodys}}
        await author("POST", UPLOAD, body)
    wanted = {"one_time_keys": {author.user_id: {"PHONE": "signed_curve25519"}}}
    for name in "ba":
        claimed = await mate("POST", "/keys/claim", wanted)
        assert claimed["one_time_keys"][author.user_id]["PHONE"] == author.one_time(name)
    assert (await author("POST", UPLOAD, {}))["one_time_key_counts"] == {"signed_curve25519": 2}
    await author("POST", UPLOAD, {"one_time_keys": author.one_time("c")})
    told = await author("POST", UPLOAD, {"device_keys": author.device_keys()})
    assert told["one_time_key_counts"] == {"signed_curve25519": 1}
    for expected in (author.one_time("c"), None):
        claimed = await mate("POST", "/keys/claim", wanted)
        assert claimed["one_time_keys"].get(author.user_id, {}).get("PHONE") == expected


async def test_a_query_tells_who_is_not_to_be_found(home: Home) -> None:
    """Who has no devices has an empty list, who does not exist none, and another server is listed as out of reach."""
    author, mate = await home.person("author"), await home.person("mate")
    await author.publish()
    wanted = {
        author.user_id: ["OTHER"],
        mate.user_id: [],
        "@nobody:test": [],
        "@mate:elsewhere.test": [],
        "nonsense": [],
    }
    answer = await mate("POST", QUERY, {"device_keys": wanted})
    assert answer["device_keys"] == {author.user_id: {}, mate.user_id: {}}
    assert set(answer["failures"]) == {"elsewhere.test"}


async def test_an_empty_upload_tells_the_counts(home: Home) -> None:
    """Clients ask so how many keys are left."""
    author = await home.person("author")
    assert await author("POST", UPLOAD, {}) == {"one_time_key_counts": {"signed_curve25519": 0}}
    await author.publish(range(5))
    assert await author("POST", UPLOAD, {}) == {"one_time_key_counts": {"signed_curve25519": 5}}


async def test_stored_keys_are_bounded(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one upload nor many can fill the table."""
    monkeypatch.setattr(one_time, "MAX_STORED", 5)
    author = await home.person("author")
    await author.publish(range(5))
    body = {"one_time_keys": author.one_time(["one-more"])}
    refused(await author.ask("POST", UPLOAD, body), 400, "M_INVALID_PARAM")
    assert await count(home.database, "devices_one_time_keys") == 5
    many: dict[str, Any] = {f"signed_curve25519:{n}": {} for n in range(one_time.MAX_UPLOADED + 1)}
    refused(await author.ask("POST", UPLOAD, {"one_time_keys": many}), 400, "M_INVALID_PARAM")


async def test_claimed_keys_are_forgotten_in_the_end(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the newest claimed keys are remembered."""
    monkeypatch.setattr(one_time, "KEEP_CLAIMED", 3)
    author, other = await home.person("author"), await home.person("correspondent")
    await author.publish(range(10))
    for _ in range(10):
        await claim(other, author)
    await author("POST", UPLOAD, {"one_time_keys": author.one_time(["new"])})
    assert await count(home.database, "devices_one_time_keys") == 4
    assert set(await claim(other, author)) == {"signed_curve25519:new"}


async def test_the_fallback_key_steps_in(home: Home) -> None:
    """When no key is left it is handed out again and again, marked used; a new one is unused."""
    author, other = await home.person("author"), await home.person("correspondent")
    await author.publish(["a"], ["f"])
    assert (await author.part()).unused_fallback_key_types == ["signed_curve25519"]
    assert set(await claim(other, author)) == {"signed_curve25519:a"}
    assert (await author.part()).unused_fallback_key_types == ["signed_curve25519"]
    for _ in range(2):
        assert await claim(other, author) == author.one_time(["f"], fallback=True)
    assert (await author.part()).unused_fallback_key_types == []
    await author("POST", UPLOAD, {"fallback_keys": author.one_time(["f"], fallback=True)})
    assert (await author.part()).unused_fallback_key_types == []
    await author("POST", UPLOAD, {"fallback_keys": author.one_time(["g"], fallback=True)})
    assert (await author.part()).unused_fallback_key_types == ["signed_curve25519"]
    assert set(await claim(other, author)) == {"signed_curve25519:g"}


async def test_two_fallback_keys_of_one_algorithm_are_refused(home: Home) -> None:
    """There is one per algorithm."""
    author = await home.person("author")
    await author.publish()
    body = {"fallback_keys": author.one_time(["f", "g"], fallback=True)}
    refused(await author.ask("POST", UPLOAD, body), 400, "M_INVALID_PARAM")


async def test_counts_follow_every_change(home: Home) -> None:
    """What a sync says of the counts is remembered, and never old."""
    author, other = await home.person("author"), await home.person("correspondent")
    seen = []
    for step in ("nothing", "publish", "claim", "claim", "logout"):
        if step == "publish":
            await author.publish(["a", "b"])
        elif step == "claim":
            await claim(other, author)
        elif step == "logout":
            await author("POST", "/logout")
        seen.append((await author.part()).one_time_key_counts["signed_curve25519"])
    assert seen == [0, 2, 1, 0, 0]


async def test_new_counts_wake_their_device(home: Home) -> None:
    """An upload and a claim are news, at a position of their own; repeating an upload is none."""
    author, other = await home.person("author"), await home.person("correspondent")
    await author.publish(["a"])
    for act in (lambda: claim(other, author), lambda: author.publish(["b"])):
        home.woken.clear()
        before = home.position
        await act()
        assert home.woken == [{author.user_id}]
        assert home.position > before
    home.woken.clear()
    await author.publish(["b"])
    assert home.woken == []


async def test_unknown_claims_are_left_out(home: Home) -> None:
    """Devices, people and algorithms that do not exist give nothing."""
    author = await home.person("author")
    await author.publish(["a"])
    wanted = {
        author.user_id: {"OTHER": "signed_curve25519", "PHONE": "m.unknown"},
        "@nobody:test": {"X": "signed_curve25519"},
    }
    assert await author("POST", CLAIM, {"one_time_keys": wanted}) == {"one_time_keys": {}, "failures": {}}


async def test_large_requests_are_refused(home: Home) -> None:
    """Queries and claims are bounded."""
    author = await home.person("author")
    users: dict[str, list[str]] = {f"@u{n}:test": [] for n in range(MAX_USERS + 1)}
    refused(await author.ask("POST", QUERY, {"device_keys": users}), 400, "M_INVALID_PARAM")
    devices = {f"D{n}": "signed_curve25519" for n in range(MAX_CLAIMS + 1)}
    body = {"one_time_keys": {author.user_id: devices}}
    refused(await author.ask("POST", CLAIM, body), 400, "M_INVALID_PARAM")
    for path in (QUERY, CLAIM):
        refused(await author.ask("POST", path, {}), 400, "M_BAD_JSON")


# --- Partners


async def test_partners_show_under_a_grant_only(home: Home) -> None:
    """A person sees a partner's devices, and gets its one-time keys, exactly while she has a live grant."""
    author, other = await home.person("author"), await home.person("correspondent")
    partner = Person(home, PARTNER, "FILMS1", "")
    home.grants.keys = {"FILMS1": partner.device_keys()}
    home.grants.granted = {author.user_id}
    uploaded = partner.one_time(["a", "b"])
    counts = await home.database.write(
        lambda tx: home.devices.upload_keys(tx, PARTNER, "FILMS1", partner.key.public_key, uploaded, {})
    )
    assert counts.one_time == {"signed_curve25519": 2}
    query: dict[str, Any] = {"device_keys": {PARTNER: []}}
    assert (await author("POST", QUERY, query))["device_keys"] == {PARTNER: home.grants.keys}
    assert (await other("POST", QUERY, query))["device_keys"] == {}
    assert set(await claim(author, partner)) == {"signed_curve25519:a"}
    assert await claim(other, partner) == {}
    home.grants.granted.clear()
    assert (await author("POST", QUERY, query))["device_keys"] == {}
    assert await claim(author, partner) == {}
    assert await count(home.database, "devices_one_time_keys") == 2


async def test_a_partner_uploads_only_what_its_device_signed(home: Home) -> None:
    """The same checks as for people."""
    partner = Person(home, PARTNER, "FILMS1", "")
    with pytest.raises(MatrixError) as refusal:
        await home.database.write(
            lambda tx: home.devices.upload_keys(tx, PARTNER, "FILMS1", public("other"), partner.one_time(["a"]), {})
        )
    assert refusal.value.code == "M_INVALID_SIGNATURE"
    assert await count(home.database, "devices_one_time_keys") == 0
