"""Before a partner gets a key, everything about it is verified; whatever does not check leaves it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from paraph.protocol.enrolment import verify_enrolment
from paraph.protocol.entry import public_leaf
from paraph.protocol.errors import ProtocolError
from paraph.protocol.signing import SigningKey, document_hash, sign
from paraph.sdk import (
    ConsentRefusedError,
    GrantTerms,
    LogError,
    NotEnrolledError,
    Person,
    ReceiptError,
    Trust,
    TrustError,
)
from tests.sdk.platform import DAY, ROOM, SERVER, SLUG, Platform
from tests.support.published_log import KEY


def terms(platform: Platform, **changes: Any) -> GrantTerms:
    """A grant for thirty days, within the agreement."""
    return GrantTerms(**{"purposes": ["recommendations"], "until": platform.now + 30 * DAY, **changes})


@pytest.fixture
def platform() -> Platform:
    """An honest platform with one partner in business."""
    made = Platform()
    made.open_for_business()
    return made


async def granted(platform: Platform, **changes: Any) -> Person:
    """An enrolled person with a grant."""
    person = await platform.person()
    await person.enrol()
    await person.grant(SLUG, terms(platform, **changes))
    return person


async def reaches_partner(person: Person, platform: Platform) -> bool:
    """Whether the key of the person's next message goes to the partner."""
    before = len(_room_shares(platform))
    await person.send_text(ROOM, "x")
    sessions = [s["session"]["session_id"] for s in _room_shares(platform)[before:]]
    known = {s["session"]["session_id"] for s in _room_shares(platform)}
    assert set(sessions) <= known
    return str(platform.sent[-1]["session_id"]) in known


def passes(platform: Platform, milliseconds: int) -> None:
    """Time goes by, and the log has an epoch then."""
    platform.now += milliseconds
    platform.log.publish(time=platform.now)


def _room_shares(platform: Platform) -> list[dict[str, Any]]:
    return [share for _, made in platform.directory.key_shares for share in made.shares if share["session"]]


async def test_enrolment_is_signed_by_device_and_master_key_and_repeatable(platform: Platform) -> None:
    """Enrolling commits to a log key under both keys; enrolling again sends the same document."""
    person = await platform.person()
    first = await person.enrol()
    again = await person.enrol()
    assert person.engine.identity is not None
    enrolment = first.body["enrolment"]
    verify_enrolment(enrolment, master_key=person.engine.identity.master.public_key)
    assert again.body["enrolment"] == enrolment


async def test_granted_partner_gets_room_key_and_grant_key(platform: Platform) -> None:
    """After a grant the partner's device receives the grant's key once and the room's key with its record."""
    person = await granted(platform)
    assert await reaches_partner(person, platform)
    assert await reaches_partner(person, platform)
    shares = [share for _, made in platform.directory.key_shares for share in made.shares]
    assert [share["session"] is None for share in shares] == [True, False]
    assert platform.sent[-1]["org.paraph.grants"] == platform.version


async def test_nothing_is_granted_before_enrolment(platform: Platform) -> None:
    """A device that is not enrolled can grant nothing, and its messages name no grant state."""
    person = await platform.person()
    with pytest.raises(NotEnrolledError):
        await person.grant(SLUG, terms(platform))
    await person.send_text(ROOM, "x")
    assert "org.paraph.grants" not in platform.sent[-1]


async def test_person_is_asked_with_the_text_that_is_signed(platform: Platform) -> None:
    """What the person is shown names the partner and the purposes; a no signs nothing."""
    person = await platform.person()
    await person.enrol()
    shown: list[str] = []
    with pytest.raises(ConsentRefusedError):
        await person.grant(SLUG, terms(platform), agree=lambda text: bool(shown.append(text)))
    assert platform.grants == []
    assert "Marquee" in shown[0]
    assert "- recommendations" in shown[0]


@pytest.mark.parametrize(
    "wider",
    [
        {"purposes": ["advertising"]},
        {"verbs": ["read", "write:draft"]},
        {"retention_days": 31},
        {"until": None},
    ],
)
async def test_terms_beyond_the_agreement_are_not_signed(platform: Platform, wider: dict[str, Any]) -> None:
    """The device itself refuses to sign more than the agreement allows."""
    person = await platform.person()
    await person.enrol()
    changes = {"until": platform.now + 91 * DAY} if "until" in wider else wider
    with pytest.raises(ProtocolError):
        await person.grant(SLUG, terms(platform, **changes))
    assert platform.grants == []


