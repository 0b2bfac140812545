"""Registration, agreements, devices and their endings; who is told, and what the public sees."""

from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from paraph.protocol.signing import SigningKey, document_hash
from paraph.server.devices.model import DevicesSyncPart
from paraph.server.ledger.errors import StartRefused
from tests.server.consent.support import DAY, NOW, SERVER, Device, PartnerParty, Person, World, world


async def changed_for(here: World, person: Person, since: int) -> tuple[list[str], int]:
    """Whom the person's device is to look at again since a position, and the position now."""

    def read(tx: Any) -> DevicesSyncPart:
        device = person.device
        return here.devices.sync_part(tx, person.user_id, device.device_id, since, here.database.position)

    part = await here.database.read(read)
    return part.changed, here.database.position


async def test_the_platform_says_who_it_is(tmp_path: Path) -> None:
    """Name, version, log key and operator key are public; the operator's key is for its owner only."""
    async with world(tmp_path) as here:
        answer = (await here.http.get("/_paraph/v1/platform")).json()
        assert answer["server_name"] == SERVER
        assert answer["log"] == {"origin": f"{SERVER}/log", "vkey": here.ledger.vkey, "policy": None}
        assert answer["operator_key"] == here.operator.public_key
    assert (tmp_path / "keys" / "operator.key").stat().st_mode & 0o777 == 0o600
    async with world(tmp_path) as here:
        assert here.operator.public_key == answer["operator_key"]


async def test_a_damaged_operator_key_does_not_start(tmp_path: Path) -> None:
    """A new key is never made silently in its place."""
    async with world(tmp_path):
        pass
    (tmp_path / "keys" / "operator.key").write_text("nonsense")
    with pytest.raises(StartRefused):
        async with world(tmp_path):
            pass


async def test_the_consent_template_is_published_once(tmp_path: Path) -> None:
    """Anyone can recompute a consent text from public records."""
    for _ in range(2):
        async with world(tmp_path) as here:
            records = await here.database.read(
                lambda tx: here.ledger.public_records(tx, "platform", ["consent-template"])
            )
            assert len(records) == 1


