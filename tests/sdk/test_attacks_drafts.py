"""Words that a partner never proposed, or may not propose, are neither shown to the author nor sent in her name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paraph.protocol.base64 import b64url
from paraph.protocol.draft import TYPE
from paraph.protocol.signing import SigningKey, sign
from paraph.sdk import DraftError, GrantTerms, Partner, Person
from paraph.sdk.engine.model import KeysClaim
from paraph.sdk.rooms import Via, opened_message
from tests.sdk.stage import DAY, PURPOSE, Stage, stage

pytestmark = pytest.mark.slow

OTHER = "dr_" + "B" * 21 + "A"


async def proposed(
    here: Stage,
    grant_id: str,
    body: str = "Friday?",
    *,
    by: Partner | None = None,
    inside: str | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A document as the partner's device would sign it; `changes` and `inside` (the id within) are its own idea."""
    partner = by or here.partner
    await here.partner.grants(grant_id)
    held = here.partner._book.held(grant_id)
    assert held is not None
    draft_id = changes.get("draft_id", "dr_" + b64url(bytes(16)))
    content = {"msgtype": "m.text", "body": body}
    within = {"draft_id": inside or draft_id, "room_id": here.room_id, "content": content}
    made = await partner._acts._sealed(held, draft_id, within, None)
    made = {name: value for name, value in made.items() if name != "signatures"} | changes
    return partner.engine.account.signed(made)


def shows(here: Stage, *documents: dict[str, Any]) -> None:
    """The platform shows these drafts, whatever it holds."""
    listed = [{"draft": document, "status": "queued", "claimed_by": None} for document in documents]
    here.between.lie = lambda _answer: {"drafts": listed}


async def bodies(person: Person) -> list[str]:
    """What waits."""
    return [draft.body for draft in await person.drafts.waiting()]


async def nothing_is_said(here: Stage, draft_id: str) -> None:
    """The draft is not there for the author, and cannot be sealed."""
    assert await bodies(here.author) == []
    with pytest.raises(DraftError):
        await here.author.drafts.seal(draft_id)
    assert await here.read(here.correspondent) == []


async def test_a_draft_that_the_platform_made_up(tmp_path: Path) -> None:
    """Its own keys under the partner's device id, or the partner's draft with another member: no signature fits."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        made = await proposed(here, grant_id)
        shows(here, made)
        longer = {**made, "expires": made["expires"] + 1}
        forged = {name: value for name, value in made.items() if name != "signatures"}
        key_id = f"ed25519:{here.partner.device_id}"
        forged = sign(forged, here.partner.user_id, key_id, SigningKey.generate().sign)
        for document in (longer, forged):
            shows(here, document)
            await nothing_is_said(here, made["draft_id"])
        shows(here, made)
        assert await bodies(here.author) == ["Friday?"]


async def test_a_draft_of_a_device_that_is_not_in_the_log(tmp_path: Path) -> None:
    """The partner's own key signs, and yet: what the log does not have, no device relies on."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        secret = Partner.create(
            here.server.settings.base_url,
            "marquee",
            "localhost",
            master_seed=here.partner._master.seed,
            transport=here.transport(),
            now=here.now,
        )
        made = await proposed(here, grant_id)
        unsigned = {name: value for name, value in made.items() if name != "signatures"}
        document = secret.engine.account.signed({**unsigned, "device_id": secret.device_id})
        shows(here, document)
        await nothing_is_said(here, made["draft_id"])


async def test_a_draft_of_a_device_that_has_ended_since(tmp_path: Path) -> None:
    """Opened while its device was live, not sealed once that is over."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        made = await proposed(here, grant_id)
        shows(here, made)
        assert await bodies(here.author) == ["Friday?"]
        await here.partner.end_device()
        here.author._consent.forget_view()
        await nothing_is_said(here, made["draft_id"])


async def test_a_partner_under_another_partners_grant(tmp_path: Path) -> None:
    """Tempo signs a draft that names Marquee's grant: neither device nor name fit."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        tempo = await here.add_partner("tempo")
        own = await here.grant("read", partner=tempo)
        made = await proposed(here, grant_id)
        unsigned = {name: value for name, value in made.items() if name != "signatures"}
        for changes in (
            {"device_id": tempo.device_id},
            {"device_id": tempo.device_id, "partner": "tempo"},
            {"device_id": tempo.device_id, "partner": "tempo", "grant_id": own},
        ):
            shows(here, tempo.engine.account.signed({**unsigned, **changes}))
            await nothing_is_said(here, made["draft_id"])
        account = here.partner.engine.account
        in_its_name = sign(
            {**unsigned, "partner": "tempo"}, tempo.user_id, f"ed25519:{account.device_id}", account.sign
        )
        shows(here, in_its_name)
        await nothing_is_said(here, made["draft_id"])


async def test_a_draft_under_a_grant_that_allows_none(tmp_path: Path) -> None:
    """One grant lets the partner propose, the other only read: the platform shows a draft that names the latter."""
    async with stage(tmp_path) as here:
        await here.grant("write:draft")
        made = await proposed(here, await here.grant("read"))
        shows(here, made)
        await nothing_is_said(here, made["draft_id"])


async def test_a_draft_for_a_room_that_she_is_not_in(tmp_path: Path) -> None:
    """A grant for all rooms is one for all of hers."""
    async with stage(tmp_path) as here:
        left = await here.room()
        terms = GrantTerms([PURPOSE], here.now() + DAY, None, ("write:draft",))
        grant_id = (await here.author.grant("marquee", terms)).grant.grant_id
        draft_id = await here.partner.draft(grant_id, left, "Friday?")
        await here.author.leave(left)
        await nothing_is_said(here, draft_id)