def _unlogged_agreement(platform: Platform) -> None:
    platform.listed["agreements"].clear()
    platform.record("agreement", platform.agreement(name="Other"), logged=False)


def _unsigned_agreement(platform: Platform) -> None:
    platform.listed["agreements"].clear()
    platform.record("agreement", platform.partner.sign_document({**platform.agreement(), "signatures": {}}))


def _ended_agreement(platform: Platform) -> None:
    agreement = platform.listed["agreements"][0]["document"]
    ending = {
        "type": "org.paraph.agreement_ended",
        "partner": SLUG,
        "version": 1,
        "agreement_hash": document_hash(agreement),
        "ended": platform.now,
        "reason": None,
    }
    platform.record("agreement-ended", sign(ending, SERVER, "ed25519:operator", platform.operator.sign))


def _expired_agreement(platform: Platform) -> None:
    platform.listed["agreements"].clear()
    platform.record("agreement", platform.agreement(until=platform.now))


def _other_operator(platform: Platform) -> None:
    platform.operator = SigningKey.generate()
    platform.listed["agreements"].clear()
    platform.record("agreement", platform.agreement())


@pytest.mark.parametrize(
    "lie", [_unlogged_agreement, _unsigned_agreement, _ended_agreement, _expired_agreement, _other_operator]
)
async def test_agreement_that_does_not_check_is_not_granted_under(
    platform: Platform, lie: Callable[[Platform], None]
) -> None:
    """No agreement, no grant: signed by both, in force, and in the log."""
    person = await platform.person()
    await person.enrol()
    lie(platform)
    with pytest.raises(TrustError):
        await person.grant(SLUG, terms(platform))
    assert platform.grants == []


def _wider(platform: Platform, begins: int) -> dict[str, Any]:
    """A second version that adds drafts, against the fourteen days of notice that the first one promises."""
    first = platform.listed["agreements"][0]["document"]
    verbs = ["read", "write:draft"]
    return platform.agreement(version=2, predecessor=document_hash(first), verbs=verbs, **{"from": begins})


async def test_an_extension_without_its_notice_is_not_in_force(platform: Platform) -> None:
    """The device counts from the record's time: until the notice is over it grants and shares by the older version."""
    person = await granted(platform)
    platform.record("agreement", _wider(platform, platform.now))
    with pytest.raises(ProtocolError):
        await person.grant(SLUG, terms(platform, verbs=["write:draft"]))
    assert await reaches_partner(person, platform)
    passes(platform, 14 * DAY - 1000)
    with pytest.raises(ProtocolError):
        await person.grant(SLUG, terms(platform, verbs=["write:draft"]))
    passes(platform, 2000)
    made = await person.grant(SLUG, terms(platform, verbs=["write:draft"]))
    assert made.grant.agreement.version == 2


async def test_a_record_that_names_an_earlier_time_than_the_log_gains_nothing(platform: Platform) -> None:
    """A leaf can be given any time; the epoch that it came into the log with cannot, and the notice runs from there."""
    person = await platform.person()
    await person.enrol()
    document, backdated = _wider(platform, platform.now), platform.now - 15 * DAY
    platform.listed["agreements"].append({"kind": "agreement", "partner": SLUG, "ts": backdated, "document": document})
    platform.log.publish(public_leaf("agreement", SLUG, backdated, document), time=platform.now)
    with pytest.raises(ProtocolError):
        await person.grant(SLUG, terms(platform, verbs=["write:draft"]))
    passes(platform, 14 * DAY)
    assert (await person.grant(SLUG, terms(platform, verbs=["write:draft"]))).grant.agreement.version == 2


async def test_grant_must_reach_the_log(platform: Platform) -> None:
    """A grant that the platform does not put into the log is no grant: its partner gets nothing."""
    person = await platform.person()
    await person.enrol()
    platform.record_grants = False
    with pytest.raises(LogError):
        await person.grant(SLUG, terms(platform))
    assert not await reaches_partner(person, platform)


def _ended_device(platform: Platform) -> None:
    ending = {
        "type": "org.paraph.partner_device_ended",
        "partner": SLUG,
        "device_id": platform.partner.device_id,
        "ended": platform.now,
        "reason": None,
    }
    platform.record("partner-device-ended", platform.partner.sign_document(ending))


