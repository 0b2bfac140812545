"""Identities: three keys, and signatures that vouch."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from paraph.protocol.chain import verify_chain
from paraph.protocol.signing import SigningKey, sign
from tests.server.accounts.house import PASSWORD, count, refused
from tests.server.devices.party import Home, Person, flipped, seeded

SIGNING, SIGNATURES, QUERY = "/keys/device_signing/upload", "/keys/signatures/upload", "/keys/query"


def auth(password: str = PASSWORD) -> dict[str, Any]:
    """Authenticating again by password."""
    return {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "author"}, "password": password}


async def seen(viewer: Person, owner: Person) -> dict[str, Any]:
    """What one person sees of another's keys."""
    answer = await viewer("POST", QUERY, {"device_keys": {owner.user_id: []}})
    return {kind: found[owner.user_id] for kind, found in answer.items() if owner.user_id in found}


def vouched(document: dict[str, Any], user_id: str, key: SigningKey) -> dict[str, Any]:
    """The object with a signature by a cross-signing key."""
    return sign(document, user_id, key.key_id, key.sign)


async def test_a_first_identity_needs_no_password(home: Home) -> None:
    """The owner sees all three keys as uploaded, others never see the user-signing key."""
    author, other = await home.person("author"), await home.person("correspondent")
    await author.publish()
    assert await author("POST", SIGNING, author.identity()) == {}
    identity = author.identity()
    mine = await seen(author, author)
    assert mine["master_keys"] == identity["master_key"]
    assert mine["self_signing_keys"] == identity["self_signing_key"]
    assert mine["user_signing_keys"] == identity["user_signing_key"]
    theirs = await seen(other, author)
    assert theirs["master_keys"] == identity["master_key"]
    assert "user_signing_keys" not in theirs


async def test_another_identity_needs_the_password(home: Home) -> None:
    """Without it 401 and nothing changes; with a wrong one too; with the right one the new identity stands."""
    author = await home.person("author")
    await author("POST", SIGNING, author.identity(1))
    for given in (None, auth("wrong password")):
        answer = await author.ask("POST", SIGNING, author.identity(2, auth=given))
        assert answer.status_code == 401
        assert answer.json()["flows"] == [{"stages": ["m.login.password"]}]
        assert ("errcode" in answer.json()) == (given is not None)
        assert (await seen(author, author))["master_keys"]["keys"] == author.identity(1)["master_key"]["keys"]
    assert await author("POST", SIGNING, author.identity(2, auth=auth())) == {}
    mine = await seen(author, author)
    assert mine["self_signing_keys"]["keys"] == author.identity(2)["self_signing_key"]["keys"]


async def test_the_same_identity_again_needs_nothing(home: Home) -> None:
    """Uploading again what is there changes nothing and wakes nobody; signatures of both uploads stay."""
    author = await home.person("author")
    await author("POST", SIGNING, author.identity())
    before = home.position
    assert await author("POST", SIGNING, author.identity()) == {}
    assert home.position == before
    laptop = await home.another(author, "LAPTOP")
    await laptop("POST", SIGNING, laptop.identity())
    made = (await seen(author, author))["master_keys"]["signatures"][author.user_id]
    assert set(made) == {"ed25519:PHONE", "ed25519:LAPTOP"}


async def test_two_devices_race_for_the_first_identity(home: Home) -> None:
    """One wins; the other is refused, and what is stored is one whole identity."""
    author = await home.person("author")
    asks = [author.ask("POST", SIGNING, author.identity(n)) for n in (1, 2)]
    answers = await asyncio.gather(*asks)
    assert sorted(answer.status_code for answer in answers)[0] == 200
    assert max(answer.status_code for answer in answers) in (401, 403)
    mine = await seen(author, author)
    winner = next(n for n in (1, 2) if answers[n - 1].status_code == 200)
    for kind in ("master", "self_signing", "user_signing"):
        assert mine[f"{kind}_keys"]["keys"] == author.identity(winner)[f"{kind}_key"]["keys"]


