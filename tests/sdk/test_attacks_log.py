"""A platform that lies about the log, and devices that share only what is proven (promise P2, "no record, no key").

Each attack is first shown to work on a device that lacks one check, so that a test cannot pass for another reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from paraph.protocol.documents import parse
from paraph.protocol.partner_device import PartnerDevice
from paraph.protocol.signing import sign
from paraph.sdk import (
    IdentityChangedError,
    LogError,
    Partner,
    Person,
    ReceiptError,
    TrustError,
)
from paraph.sdk.engine.model import Peer
from paraph.sdk.log import partners, receipts
from paraph.sdk.log.partners import Partners, ProvenPartner
from paraph.sdk.log.view import LogView
from paraph.sdk.person import grants as grants_module
from paraph.tlog import checkpoint as checkpoints
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.merkle import verify_consistency
from tests.sdk import careless, lies
from tests.sdk.lies import business, reaches_later
from tests.sdk.person.test_consent import (
    granted,
    reaches_partner,
    terms,
)
from tests.sdk.platform import DAY, SERVER, SLUG, Platform
from tests.support.published_log import KEY, POLICY, WITNESS

Lie = Callable[[Platform, Person], Awaitable[None]]
Hole = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Attack:
    """What the platform does after an honest grant, and the check that a careless device lacks."""

    lie: Lie
    hole: Hole

    @property
    def name(self) -> str:
        return self.lie.__name__.strip("_").replace("_", " ")


async def goes_on_sharing(attack: Attack) -> bool:
    """Whether the key of a message after the lie goes to the partner, as those before it did."""
    platform = business()
    person = await granted(platform)
    assert await reaches_partner(person, platform)
    await attack.lie(platform, person)
    return await reaches_later(person, platform)


ATTACKS = [
    Attack(lies.hides_a_revocation, careless.believes_lists),
    Attack(lies.hides_a_revocation_while_she_is_offline, careless.believes_lists),
    Attack(lies.hides_a_narrowing, careless.believes_lists),
    Attack(lies.takes_a_narrowing_out_of_its_list_of_grants, careless.ignores_entries),
    Attack(lies.ends_a_pause_by_itself, careless.takes_any_resume),
    Attack(lies.hides_the_end_of_the_agreement, careless.believes_partner_lists),
    Attack(lies.shows_the_end_of_the_agreement_among_others, careless.looks_for_endings_where_told),
    Attack(lies.hides_the_end_of_a_device, careless.believes_partner_lists),
    Attack(lies.shows_a_branch_that_nobody_cosigned, careless.needs_no_quorum),
    Attack(lies.shows_a_branch_that_liars_cosigned, careless.forgets_what_it_saw),
    Attack(lies.comes_back_from_a_backup, careless.forgets_what_it_saw),
    Attack(lies.freezes_the_log, careless.knows_no_age),
    Attack(lies.has_a_frozen_log_cosigned_again, careless.looks_at_cosignatures_only),
    Attack(lies.makes_an_epoch_for_next_week, careless.looks_at_cosignatures_only),
    Attack(lies.shows_cosignatures_from_the_future, careless.takes_the_future_for_now),
    Attack(lies.signs_a_grant_with_a_device_of_its_own, careless.verifies_no_chain),
    Attack(lies.has_a_device_grant_that_never_enrolled, careless.asks_for_no_enrolment),
    Attack(lies.lists_a_grant_that_the_log_does_not_have, careless.asks_for_no_record),
]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_partner_gets_no_key_when_the_platform(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device without the check goes on sharing; ours drops the partner with the next message."""
    with monkeypatch.context() as hole:
        attack.hole(hole)
        assert await goes_on_sharing(attack)
    assert not await goes_on_sharing(attack)


# Devices that are not the partner's


def _ghost(platform: Platform) -> Partner:
    """Another device under the partner's name and master key, with one-time keys in the directory."""
    ghost = Partner.create(
        "http://platform", SLUG, SERVER, transport=platform.transport(), master_seed=platform.partner._master.seed
    )
    upload = ghost.engine.account.upload()
    assert upload is not None
    platform.directory.handle(ghost.user_id, ghost.device_id, upload)
    return ghost


