"""What a partner may keep no longer is gone on time, and its author's record says that the partner said so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from paraph.audit import history_report
from paraph.audit.history_words import event, verdicts
from paraph.protocol.disposal import TYPE
from paraph.sdk import Due, MessageChange, Partner, ProblemError, TransportError
from paraph.sdk.partner import retention
from tests.sdk.stage import DAY, PURPOSE, Stage, stage

pytestmark = pytest.mark.slow

SECRET = "a word that is not to be kept"


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be kept for no day is due the moment it was given, and its key is needed no longer."""
    monkeypatch.setattr(retention, "AT_LEAST_MS", 0)
    monkeypatch.setattr(retention, "KEY_DAYS", 0)
    monkeypatch.setattr(retention, "KEYS_EVERY_MS", 0)
    monkeypatch.setattr(retention, "CONFIRM_EVERY_MS", 0)


def kept(partner: Partner) -> str:
    """Everything in a partner's store, as text."""
    store: Any = partner._records._store
    return "\n".join(f"{name}: {value!r}" for name, value in store._values.items())


async def read(here: Stage, partner: Partner | None = None) -> list[str]:
    """What a partner reads in the room and can open."""
    partner = partner or here.partner
    await partner.poll()
    page = await partner.messages(here.room_id, PURPOSE)
    return [message.body for message in page.messages if message.body is not None]


async def said(here: Stage) -> list[dict[str, Any]]:
    """The confirmations on the author's record, proven to be in the log."""
    return [e.body["disposal"] for e in await here.author.entries(prove=True) if e.kind == "disposal"]


async def test_what_is_due_is_deleted_and_confirmed_on_the_record(here: Stage, at_once: None) -> None:
    """Words, ciphertext and key are gone; her history says how much, by whom, and until when."""
    grant_id = await here.grant("read")
    event_id = await here.author.send_text(here.room_id, SECRET)
    assert await read(here) == [SECRET]
    (session,) = here.partner.engine.inbound.all()
    await here.partner.dispose()
    assert here.partner.engine.inbound.claims(session.session_id) == []
    assert event_id not in kept(here.partner)
    (made,) = await said(here)
    assert (made["grant_id"], made["accesses"], made["messages"], made["keys"]) == (grant_id, 1, 1, 1)
    history = await here.author.history()
    assert history.complete
    (partner,) = history.report.partners
    assert (partner.deleted.confirmations, partner.deleted.confirmed) == (1, made["opened_before"])
    (record,) = [record for record in history.records if record.kind == "disposal"]
    assert "says that what it opened before" in event(record)
    assert "by the partner's own word, which no key can prove" in dict(verdicts(partner, history.report))["deleted"]


async def test_what_waits_to_be_handed_out_is_deleted_too(here: Stage, at_once: None) -> None:
    """In the stream's page, among what another program has not acknowledged, and what waits for a key."""
    await here.grant("read")
    event_ids = [await here.author.send_text(here.room_id, SECRET) for _ in range(3)]
    stream = here.partner.changes(PURPOSE, timeout_ms=0, limit=2)
    async for change in stream:
        if isinstance(change, MessageChange):
            break
    await stream.aclose()
    await here.partner.dispose()
    left = [c async for c in here.partner.changes(PURPOSE, timeout_ms=0) if isinstance(c, MessageChange)]
    assert event_ids[0] not in [change.message.event_id for change in left]
    assert {change.state for change in left} == {"key-pending"}  # what was not given yet: its key went with the first
    outbox = here.partner.outbox(PURPOSE)
    await here.author.send_text(here.room_id, SECRET)
    async with contextlib.aclosing(outbox.pour()) as pouring, asyncio.timeout(10):
        async for _ in pouring:
            break
    assert any(change["kind"] == "message" for _, change in outbox.after(None, 100)[0])
    await here.partner.dispose()
    assert not any(change["kind"] == "message" for _, change in outbox.after(None, 100)[0])
    assert SECRET not in kept(here.partner)