async def test_a_new_master_key_alone_drops_the_others(home: Home) -> None:
    """What the old master key vouched for does not outlive it, nor do signatures by and on the old keys."""
    author, other = await home.person("author"), await home.person("correspondent")
    await author.publish()
    for person in (author, other):
        await person("POST", SIGNING, person.identity())
    own = vouched(author.device_keys(), author.user_id, author.self_signing())
    theirs = vouched(other.cross_signing_key("master", other.master()), author.user_id, author.user_signing())
    signed = {author.user_id: {"PHONE": own}, other.user_id: {other.master().public_key: theirs}}
    assert await author("POST", SIGNATURES, signed) == {"failures": {}}
    old = other.cross_signing_key("master", author.master()) | {"user_id": author.user_id}
    trust = vouched(old, other.user_id, other.user_signing())
    await other("POST", SIGNATURES, {author.user_id: {author.master().public_key: trust}})
    assert await count(home.database, "devices_signatures") == 4  # the device's own is kept with it
    only = {"master_key": author.identity(2)["master_key"], "auth": auth()}
    await author("POST", SIGNING, only)
    mine = await seen(author, author)
    assert set(mine) == {"device_keys", "master_keys"}
    assert author.self_signing().key_id not in mine["device_keys"]["PHONE"]["signatures"][author.user_id]
    assert author.user_id not in (await seen(author, other))["master_keys"]["signatures"]
    assert await count(home.database, "devices_signatures") == 1  # the device's own


def broken_identities(author: Person) -> dict[str, tuple[dict[str, Any], str]]:
    """Identities with one thing wrong each, and the error for it."""
    good = author.identity()
    stranger = seeded("stranger")
    master = good["master_key"]

    def with_master(**change: Any) -> dict[str, Any]:
        return good | {"master_key": {**master, **change}}

    def with_self_signing(document: Any) -> dict[str, Any]:
        return good | {"self_signing_key": document}

    unsigned = author.cross_signing_key("self_signing", author.self_signing())
    return {
        "nothing": ({}, "M_MISSING_PARAM"),
        "a list": ({"master_key": []}, "M_BAD_JSON"),
        "another person's": (with_master(user_id="@other:test"), "M_INVALID_PARAM"),
        "another usage": (with_master(usage=["self_signing"]), "M_INVALID_PARAM"),
        "usage as text": (with_master(usage="master"), "M_INVALID_PARAM"),
        "no keys": (with_master(keys={}), "M_INVALID_PARAM"),
        "two keys": (
            with_master(keys={key.key_id: key.public_key for key in (stranger, author.master())}),
            "M_INVALID_PARAM",
        ),
        "a key under another id": (with_master(keys={"ed25519:x": author.master().public_key}), "M_INVALID_PARAM"),
        "a short key": (with_master(keys={"ed25519:AAAA": "AAAA"}), "M_INVALID_PARAM"),
        "a float": (with_master(age=1.5), "M_BAD_JSON"),
        "too large": (with_master(pad="x" * 20_000), "M_INVALID_PARAM"),
        "no master key": ({"self_signing_key": good["self_signing_key"]}, "M_INVALID_PARAM"),
        "not signed": (with_self_signing(unsigned), "M_INVALID_SIGNATURE"),
        "wrongly signed": (with_self_signing(flipped(good["self_signing_key"])), "M_INVALID_SIGNATURE"),
        "signed by another key": (
            with_self_signing(author.cross_signing_key("self_signing", author.self_signing(), stranger)),
            "M_INVALID_SIGNATURE",
        ),
        "one key twice": (
            with_self_signing(author.cross_signing_key("self_signing", author.user_signing(), author.master())),
            "M_INVALID_PARAM",
        ),
        "user-signing key wrongly signed": (
            good | {"user_signing_key": flipped(good["user_signing_key"])},
            "M_INVALID_SIGNATURE",
        ),
    }


async def test_broken_identities_are_refused(home: Home) -> None:
    """Each has its error, and no key of the upload is kept."""
    author = await home.person("author")
    for what, (body, errcode) in broken_identities(author).items():
        answer = await author.ask("POST", SIGNING, body)
        assert (answer.status_code, answer.json()["errcode"]) == (400, errcode), (what, answer.text)
        assert await count(home.database, "devices_cross_signing") == 0, what