def _got_a_key(platform: Platform, device: Partner) -> bool:
    shares = [share for _, made in platform.directory.key_shares for share in made.shares]
    return any(share["device_id"] == device.device_id for share in shares)


async def _ghost_gets_a_key(platform: Platform, ghost: Partner, record: Callable[[], None]) -> bool:
    person = await granted(platform)
    record()
    platform.version += 1
    await reaches_later(person, platform)
    return _got_a_key(platform, ghost)


async def test_partner_device_that_is_not_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that partner and platform agree upon in secret gets nothing, however well it is signed."""

    async def succeeds() -> bool:
        platform = business()
        ghost = _ghost(platform)
        document = platform.device_document(device_keys=ghost.engine.account.device_keys())
        return await _ghost_gets_a_key(
            platform, ghost, lambda: platform.record("partner-device", document, logged=False)
        )

    def any_device(self: ProvenPartner, _at: int) -> tuple[Peer, ...]:
        return tuple(device.peer for device in self.info.devices)

    with monkeypatch.context() as hole:
        hole.setattr(ProvenPartner, "live_devices", any_device)
        assert await succeeds()
    assert not await succeeds()


async def test_partner_device_that_the_partner_did_not_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that the platform puts into the log under the partner's name takes the partner out of sharing."""

    async def succeeds() -> bool:
        platform = business()
        ghost = _ghost(platform)
        document = platform.device_document(device_keys=ghost.engine.account.device_keys())
        document.pop("signatures")
        forged = sign(document, SERVER, "ed25519:operator", platform.operator.sign)
        return await _ghost_gets_a_key(platform, ghost, lambda: platform.record("partner-device", forged))

    with monkeypatch.context() as hole:
        hole.setattr(partners, "verify_partner_device", lambda document, **_: parse(PartnerDevice, document))
        assert await succeeds()
    assert not await succeeds()


async def test_partner_identity_replaced_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """A partner under another master key is another partner, though operator and log vouch for it."""

    async def succeeds() -> bool:
        platform = business()
        person = await granted(platform)
        other = Partner.create("http://platform", SLUG, SERVER, transport=platform.transport())
        upload = other.engine.account.upload()
        assert upload is not None
        platform.directory.handle(other.user_id, other.device_id, upload)
        platform.partner = other
        platform.listed |= {"master_key": other.master_key, "agreements": [], "devices": []}
        platform.record("agreement", platform.agreement())
        platform.record("partner-device", platform.device_document())
        # She agrees to what looks like the same partner, on the same terms.
        try:
            await person.grant(SLUG, terms(platform))
        except (TrustError, IdentityChangedError):
            return False
        return _got_a_key(platform, other)

    with monkeypatch.context() as hole:
        careless.believes_partner_lists(hole)
        hole.setattr(Partners, "pin", lambda *_: None)
        assert await succeeds()
    with monkeypatch.context() as hole:
        careless.believes_partner_lists(hole)
        assert not await succeeds()
    with monkeypatch.context() as hole:
        hole.setattr(Partners, "pin", lambda *_: None)
        assert not await succeeds()
    assert not await succeeds()


# Records where nobody looks


async def test_revocation_recorded_under_another_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """Her other devices would not find it, so the device that revokes does not take it for recorded."""
    platform = business()
    person = await granted(platform)
    monkeypatch.setattr("tests.sdk.platform.account_label", lambda _k, _week: bytes(32))
    grant_id = platform.grants[0]["grant"]["grant_id"]
    with monkeypatch.context() as hole:
        hole.setattr(grants_module, "read_own_entry", lambda rendered, _key: receipts.read_entry(rendered))
        await person.revoke(grant_id)
    with pytest.raises(ReceiptError):
        await person.revoke(grant_id)


