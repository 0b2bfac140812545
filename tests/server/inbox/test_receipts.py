"""No access receipt, no read: what an answer carries, and when there is none."""

from pathlib import Path
from typing import Any

import pytest

from paraph.protocol import entry as protocol
from paraph.protocol.base64 import b64url, unb64url
from paraph.protocol.limits import MERGE_DELAY_MS
from paraph.protocol.receipt import verify_receipt
from paraph.server.ledger.sequencer import Sequencer
from paraph.server.ledger.service import Ledger
from paraph.tlog.merkle import leaf_hash
from tests.server.consent.support import NOW, World, olm, world
from tests.server.inbox.test_reading import parties, problem, served


async def receipt_key(here: World) -> str:
    """As the platform shows it."""
    return str((await here.get("/_paraph/v1/platform")).json()["receipt_key"])


def check(rendered: dict[str, Any], key: str) -> None:
    """The receipt beside an entry is one for this entry's leaf, a merge delay after its time."""
    openings = [unb64url(rendered[name], 32) for name in ("o1", "o2")]
    committed = protocol.commitment(rendered["entry"], *openings)
    leaf = protocol.private_leaf(rendered["week"], unb64url(rendered["label"], 32), committed)
    receipt = verify_receipt(rendered["receipt"], log="example.org/log", receipt_key=key)
    assert receipt.leaf == b64url(leaf_hash(leaf))
    assert receipt.deadline == rendered["entry"]["ts"] + MERGE_DELAY_MS


async def test_every_answer_to_an_action_carries_receipts(tmp_path: Path) -> None:
    """Enrolment, grant, amendment, revocation, key share and read; answered again, the receipt is the same."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        key = await receipt_key(here)
        enrolled = [(await here.enrol(author)).json() for _ in range(2)]
        document = author.device.sign(here.grant(author, partner, [room_id]))
        path = f"/_paraph/v1/grants/{document['grant_id']}"
        made = [(await here.post("/_paraph/v1/grants", {"grant": document}, author.device)).json() for _ in range(2)]
        change = here.amendment(author, document, {"op": "shorten", "until": NOW + MERGE_DELAY_MS})
        amended = [(await here.amend(author, document, change)).json() for _ in range(2)]
        device = await here.add_partner_device(partner)
        shares = {"shares": [{"device_id": device.device_id, "content": olm(author.device, device), "session": None}]}
        headers = {"authorization": f"Bearer {author.user_id} {author.device.device_id}"}
        shared = [(await here.http.put(f"{path}/key-shares/t", json=shares, headers=headers)).json() for _ in range(2)]
        await here.send(author, room_id)
        accesses = (await here.read(partner, room_id)).json()["accesses"]
        revoked = [(await here.revoke(author, document)).json() for _ in range(2)]
        for first, again in (enrolled, made, amended, shared, revoked):
            assert first == again
            for rendered in first.get("entries") or [first["entry"]]:
                check(rendered, key)
        assert len(accesses) == 1
        check(accesses[0], key)
        listed = (await here.get("/_paraph/v1/entries", author.device)).json()["entries"]
        assert len(listed) == 6
        assert not any("receipt" in rendered for rendered in listed)


async def test_each_author_in_an_answer_has_a_receipt_of_her_own(tmp_path: Path) -> None:
    """One leaf each; an answer without messages promises nothing."""
    async with world(tmp_path) as here:
        author, other, partner, room_id = await parties(here)
        for person in (author, other):
            await here.add_grant(person, partner, [room_id])
        assert (await here.read(partner, room_id)).json()["accesses"] == []
        for person in (author, other, author):
            await here.send(person, room_id)
        accesses = (await here.read(partner, room_id)).json()["accesses"]
        key = await receipt_key(here)
        for rendered in accesses:
            check(rendered, key)
        assert len({rendered["receipt"]["leaf"] for rendered in accesses}) == 2


async def test_a_read_that_was_not_recorded_is_not_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is signed before the transaction is durable; where it fails, nothing is signed at all."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        await here.add_grant(author, partner, [room_id])
        await here.send(author, room_id)
        events: list[str] = []
        answered, write = type(here.ledger.receipts).answered, here.database.write

        def noted(self: Any, recorded: Any) -> Any:
            events.append("signed")
            return answered(self, recorded)

        async def noted_write(fn: Any) -> Any:
            result = await write(fn)
            events.append("durable")
            return result

        monkeypatch.setattr(type(here.ledger.receipts), "answered", noted)
        monkeypatch.setattr(here.database, "write", noted_write)
        assert (await here.read(partner, room_id)).status_code == 200
        assert events[-2:] == ["durable", "signed"]
        events.clear()

        def fails(*_: Any, **__: Any) -> None:
            raise RuntimeError("the disk is full")

        monkeypatch.setattr(Ledger, "_add_leaf", fails)
        assert (await here.read(partner, room_id)).status_code == 500
        assert "signed" not in events


async def test_reads_stop_while_the_log_does_not_keep_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the merge delay on nothing is read and nothing recorded; people go on, and reads do when the log does."""
    async with world(tmp_path) as here:
        author, _, partner, room_id = await parties(here)
        grant = await here.add_grant(author, partner, [room_id])
        event_id = await here.send(author, room_id)
        await here.pass_to(here.clock.now)

        async def stuck(_self: Sequencer) -> bool:
            raise OSError("no space left on device")

        with monkeypatch.context() as broken:
            broken.setattr(Sequencer, "run_batch", stuck)
            first = await here.read(partner, room_id)
            assert served(first) == [event_id]
            here.clock.now += MERGE_DELAY_MS
            assert served(await here.read(partner, room_id)) == [event_id]
            here.clock.now += 1001
            recorded = await here.entries(author, "access")
            assert len(recorded) == 2
            for since in ("", first.json()["next"]):  # a poll that would find nothing is refused as well
                answer = await here.read(partner, room_id, since=since)
                assert problem(answer) == (503, "log-not-fresh")
                assert answer.headers["retry-after"] == "5"
            assert await here.entries(author, "access") == recorded
            revoked = await here.revoke(author, grant)
            assert revoked.status_code == 200
            check(revoked.json()["entry"], await receipt_key(here))
        await here.add_grant(author, partner, [room_id])
        later = await here.send(author, room_id)
        await here.pass_to(here.clock.now)
        assert served(await here.read(partner, room_id)) == [later]