async def test_no_device_is_called_like_a_key(home: Home) -> None:
    """Key ids of devices and cross-signing keys share one name space, so neither may take the other's name."""
    author = await home.person("author")
    await home.another(author, author.master().public_key)
    refused(await author.ask("POST", SIGNING, author.identity()), 400, "M_INVALID_PARAM")
    await author("POST", SIGNING, author.identity(2))
    for key in (author.master(2), author.self_signing(2), author.user_signing(2)):
        answer = await home.inner.log_in("author", device_id=key.public_key)
        refused(answer, 400, "M_INVALID_PARAM")
    other = await home.person("correspondent")
    assert await home.another(other, author.master(2).public_key)


# --- Signatures


async def chained(home: Home) -> tuple[Person, Person]:
    """An author and a correspondent, both with an identity and device keys."""
    people = await home.person("author"), await home.person("correspondent")
    for person in people:
        await person.publish()
        await person("POST", SIGNING, person.identity())
    return people


async def test_a_vouched_device_has_a_chain(home: Home) -> None:
    """After signing her device, everybody can follow it to her master key, and consent's view carries the same."""
    author, other = await chained(home)
    signed = vouched(author.device_keys(), author.user_id, author.self_signing())
    home.woken.clear()
    home.rooms = [{author.user_id, other.user_id}]
    assert await author("POST", SIGNATURES, {author.user_id: {"PHONE": signed}}) == {"failures": {}}
    assert home.woken[-1] == {author.user_id, other.user_id}
    found = await seen(other, author)
    found["device_keys"]["PHONE"].pop("unsigned")
    document = author.signed({"type": "anything"})
    served = await home.database.read(lambda tx: home.devices.device_keys_of(tx, author.user_id))
    for device_keys in (found["device_keys"]["PHONE"], served["PHONE"]):
        chain = {"device_keys": device_keys, "self_signing_key": found["self_signing_keys"]}
        verify_chain(document, chain, person=author.user_id, device_id="PHONE", master_key=author.master().public_key)
    identity = await home.database.read(lambda tx: home.devices.cross_signing_of(tx, author.user_id))
    assert identity.master is not None
    assert identity.master.public_key == author.master().public_key


async def test_a_device_signs_the_master_key(home: Home) -> None:
    """Another of her devices vouches for her master key; everybody sees it."""
    author, other = await chained(home)
    laptop = await home.another(author, "LAPTOP")
    await laptop.publish()
    signed = laptop.signed(author.cross_signing_key("master", author.master()))
    body = {author.user_id: {author.master().public_key: signed}}
    assert await laptop("POST", SIGNATURES, body) == {"failures": {}}
    made = (await seen(other, author))["master_keys"]["signatures"][author.user_id]
    assert set(made) == {"ed25519:PHONE", "ed25519:LAPTOP"}
    await laptop("POST", "/logout")
    made = (await seen(other, author))["master_keys"]["signatures"][author.user_id]
    assert set(made) == {"ed25519:PHONE"}


async def test_whom_a_person_verified_only_she_sees(home: Home) -> None:
    """Her user-signing key's signature on another's master key shows to her, not to the other nor to strangers."""
    author, other = await chained(home)
    stranger = await home.person("stranger")
    since = home.position
    theirs = vouched(other.cross_signing_key("master", other.master()), author.user_id, author.user_signing())
    body = {other.user_id: {other.master().public_key: theirs}}
    assert await author("POST", SIGNATURES, body) == {"failures": {}}
    made = (await seen(author, other))["master_keys"]["signatures"]
    assert set(made[author.user_id]) == {author.user_signing().key_id}
    for viewer in (other, stranger):
        assert author.user_id not in (await seen(viewer, other))["master_keys"]["signatures"]
    assert (await author.part(since)).changed == [other.user_id]
    assert (await other.part(since)).changed == []