def _expired_device(platform: Platform) -> None:
    platform.listed["devices"].clear()
    platform.record("partner-device", platform.device_document(expires=platform.now))


def _planted_device(platform: Platform) -> None:
    """The platform lists a device that the partner's master key did not sign."""
    document = {k: v for k, v in platform.device_document().items() if k != "signatures"}
    platform.listed["devices"].clear()
    forged = sign(document, SERVER, "ed25519:operator", platform.operator.sign)
    platform.record("partner-device", forged)


def _unlogged_device(platform: Platform) -> None:
    platform.listed["devices"].clear()
    platform.record("partner-device", platform.device_document(expires=platform.now + DAY), logged=False)


def _revoked(platform: Platform) -> None:
    platform._revoke({})


def _grant_ended(platform: Platform) -> None:
    platform.grants[0]["ended"] = {"reason": "agreement", "ts": platform.now}


def _forged_grant(platform: Platform) -> None:
    """The platform widens the grant by itself."""
    platform.grants[0]["grant"] = {**platform.grants[0]["grant"], "until": platform.now + 60 * DAY}


def _broken_amendment(platform: Platform) -> None:
    platform.grants[0]["amendments"].append({"amendment": {"type": "x"}, "chain": platform.chain()})


def _stale_epoch(platform: Platform) -> None:
    platform.now += 601_000


def _forked_log(platform: Platform) -> None:
    seen = platform.log.leaves
    platform.log.__init__()  # type: ignore[misc]
    platform.log.publish(*seen[:-2], time=platform.now)
    platform.log.publish(*seen, time=platform.now)


def _until_by_log_time(platform: Platform) -> None:
    """The device's clock lags behind, the log's time is past the end of the grant."""
    platform.log.publish(time=platform.now + 31 * DAY)


@pytest.mark.parametrize(
    "lie",
    [
        _ended_agreement,
        _other_operator,
        _ended_device,
        _expired_device,
        _planted_device,
        _unlogged_device,
        _revoked,
        _grant_ended,
        _forged_grant,
        _broken_amendment,
        _stale_epoch,
        _forked_log,
        _until_by_log_time,
    ],
)
async def test_partner_is_dropped_at_the_next_message(platform: Platform, lie: Callable[[Platform], None]) -> None:
    """Whatever ends, narrows or fails to check takes the partner out, and the session is a new one."""
    person = await granted(platform)
    assert await reaches_partner(person, platform)
    lie(platform)
    platform.stale_once = True
    platform.version += 1
    assert not await reaches_partner(person, platform)


async def test_view_is_refreshed_without_being_told(platform: Platform) -> None:
    """A platform that does not tell of a change is asked again after a minute at the latest."""
    person = await granted(platform)
    assert await reaches_partner(person, platform)
    _ended_device(platform)
    platform.now += 60_000
    assert not await reaches_partner(person, platform)


async def test_look_at_the_grants_costs_few_requests(platform: Platform) -> None:
    """Nothing new: the grants, the checkpoint, the map and the entries. The partner's page only when that changed."""
    person = await granted(platform)
    assert await reaches_partner(person, platform)
    person._consent.forget_view()
    before = len(platform.requests)
    await person._consent.fresh_view()
    asked = ["GET /_paraph/v1/grants", "GET /log/checkpoint", "POST /_paraph/v1/log/map", "GET /_paraph/v1/entries"]
    assert platform.requests[before:] == asked
    platform.record("notice", {"text": "of anything"})
    person._consent.forget_view()
    await person._consent.fresh_view()
    assert platform.requests[-1] == f"GET /_paraph/v1/partners/{SLUG}"


async def test_unreachable_grants_close_all(platform: Platform) -> None:
    """When the state of the grants cannot be learnt, no partner gets a key."""
    person = await granted(platform)
    platform.now += 60_000
    for grant in platform.grants:
        grant["chain"] = None
    platform._grants = lambda _b: {"grants": "none"}  # type: ignore[method-assign, assignment]
    assert not await reaches_partner(person, platform)