BAD_REGISTRATIONS: list[dict[str, Any]] = [
    {"slug": "platform"},
    {"slug": "Upper"},
    {"slug": "x"},
    {"name": ""},
    {"name": "two\nlines"},
    {"master_key": "short"},
    {"client_jwk": OKPKey.generate_key("Ed25519").as_dict(private=True)},
    {"client_jwk": OKPKey.generate_key("X25519").as_dict(private=False)},
    {"client_jwk": ECKey.generate_key("P-384").as_dict(private=False)},
    {"client_jwk": OctKey.generate_key(256).as_dict(private=True)},
    {"client_jwk": {}},
    {"client_jwk": {"kty": ["OKP"], "crv": "Ed25519", "x": "AA"}},
    {"client_jwk": {"kty": "OKP", "crv": "Ed25519", "x": 1}},
    {"client_jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}},
    {"extra": 1},
]


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
async def test_a_malformed_registration_is_refused(tmp_path: Path) -> None:
    """Slugs, names and keys are checked; private and weak keys are no client keys."""
    async with world(tmp_path) as here:
        short = RSAKey.generate_key(1024).as_dict(private=False)
        for changes in [*BAD_REGISTRATIONS, {"client_jwk": short}]:
            assert (await here.register(PartnerParty("marquee"), **changes)).status_code == 400, changes
        assert (await here.http.get("/_paraph/v1/partners")).json() == {"partners": []}


async def test_a_partner_keeps_its_master_key_and_may_get_another_client_key(tmp_path: Path) -> None:
    """The same registration again changes nothing; another master key is refused."""
    async with world(tmp_path) as here:
        partner = await here.add_partner()
        assert (await here.register(partner)).status_code == 200
        other = SigningKey.generate().public_key
        assert (await here.register(partner, master_key=other)).status_code == 409
        partner.client = ECKey.generate_key("P-256")
        assert (await here.authenticate(partner, partner.assertion(here.clock.now, alg="ES256"))).status_code == 401
        assert (await here.register(partner)).status_code == 200
        assert (await here.authenticate(partner, partner.assertion(here.clock.now, alg="ES256"))).status_code == 200


async def test_everything_about_a_partner_is_public(tmp_path: Path) -> None:
    """Agreements, devices and their endings are listed as the records that the log holds."""
    async with world(tmp_path) as here:
        partner = await here.add_partner()
        device = await here.add_partner_device(partner)
        assert (await here.end_partner_device(partner, device)).status_code == 200
        assert (await here.end_agreement(partner)).status_code == 200
        shown = (await here.http.get("/_paraph/v1/partners/marquee")).json()
        assert shown["user_id"] == partner.user_id
        assert [len(shown[name]) for name in ("agreements", "endings", "devices", "device_endings")] == [1, 1, 1, 1]
        assert shown["agreements"][0]["document"] == partner.agreement
        assert shown["records"] == []
        notice = await here.database.write(lambda tx: here.ledger.record_public(tx, "notice", "marquee", {"n": 1}))
        shown = (await here.http.get("/_paraph/v1/partners/marquee")).json()
        assert shown["records"] == [notice]
        assert (await here.http.get("/_paraph/v1/partners")).json() == {"partners": [shown]}
        assert (await here.http.get("/_paraph/v1/partners/unknown")).status_code == 404


async def test_an_agreement_needs_both_signatures_the_known_keys_and_its_predecessor(tmp_path: Path) -> None:
    """Anything else is refused, and nothing is published."""
    async with world(tmp_path) as here:
        partner = PartnerParty("marquee")
        good = here.agreement(partner)
        path = "/_paraph/v1/admin/agreements"
        assert (await here.post(path, {"agreement": good})).status_code == 404
        await here.register(partner)
        stranger = PartnerParty("marquee")
        unsigned = {name: value for name, value in good.items() if name != "signatures"}
        cases = [
            (unsigned, 403),
            (partner.sign(unsigned), 403),
            (here.sign_as_operator(unsigned), 403),
            (good | {"verbs": ["read", "friends"]}, 403),
            (here.agreement(stranger), 400),
            (here.agreement(partner, operator_key=stranger.master.public_key), 400),
            (here.agreement(partner, version=2, predecessor="A" * 43), 400),
            (here.agreement(partner, **{"from": NOW - 2 * DAY}, until=NOW - DAY), 400),
            (here.agreement(partner, extra=1), 400),
        ]
        for document, status in cases:
            answer = await here.post(path, {"agreement": document})
            assert answer.status_code == status, answer.text
        first = await here.post(path, {"agreement": good})
        assert first.status_code == 200
        assert (await here.post(path, {"agreement": good})).json() == first.json()
        assert (await here.post(path, {"agreement": here.agreement(partner, reason="another")})).status_code == 400
        partner.agreement = good
        assert (await here.agree(partner, predecessor="A" * 43)).status_code == 400
        assert (await here.agree(partner)).status_code == 200
        shown = (await here.http.get("/_paraph/v1/partners/marquee")).json()
        assert [record["document"]["version"] for record in shown["agreements"]] == [1, 2]


async def published(here: World) -> list[dict[str, Any]]:
    """The public versions of the partner's agreement."""
    shown = (await here.http.get("/_paraph/v1/partners/marquee")).json()
    return [record["document"] for record in shown["agreements"]]


async def test_an_extension_waits_for_the_notice_that_was_promised(tmp_path: Path) -> None:
    """It is a public record at once and may be used from its date on; a shorter notice than promised is refused."""
    async with world(tmp_path) as here:
        author, partner = await here.add_person("author"), PartnerParty("marquee")
        await here.register(partner)
        assert (await here.agree(partner, notice_days=14)).status_code == 200
        first, wider = partner.agreement, {"verbs": ["metadata", "read", "friends"], "notice_days": 14}
        for early in (NOW - DAY, NOW, here.clock.now + 14 * DAY - 1):
            refused = await here.agree(partner, **wider, **{"from": early})
            assert refused.status_code == 400
            assert "14 days of notice before an extension, and this one extends verbs" in refused.text
        assert await published(here) == [first]
        assert (await here.agree(partner, **wider, **{"from": here.clock.now + 14 * DAY})).status_code == 200
        assert await published(here) == [first, partner.agreement]

        early_grant = await here.post_grant(author, here.grant(author, partner, verbs=["read", "friends"]))
        assert early_grant.status_code == 403
        assert "expected a grant under version 1" in early_grant.text
        second, partner.agreement = partner.agreement, first
        await here.add_grant(author, partner)
        partner.agreement = second
        here.clock.now += 14 * DAY
        taken = await here.post_grant(author, here.grant(author, partner, verbs=["read", "friends"]))
        assert taken.status_code == 200, taken.text
        narrower = await here.agree(partner, verbs=["read"], notice_days=14, **{"from": here.clock.now})
        assert narrower.status_code == 200
        live = [grant["live"] for grant in (await here.get("/_paraph/v1/grants", author.device)).json()["grants"]]
        assert live == [True, True]


async def test_an_ending_does_not_cut_the_notice_short(tmp_path: Path) -> None:
    """Ending an agreement and making a wider one at once is what the notice is for, too."""
    async with world(tmp_path) as here:
        partner = PartnerParty("marquee")
        await here.register(partner)
        await here.agree(partner, notice_days=14)
        assert (await here.end_agreement(partner)).status_code == 200
        assert (await here.agree(partner, verbs=["read", "friends"], notice_days=14)).status_code == 400
        assert (await here.agree(partner, notice_days=14)).status_code == 200


async def test_an_ending_names_its_agreement_and_lies_not_ahead(tmp_path: Path) -> None:
    """Either side may end; strangers may not, and an ending is no notice."""
    async with world(tmp_path) as here:
        partner = await here.add_partner()
        assert (await here.end_agreement(partner, agreement_hash="A" * 43)).status_code == 400
        assert (await here.end_agreement(partner, version=2)).status_code == 400
        assert (await here.end_agreement(partner, ended=NOW + DAY)).status_code == 400
        ending = {
            "type": "org.paraph.agreement_ended",
            "partner": partner.slug,
            "version": 1,
            "agreement_hash": document_hash(partner.agreement),
            "ended": NOW,
            "reason": "by the partner",
        }
        path = "/_paraph/v1/admin/agreements/marquee/end"
        assert (await here.post(path, {"ending": PartnerParty("marquee").sign(ending)})).status_code == 403
        first = await here.post(path, {"ending": partner.sign(ending)})
        assert first.status_code == 200
        assert (await here.post(path, {"ending": partner.sign(ending)})).json() == first.json()
        assert (await here.end_agreement(partner, reason="again")).status_code == 409


async def test_a_partner_device_needs_its_masters_and_its_own_signature(tmp_path: Path) -> None:
    """Foreign, expired, unsigned or changed devices are refused with problem details."""
    async with world(tmp_path) as here:
        partner, tempo = await here.add_partner(), await here.add_partner("tempo")
        device, foreign = partner.new_device(), tempo.new_device()
        impostor = Device(partner.user_id, device.device_id)
        good = partner.device_document(device)
        cases = [
            ({name: value for name, value in good.items() if name != "signatures"}, 403),
            (tempo.sign({name: value for name, value in good.items() if name != "signatures"}), 403),
            (tempo.device_document(foreign), 403),
            (
                partner.device_document(device, device_keys=device.keys | {"signatures": impostor.keys["signatures"]}),
                403,
            ),
            (partner.device_document(device, expires=NOW), 400),
            (partner.device_document(device, created=NOW + DAY), 400),
            (partner.device_document(device, extra=1), 400),
        ]
        for document, status in cases:
            answer = await here.http.post("/inbox/v1/devices", json={"device": document}, headers=partner.headers)
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["type"].startswith("urn:paraph:problem:")
        first = await here.http.post("/inbox/v1/devices", json={"device": good}, headers=partner.headers)
        again = await here.http.post("/inbox/v1/devices", json={"device": good}, headers=partner.headers)
        assert first.status_code == 200
        assert first.json() == again.json()
        changed = partner.device_document(impostor)
        answer = await here.http.post("/inbox/v1/devices", json={"device": changed}, headers=partner.headers)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:paraph:problem:conflict")


async def test_partner_devices_are_seen_under_a_live_grant_only(tmp_path: Path) -> None:
    """Keys are queried and claimed from grant to revocation; ended and expired devices are not shown."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        partner = await here.add_partner()
        device, second = await here.add_partner_device(partner), await here.add_partner_device(partner)
        wanted: dict[str, list[str]] = {partner.user_id: []}

        async def seen(person: Person) -> list[str]:
            answer = await here.devices.query(person.user_id, wanted)
            return sorted(answer["device_keys"].get(partner.user_id, {}))

        assert await seen(author) == []
        grant = await here.add_grant(author, partner)
        assert await seen(author) == [device.device_id, second.device_id]
        assert await seen(other) == []
        assert await here.database.read(lambda tx: here.partner_keys.may_claim(tx, author.user_id, partner.user_id))
        assert not await here.database.read(lambda tx: here.partner_keys.may_claim(tx, other.user_id, partner.user_id))
        foreign = "@app-marquee:elsewhere.org"
        assert not await here.database.read(lambda tx: here.partner_keys.may_claim(tx, author.user_id, foreign))
        await here.end_partner_device(partner, second)
        assert await seen(author) == [device.device_id]
        pause = here.amendment(author, grant, {"op": "pause", "pause_id": "A" * 43})
        await here.amend(author, grant, pause)
        assert await seen(author) == []
        resume = here.amendment(author, grant, {"op": "resume", "pause_id": "A" * 43}, previous=document_hash(pause))
        await here.amend(author, grant, resume)
        assert await seen(author) == [device.device_id]
        assert (await here.revoke(author, grant)).status_code == 200
        assert await seen(author) == []


async def test_grantors_look_again_when_a_partners_devices_change(tmp_path: Path) -> None:
    """A new or ended device, a grant and a revocation show the partner in the grantor's device lists alone."""
    async with world(tmp_path) as here:
        author, other = await here.add_person("author"), await here.add_person("correspondent")
        await here.room(author, other)
        partner = await here.add_partner()
        _, position = await changed_for(here, author, 0)
        grant = await here.add_grant(author, partner)
        found, position = await changed_for(here, author, position)
        assert partner.user_id in found
        device = await here.add_partner_device(partner)
        found, position = await changed_for(here, author, position)
        assert found == [partner.user_id]
        assert await here.version(author) == 1
        await here.end_partner_device(partner, device)
        found, position = await changed_for(here, author, position)
        assert found == [partner.user_id]
        assert await here.version(author) == 2
        await here.revoke(author, grant)
        found, position = await changed_for(here, author, position)
        assert found == [partner.user_id]
        assert partner.user_id not in (await changed_for(here, other, 0))[0]


async def test_the_operator_may_end_a_partners_device(tmp_path: Path) -> None:
    """By an ending signed with the operator's key; a second, other ending is refused."""
    async with world(tmp_path) as here:
        partner = await here.add_partner()
        device = await here.add_partner_device(partner)
        document = {
            "type": "org.paraph.partner_device_ended",
            "partner": partner.slug,
            "device_id": device.device_id,
            "ended": NOW,
            "reason": "lost",
        }
        path = f"/_paraph/v1/admin/partner-devices/marquee/{device.device_id}/end"
        signed = here.sign_as_operator(document)
        assert (await here.post(path, {"ending": document})).status_code == 403
        assert (
            await here.post(path, {"ending": here.sign_as_operator(document | {"device_id": "X"})})
        ).status_code == 400
        first = await here.post(path, {"ending": signed})
        assert first.json()["record"]["document"] == signed
        assert (await here.post(path, {"ending": signed})).json() == first.json()
        assert (
            await here.post(path, {"ending": here.sign_as_operator(document | {"reason": None})})
        ).status_code == 409
        unknown = "/_paraph/v1/admin/partner-devices/marquee/X/end"
        assert (
            await here.post(unknown, {"ending": here.sign_as_operator(document | {"device_id": "X"})})
        ).status_code == 404


async def test_operator_endpoints_are_the_operators(tmp_path: Path) -> None:
    """A person's token does not open them."""
    async with world(tmp_path) as here:
        author = await here.add_person("author")
        assert (await here.get("/_paraph/v1/admin/partners", author.device)).status_code == 401
        assert (await here.get("/_paraph/v1/admin/partners")).status_code == 200