async def test_what_does_not_verify_is_reported(home: Home) -> None:
    """Each failure is named with its error; what verifies in the same request is kept all the same."""
    author, other = await chained(home)
    laptop = await home.another(author, "LAPTOP")
    await laptop.publish()
    mine, theirs = author.device_keys(), other.cross_signing_key("master", other.master())
    me, ssk, usk = author.user_id, author.self_signing(), author.user_signing()
    table: list[tuple[str, str, Any, str]] = [
        (me, "PHONE", flipped(vouched(mine, me, ssk)), "M_INVALID_SIGNATURE"),
        (me, "PHONE", vouched(mine | {"algorithms": []}, me, ssk), "M_INVALID_PARAM"),
        (me, "PHONE", vouched(mine | {"signatures": {}}, me, usk), "M_INVALID_SIGNATURE"),
        (me, "PHONE", vouched(mine | {"signatures": {}}, me, other.self_signing()), "M_INVALID_SIGNATURE"),
        (me, "PHONE", mine | {"signatures": {}}, "M_INVALID_SIGNATURE"),
        (me, "PHONE", mine | {"signatures": []}, "M_INVALID_SIGNATURE"),
        (me, "PHONE", mine | {"signatures": {me: {ssk.key_id: 7}}}, "M_INVALID_SIGNATURE"),
        (me, "PHONE", mine | {"signatures": {me: {ssk.key_id: "short"}}}, "M_INVALID_SIGNATURE"),
        (me, "PHONE", "text", "M_INVALID_PARAM"),
        (me, "PHONE", mine | {"age": 1.5}, "M_BAD_JSON"),
        (me, "GONE", vouched(mine, me, ssk), "M_NOT_FOUND"),
        (other.user_id, "PHONE", vouched(other.device_keys(), me, usk), "M_NOT_FOUND"),
        (other.user_id, other.master().public_key, vouched(theirs, me, ssk), "M_INVALID_SIGNATURE"),
        (other.user_id, other.master(2).public_key, vouched(theirs, me, usk), "M_NOT_FOUND"),
        ("@nobody:test", other.master().public_key, vouched(theirs, me, usk), "M_NOT_FOUND"),
    ]
    good = vouched(laptop.device_keys(), me, ssk)
    for target, key_id, document, errcode in table:
        body: dict[str, Any] = {me: {}}
        body.setdefault(target, {})[key_id] = document
        body[me]["LAPTOP"] = good
        failures = (await author("POST", SIGNATURES, body))["failures"]
        assert {user: list(found) for user, found in failures.items()} == {target: [key_id]}, (document, failures)
        assert failures[target][key_id]["errcode"] == errcode, (document, failures)
    devices = (await seen(other, author))["device_keys"]
    assert ssk.key_id in devices["LAPTOP"]["signatures"][me]
    assert ssk.key_id not in devices["PHONE"]["signatures"][me]


async def test_without_an_identity_nothing_can_be_signed(home: Home) -> None:
    """There is no key that could vouch."""
    author = await home.person("author")
    await author.publish()
    signed = vouched(author.device_keys() | {"signatures": {}}, author.user_id, author.self_signing())
    failures = (await author("POST", SIGNATURES, {author.user_id: {"PHONE": signed}}))["failures"]
    assert failures[author.user_id]["PHONE"]["errcode"] == "M_INVALID_SIGNATURE"


@pytest.mark.parametrize(
    ("body", "errcode"),
    [
        ({"@author:test": []}, "M_BAD_JSON"),
        ([], "M_BAD_JSON"),
        ({"@author:test": {f"D{n}": {} for n in range(201)}}, "M_INVALID_PARAM"),
    ],
)
async def test_signature_uploads_of_another_shape_are_refused(home: Home, body: Any, errcode: str) -> None:
    """Shape and count are checked before anything is looked up."""
    author = await home.person("author")
    refused(await author.ask("POST", SIGNATURES, body), 400, errcode)


async def test_an_identity_that_nobody_signed_says_nothing_of_signatures(home: Home) -> None:
    """What was uploaded without signatures is served without."""
    author = await home.person("author")
    master = author.cross_signing_key("master", author.master())
    await author("POST", SIGNING, {"master_key": master})
    assert (await seen(author, author))["master_keys"] == master


async def test_a_user_signing_key_is_news_to_its_owner_alone(home: Home) -> None:
    """Nobody else ever sees it, so nobody else looks again; a self-signing key is news to all."""
    author, mate = await home.person("author"), await home.person("mate")
    home.rooms = [{author.user_id, mate.user_id}]
    identity = author.identity()
    for usage, told in (("master", True), ("user_signing", False), ("self_signing", True)):
        since = home.position
        body = {f"{usage}_key": identity[f"{usage}_key"], "auth": auth()}
        assert await author("POST", SIGNING, body) == {}
        assert (await author.part(since)).changed == [author.user_id]
        assert (await mate.part(since)).changed == ([author.user_id] if told else [])