async def test_a_program_that_was_off_deletes_before_it_hands_anything_out(
    here: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is due within the hour; once it is, the next start deletes first."""
    await here.grant("read")
    await here.author.send_text(here.room_id, SECRET)
    async for change in here.partner.changes(PURPOSE, timeout_ms=0):
        if isinstance(change, MessageChange):
            break
    await here.partner.dispose()
    assert await said(here) == []
    await here.partner._changes.close()
    monkeypatch.setattr(retention, "AT_LEAST_MS", 0)
    again = Partner.open(here.partner._records._store, transport=here.transport(), now=here.now)
    found = [c async for c in again.changes(PURPOSE, timeout_ms=0) if isinstance(c, MessageChange)]
    assert found == []
    assert len(await said(here)) == 1


async def test_days_are_those_of_the_grant(here: Stage) -> None:
    """Three days are three days from the access, not from the grant, and an hour is left for what is to be none."""
    terms = here.terms("read", retention_days=3)
    grant_id = (await here.author.grant(here.partner.slug, terms)).grant.grant_id
    await here.author.send_text(here.room_id, SECRET)
    await read(here)
    keeper = here.partner._retention
    (name,) = here.partner._records.names(retention.OPENED)
    given = int(name.split("/")[1])
    assert list(keeper._due(given + 3 * DAY - 1)) == []
    assert list(keeper._due(given + 3 * DAY)) == [(grant_id, [name])]
    held = here.partner.held_grant(grant_id)
    assert held is not None
    assert retention._keep(msgspec.structs.replace(held, retention_days=0)) == retention.AT_LEAST_MS


async def test_a_program_deletes_its_own_copies_first(here: Stage, at_once: None) -> None:
    """Only when it says that it has is anything confirmed; it is asked until then, with what to delete."""
    asked: list[Due] = []
    ready = [False, True]

    async def forget(due: Due) -> bool:
        asked.append(due)
        return ready.pop(0)

    grant_id = await here.grant("read")
    here.partner.on_due(forget)
    event_id = await here.author.send_text(here.room_id, SECRET)
    await read(here)
    await here.partner.dispose()
    assert await said(here) == []
    await here.partner.dispose()
    assert [(due.grant_id, due.event_ids) for due in asked] == [(grant_id, (event_id,))] * 2
    assert [made["opened_before"] for made in await said(here)] == [asked[0].opened_before]


async def test_without_the_platform_it_is_deleted_and_confirmed_later(
    here: Stage, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is due does not wait for a connection."""
    await here.grant("read")
    event_id = await here.author.send_text(here.room_id, SECRET)
    await read(here)
    with monkeypatch.context() as broken:

        async def unreachable(*_: Any, **__: Any) -> dict[str, Any]:
            raise TransportError("no connection")

        broken.setattr(here.partner.auth, "call", unreachable)
        await here.partner.dispose()
    assert here.partner.engine.inbound.all() == []
    assert await said(here) == []
    assert event_id in kept(here.partner)  # its id alone, until the program and the platform have heard of it
    await here.partner.dispose()
    assert len(await said(here)) == 1
    assert event_id not in kept(here.partner)


async def test_her_list_shows_what_should_have_been_confirmed(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day after its time it is overdue; a confirmation settles it, also after the grant's end."""
    grant_id = await here.grant("read")
    await here.author.send_text(here.room_id, SECRET)
    await read(here)
    await here.author.entries(prove=True)
    (partner,) = (await here.author.history()).report.partners
    assert (partner.deleted.overdue, partner.deleted.confirmed) == (0, None)
    monkeypatch.setattr(history_report, "DISPOSAL_GRACE_MS", 0)
    history = await here.author.history()
    (partner,) = history.report.partners
    assert (partner.deleted.overdue, history.complete) == (1, True)
    assert dict(verdicts(partner, history.report))["deleted"].startswith("OVERDUE: nothing confirms")
    await here.author.revoke(grant_id)
    monkeypatch.setattr(retention, "AT_LEAST_MS", 0)
    await here.partner.dispose()
    await here.author.entries(prove=True)
    (partner,) = (await here.author.history()).report.partners
    assert partner.deleted.overdue == 0


async def test_only_a_logged_device_of_the_partner_confirms(here: Stage) -> None:
    """Unsigned, another's grant, a device that is none, one of another time, going back: refused, nothing recorded."""
    grant_id = await here.grant("read")
    other = await here.add_partner("tempo")
    document = _document(here, here.partner, grant_id)
    signed = here.partner.engine.account.signed(document)
    unsigned = {**document, "signatures": {}}
    stranger = here.partner.engine.account.signed(document | {"device_id": "STRANGER"})
    for partner, wrong, status, kind in (
        (here.partner, unsigned, 403, "bad-signature"),
        (here.partner, signed | {"messages": 2}, 403, "bad-signature"),
        (here.partner, stranger, 404, "no-such-device"),
        (
            here.partner,
            here.partner.engine.account.signed(document | {"grant_id": "gr_" + "A" * 22}),
            404,
            "no-such-grant",
        ),
        (other, signed, 403, "forbidden"),
        (other, other.engine.account.signed(_document(here, other, grant_id)), 404, "no-such-grant"),
        (here.partner, _signed(here, grant_id, created=here.now() - DAY, opened_before=1), 400, "bad-document"),
        (here.partner, _signed(here, grant_id, opened_before=here.now() + DAY), 400, "bad-document"),
    ):
        with pytest.raises(ProblemError) as refused:
            await partner.auth.call("POST", "/inbox/v1/disposals", {"disposal": wrong})
        assert (refused.value.status, refused.value.kind.rpartition(":")[2]) == (status, kind)
    assert await said(here) == []
    first = await here.partner.auth.call("POST", "/inbox/v1/disposals", {"disposal": signed})
    assert await here.partner.auth.call("POST", "/inbox/v1/disposals", {"disposal": signed}) == first
    earlier = _signed(here, grant_id, opened_before=document["opened_before"] - 1)
    with pytest.raises(ProblemError) as again:
        await here.partner.auth.call("POST", "/inbox/v1/disposals", {"disposal": earlier})
    assert again.value.status == 409
    assert len(await said(here)) == 1


def _document(here: Stage, partner: Partner, grant_id: str, **changes: Any) -> dict[str, Any]:
    """A confirmation, unsigned."""
    now = here.now()
    counts = {"accesses": 1, "messages": 1, "keys": 0}
    by = {"partner": partner.slug, "device_id": partner.device_id}
    return {"type": TYPE, "grant_id": grant_id, **by, "opened_before": now, **counts, "created": now} | changes


def _signed(here: Stage, grant_id: str, **changes: Any) -> dict[str, Any]:
    signed: dict[str, Any] = here.partner.engine.account.signed(_document(here, here.partner, grant_id, **changes))
    return signed