async def test_the_words_of_one_draft_under_the_id_of_another(tmp_path: Path) -> None:
    """The id inside must be the one outside, or two drafts could become one, and one two."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        made = await proposed(here, grant_id, inside=OTHER)
        shows(here, made)
        await nothing_is_said(here, made["draft_id"])


async def test_one_id_is_one_draft(tmp_path: Path) -> None:
    """Other words under an id that was opened before are not shown, and a message that was sent is not sent again."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        assert await bodies(here.author) == ["Friday?"]
        shows(here, await proposed(here, grant_id, "Never!", draft_id=draft_id))
        assert await bodies(here.author) == []
        here.between.lie = None
        event_id = await here.author.drafts.seal(draft_id)
        shows(here, await proposed(here, grant_id, "Never!", draft_id=draft_id))
        assert await bodies(here.author) == []
        assert await here.author.drafts.seal(draft_id) == event_id
        assert [m.body for m in await here.read(here.correspondent)] == ["Friday?"]


async def test_a_draft_that_was_sealed_for_another_device(tmp_path: Path) -> None:
    """The ciphertext of one device under the name of another opens nowhere."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        second = await here.next_device(here.author)
        made = await proposed(here, grant_id)
        swapped = [
            {**recipient, "device_id": other["device_id"]}
            for recipient, other in zip(made["recipients"], made["recipients"][::-1], strict=True)
        ]
        unsigned = {name: value for name, value in made.items() if name != "signatures"}
        shows(here, here.partner.engine.account.signed({**unsigned, "recipients": swapped}))
        for device in (here.author, second):
            assert await bodies(device) == []


async def test_words_that_another_device_sealed(tmp_path: Path) -> None:
    """A device in the log signs for what one outside it has sealed, or seals something else than a draft: not there."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        made = await proposed(here, grant_id)
        (peer,) = here.partner._acts._devices(here.author.user_id)
        url = here.server.settings.base_url
        secret = Partner.create(url, "marquee", "localhost", transport=here.transport(), now=here.now)
        body = {"grant_id": grant_id, "devices": [peer.device_id]}
        keys = (await here.partner.auth.call("POST", "/inbox/v1/claim-keys", body))["one_time_keys"]
        secret.engine.answer(KeysClaim((peer,)), {"one_time_keys": {here.author.user_id: keys}}, here.now())
        content = {"msgtype": "m.text", "body": "Friday?"}
        unsigned = {name: value for name, value in made.items() if name != "signatures"}
        for engine, kind, n in ((secret.engine, TYPE, 1), (here.partner.engine, "m.room_key", 2)):
            draft_id = "dr_" + b64url(bytes([n]) * 16)
            within = {"draft_id": draft_id, "room_id": here.room_id, "content": content}
            sealed = engine.olm.encrypt(peer, kind, within)
            recipients = [{"device_id": peer.device_id, "content": sealed}]
            changed = {**unsigned, "draft_id": draft_id, "recipients": recipients}
            shows(here, here.partner.engine.account.signed(changed))
            await nothing_is_said(here, draft_id)


async def test_a_draft_for_longer_than_its_time(tmp_path: Path) -> None:
    """The platform goes on showing it; the device looks at the signed time."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        now = here.now()
        made = await proposed(here, grant_id, created=now - 90_000, expires=now - 1)
        shows(here, made)
        await nothing_is_said(here, made["draft_id"])


async def test_a_log_without_witnesses_leaves_no_drafts(tmp_path: Path) -> None:
    """Without a verified view there is none: no proposal is shown on the platform's word alone."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        here.shift = 11 * 60_000
        await nothing_is_said(here, draft_id)


async def test_through_whom_a_message_came_cannot_be_made_up(tmp_path: Path) -> None:
    """A name that the platform adds, changes or takes away shows as not confirmed by the device that wrote it."""
    async with stage(tmp_path) as here:
        grant_id = await here.grant()
        draft_id = await here.partner.draft(grant_id, here.room_id, "Friday?")
        await here.author.drafts.seal(draft_id)
        await here.author.send_text(here.room_id, "my own words")
        await here.correspondent.sync()
        people = [here.author.user_id]
        found = await here.server.database.read(
            lambda tx: here.server.messenger.encrypted_events(tx, here.room_id, people, 0, 10)
        )
        sealed, own = (event.event for event in found)
        name = "org.paraph.via"
        claim = {"partner": "tempo", "draft_id": draft_id}

        def seen(event: dict[str, Any], via: Any) -> Via | None:
            content = {key: value for key, value in event["content"].items() if key != name}
            shown = {**event, "content": content if via is None else {**content, name: via}}
            opened = here.correspondent.engine.decrypt(shown, here.room_id)
            return opened_message(opened, here.room_id).via  # type: ignore[arg-type]

        assert seen(sealed, sealed["content"][name]) == Via("marquee", draft_id, confirmed=True)
        assert seen(sealed, claim) == Via("tempo", draft_id, confirmed=False)
        assert seen(sealed, None) == Via(None, None, confirmed=False)
        assert seen(sealed, "nonsense") == Via(None, None, confirmed=False)
        assert seen(own, claim) == Via("tempo", draft_id, confirmed=False)
        assert seen(own, None) is None
