"""Tables of drafts, and of the one-time keys that were claimed for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paraph.protocol.canonical import decode, encode
from paraph.protocol.draft import Draft
from paraph.server.storage import Row, Transaction, load_sql

sql = load_sql("paraph.server.inbox")

QUEUED, CLAIMED, SEALED = "queued", "claimed", "sealed"
DECLINED, EXPIRED, WITHDRAWN = "declined", "expired", "withdrawn"


@dataclass(frozen=True, slots=True)
class HeldDraft:
    """A draft as it is kept. The document goes when the draft is settled; seqs are ledger entries; times are in ms."""

    draft_id: str
    partner: str
    person: str
    grant_id: str
    hash: str
    document: dict[str, Any] | None
    created: int
    expires: int
    posted_seq: int
    reached: bool
    kept_status: str
    claimed_by: str | None
    claimed_until: int | None
    settled_seq: int | None
    room_id: str | None
    event_id: str | None
    reason: str | None

    def status(self, at: int) -> str:
        """What has become of it at a time in ms."""
        if self.kept_status != QUEUED:
            return self.kept_status
        if self.expires <= at:
            return EXPIRED
        return QUEUED if self.claimed_until is None or self.claimed_until <= at else CLAIMED

    def for_device(self, device_id: str) -> bool:
        """Whether there is something for this device of the author."""
        recipients = [] if self.document is None else self.document["recipients"]
        return any(recipient["device_id"] == device_id for recipient in recipients)


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a draft ended; room and event where it was sealed, `reason` where it was declined."""

    status: str
    room_id: str | None = None
    event_id: str | None = None
    reason: str | None = None


def add(tx: Transaction, draft: Draft, person: str, document: Mapping[str, Any], seq: int) -> None:
    """Keep a new draft."""
    tx.run(
        sql.add_draft,
        {
            "draft_id": draft.draft_id,
            "partner": draft.partner,
            "person": person,
            "grant_id": draft.grant_id,
            "hash": draft.hash,
            "document": encode(dict(document)).decode(),
            "created": draft.created,
            "expires": draft.expires,
            "posted_seq": seq,
        },
    )


def get(tx: Transaction, draft_id: str) -> HeldDraft | None:
    """A draft by its id."""
    row = tx.row(sql.draft, {"draft_id": draft_id})
    return None if row is None else _held(row)


def grants_with_drafts(tx: Transaction, person: str, at: int) -> list[str]:
    """Ids of the person's grants under which drafts are open."""
    return [row[0] for row in tx.rows(sql.grants_with_drafts, {"person": person, "at": at})]


def oldest_under(tx: Transaction, grant_id: str, at: int, limit: int) -> list[HeldDraft]:
    """The open drafts under a grant, oldest first, at most `limit`."""
    return [_held(row) for row in tx.rows(sql.oldest_drafts_under, {"grant_id": grant_id, "at": at, "limit": limit})]


def open_under(tx: Transaction, grant_id: str) -> list[str]:
    """Ids of the drafts under a grant that are not settled."""
    return [row[0] for row in tx.rows(sql.open_drafts_under, {"grant_id": grant_id})]


def count_open_under(tx: Transaction, grant_id: str, at: int) -> int:
    """How many drafts under a grant are open."""
    row = tx.row(sql.count_open_drafts_under, {"grant_id": grant_id, "at": at})
    return 0 if row is None else int(row[0])


def due(tx: Transaction, at: int, limit: int) -> list[str]:
    """Ids of drafts whose time is over and that are not settled."""
    return [row[0] for row in tx.rows(sql.due_drafts, {"at": at, "limit": limit})]


def reach(tx: Transaction, draft_id: str) -> None:
    """Note that one of the author's devices has the draft."""
    tx.run(sql.reach_draft, {"draft_id": draft_id})


def claim(tx: Transaction, draft_id: str, device_id: str, at: int, until: int) -> bool:
    """Lease an open draft to a device, unless another one has it; whether that was done."""
    return tx.run(sql.claim_draft, {"draft_id": draft_id, "device_id": device_id, "at": at, "until": until}) == 1


def settle(tx: Transaction, draft_id: str, made: Settlement, seq: int) -> None:
    """End an open draft; its document goes."""
    values = {"status": made.status, "room_id": made.room_id, "event_id": made.event_id, "reason": made.reason}
    tx.run(sql.settle_draft, {"draft_id": draft_id, "seq": seq, **values})


def has_old(tx: Transaction, before: int) -> bool:
    """Whether there is anything for `forget`."""
    return tx.row(sql.old_draft, {"before": before}) is not None


def forget(tx: Transaction, before: int) -> None:
    """Forget settled drafts whose time was over before this one (ms)."""
    tx.run(sql.forget_drafts, {"before": before})


def count_key_claim(tx: Transaction, grant_id: str, device_id: str, day: int, most: int) -> bool:
    """Count a claim of a device's one-time key; False, and nothing is counted, beyond `most` on that day."""
    claim = {"grant_id": grant_id, "device_id": device_id, "day": day}
    tx.run(sql.forget_key_claims, claim)
    return tx.run(sql.count_key_claim, {**claim, "most": most}) == 1


def _held(row: Row) -> HeldDraft:
    values = list(row)
    values[5] = None if values[5] is None else decode(values[5].encode())
    values[9] = bool(values[9])
    return HeldDraft(*values)