async def test_grant_by_an_unvouched_device_is_not_acted_on(platform: Platform) -> None:
    """A device that the person's master key does not vouch for cannot grant in her name."""
    person = await granted(platform)
    intruder = SigningKey.generate()
    grant = dict(platform.grants[0]["grant"], device_id="INTRUDER", grant_id="gr_AAAAAAAAAAAAAAAAAAAAAA")
    grant.pop("signatures")
    signed = sign(grant, platform.user, "ed25519:INTRUDER", intruder.sign)
    keys = {
        "user_id": platform.user,
        "device_id": "INTRUDER",
        "algorithms": [],
        "keys": {"ed25519:INTRUDER": intruder.public_key, "curve25519:INTRUDER": intruder.public_key},
    }
    chain = dict(platform.chain(), device_keys=sign(keys, platform.user, "ed25519:INTRUDER", intruder.sign))
    platform.grants[0] = {**platform.grants[0], "grant": signed, "chain": chain}
    platform.commit("grant", SLUG, {"grant": signed, "chain": chain})
    platform.stale_once = True
    assert not await reaches_partner(person, platform)
    assert await person.grants() == []


async def test_rooms_and_amendments_narrow(platform: Platform) -> None:
    """A grant covers its rooms only; dropping one, pausing and resuming take effect at the next message."""
    person = await granted(platform, rooms=[ROOM, "!other:example.org"])
    grant_id = platform.grants[0]["grant"]["grant_id"]
    assert await reaches_partner(person, platform)
    pause_id = await person.pause(grant_id)
    assert not await reaches_partner(person, platform)
    await person.resume(grant_id, pause_id)
    assert await reaches_partner(person, platform)
    await person.drop_rooms(grant_id, [ROOM])
    assert not await reaches_partner(person, platform)


async def test_shortened_and_revoked(platform: Platform) -> None:
    """A shortened grant ends when it says, a revoked one at once."""
    person = await granted(platform)
    grant_id = platform.grants[0]["grant"]["grant_id"]
    await person.shorten(grant_id, platform.now + 30_000)
    assert await reaches_partner(person, platform)
    platform.now += 30_000
    assert not await reaches_partner(person, platform)
    entry = await person.revoke(grant_id)
    assert entry.kind == "revoke"


async def test_own_entries_are_checked(platform: Platform) -> None:
    """The person sees what the ledger holds; an entry under a wrong label, or not as it was logged, is refused."""
    person = await granted(platform)
    assert [entry.kind for entry in await person.entries(prove=True)] == ["device", "grant"]
    sound = dict(platform.entries[0]["entry"])
    platform.entries[0]["entry"] = {**sound, "ts": sound["ts"] + 1}
    with pytest.raises(LogError):
        await person.entries(prove=True)
    platform.entries[0] = {**platform.entries[0], "entry": sound, "label": platform.entries[0]["o1"]}
    with pytest.raises(ReceiptError):
        await person.entries()


async def test_given_trust_is_demanded(platform: Platform) -> None:
    """Keys given by the caller are demanded of the platform; keys pinned at first use may not change."""
    person = await platform.person()
    assert (await person.trust()).log_vkey == KEY.verifier.vkey
    strict = Person(
        platform.transport(), person._records, trust=Trust(KEY.verifier.vkey, SigningKey.generate().public_key)
    )
    with pytest.raises(TrustError):
        await strict.trust()


async def test_a_slow_clock_does_not_outlive_a_grant(platform: Platform) -> None:
    """Where a device's clock is behind, `until` counts by the cosigned time between two looks at the grants as well."""
    person = await granted(platform, until=platform.now + 80_000)
    assert await reaches_partner(person, platform)
    platform.log.publish(time=platform.now + 50_000)
    person._consent.forget_view()
    assert await reaches_partner(person, platform)
    platform.now += 40_000
    assert not await reaches_partner(person, platform)


async def test_room_state_that_a_sync_overtook_is_asked_for_again(platform: Platform) -> None:
    """The answer to a question for a room's state does not bring back a member whom a sync has removed meanwhile."""
    person, gone = await platform.person(), "@gone:example.org"
    honest = platform._state

    def member(membership: str) -> dict[str, Any]:
        return {"type": "m.room.member", "state_key": gone, "content": {"membership": membership}}

    def overtaken() -> list[dict[str, Any]]:
        platform._state = lambda: [*honest(), member("leave")]  # type: ignore[method-assign]
        person.rooms.apply(ROOM, [member("leave")], membership="join")
        return [*honest(), member("join")]

    platform._state = overtaken  # type: ignore[method-assign]
    room = await person.load_room(ROOM)
    assert gone not in room.present