@pytest.mark.parametrize("days", [-20, 8])
async def test_revocation_recorded_under_another_time(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Nor would they in a week before the grant, or in one to come."""
    platform = business()
    person = await granted(platform)
    commit = platform.commit

    def at_another_time(*arguments: Any, **more: Any) -> dict[str, Any]:
        platform.now += days * DAY
        try:
            return commit(*arguments, **more)
        finally:
            platform.now -= days * DAY
            platform.log.publish(time=platform.now)

    platform.commit = at_another_time  # type: ignore[method-assign]
    grant_id = platform.grants[0]["grant"]["grant_id"]
    with monkeypatch.context() as hole:
        hole.setattr(grants_module, "MERGE_DELAY_MS", 10**12)
        hole.setattr(grants_module, "EARLY_MS", 10**12)
        await person.revoke(grant_id)
    with pytest.raises(LogError):
        await person.revoke(grant_id)


async def test_device_that_revoked_shares_no_more_whatever_the_platform_says() -> None:
    """The device itself remembers, though the platform neither records nor shows its revocation."""
    platform = business()
    person = await granted(platform)
    platform._revoke = lambda _body: {"version": 1, "entry": None}  # type: ignore[method-assign]
    with pytest.raises(ReceiptError):
        await person.revoke(platform.grants[0]["grant"]["grant_id"])
    assert not await reaches_later(person, platform)


# Witnesses and auditors

AUDITOR = CosignatureSigner.generate("auditor.example/a")
AUDITED = (
    f"witness w {WITNESS.verifier.vkey}\nwitness a {AUDITOR.verifier.vkey}\n"
    "group map-auditors any a\ngroup all-of-them all w map-auditors\nquorum all-of-them\n"
)


async def test_map_that_leaves_out_a_revocation() -> None:
    """Against a false map only a map auditor helps: it does not cosign, and no device shares without it."""

    async def goes_on(policy: str) -> bool:
        platform = business()
        platform.policy, platform.log.witnesses = policy, (WITNESS, AUDITOR)
        platform.log.cosign(platform.now)
        person = await granted(platform)
        assert await reaches_partner(person, platform)
        platform.log.omit, platform.log.witnesses = True, (WITNESS,)  # the auditor made the map again, and it differs
        await lies.hides_a_revocation(platform, person)
        return await reaches_later(person, platform)

    assert await goes_on(POLICY)
    assert not await goes_on(AUDITED)


async def test_platform_without_witnesses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody cosigns, nothing is proven, and nobody can grant anything; her messages go on."""

    async def grants() -> bool:
        platform = business()
        platform.policy, platform.log.witnesses = None, ()
        platform.log.cosign(platform.now)
        person = await platform.person()
        try:
            await person.enrol()
            await person.grant(SLUG, terms(platform))
        except LogError:
            assert not await reaches_partner(person, platform)
            return False
        return await reaches_partner(person, platform)

    with monkeypatch.context() as hole:
        careless.needs_no_quorum(hole)
        begin = LogView.__init__

        def lenient(self: LogView, transport: Any, records: Any, vkey: str, policy: Any, now: Any) -> None:
            begin(self, transport, records, vkey, policy or POLICY, now)

        hole.setattr(LogView, "__init__", lenient)
        assert await grants()
    assert not await grants()


async def test_platform_that_gets_witnesses_later() -> None:
    """Their policy is pinned when it is first shown, and not exchanged for another one afterwards."""
    platform = business()
    platform.policy = None
    person = await platform.person()
    with pytest.raises(LogError):
        await person.enrol()
    platform.policy = POLICY
    await person.enrol()
    await person.grant(SLUG, terms(platform))
    assert (await person.trust()).policy == POLICY
    stranger = CosignatureSigner.generate("stranger.example/s")
    platform.policy = f"witness s {stranger.verifier.vkey}\nquorum s\n"
    platform.log.witnesses = (stranger,)
    platform.log.publish(time=platform.now)
    assert not await reaches_later(person, platform)
    assert (await person.trust()).policy == POLICY


async def test_fork_leaves_its_evidence() -> None:
    """Both notes are kept for whoever wants to check them, and nothing is shared from then on."""
    platform = business()
    person = await granted(platform)
    await lies.shows_a_branch_that_liars_cosigned(platform, person)
    assert not await reaches_later(person, platform)
    _, _, log_view = await person._consent._parts()
    fork = log_view.fork
    assert fork is not None
    trees = [checkpoints.open(signed, KEY.verifier) for signed in (fork.older, fork.newer)]
    assert trees[0].size < trees[1].size
    verify_consistency(trees[0].size, trees[1].size, fork.root, trees[1].root, fork.proof)
    assert fork.root != trees[0].root
