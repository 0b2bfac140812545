"""The table of messages that wait for devices, and of the requests that put them there."""

import msgspec

from paraph.server.devices.model import QueueEnds, Waiting
from paraph.server.devices.store import sql
from paraph.server.storage import Transaction


def add(tx: Transaction, user_id: str, device_id: str, message: Waiting) -> None:
    """Let a message wait for a device."""
    content = bytes(message.content)
    tx.run(
        sql.add_to_queue,
        {
            "user_id": user_id,
            "device_id": device_id,
            "position": message.position,
            "sender": message.sender,
            "sender_device": message.sender_device,
            "type": message.type,
            "size": len(content),
            "content": content.decode(),
        },
    )


def load(tx: Transaction, user_id: str, device_id: str, sender: str) -> tuple[int, int, int]:
    """How much waits for a device: messages, their bytes, and how many of them are from `sender`."""
    row = tx.row(sql.queue_load, {"user_id": user_id, "device_id": device_id, "sender": sender})
    return (0, 0, 0) if row is None else (row[0], row[1], row[2])


def ends(tx: Transaction, user_id: str, device_id: str) -> QueueEnds:
    """Positions of the oldest and newest message that wait for a device."""
    row = tx.row(sql.queue_ends, {"user_id": user_id, "device_id": device_id})
    return QueueEnds() if row is None else QueueEnds(row[0], row[1])


def part(tx: Transaction, user_id: str, device_id: str, since: int, upto: int, limit: int) -> list[Waiting]:
    """The messages at positions in (since, upto], oldest first, at most `limit`."""
    window = {"user_id": user_id, "device_id": device_id, "since": since, "upto": upto, "limit": limit}
    return [
        Waiting(position, sender, sender_device, kind, msgspec.Raw(content.encode()))
        for position, sender, sender_device, kind, content in tx.rows(sql.queue_part, window)
    ]


def shorten(tx: Transaction, user_id: str, device_id: str, upto: int) -> int:
    """Remove the messages up to a position; returns how many."""
    return tx.run(sql.shorten_queue, {"user_id": user_id, "device_id": device_id, "upto": upto})


def add_transaction(tx: Transaction, user_id: str, device_id: str, kind: str, txn_id: str, now: int) -> bool:
    """Note a request; False if it was noted before."""
    values = {"user_id": user_id, "device_id": device_id, "type": kind, "txn_id": txn_id, "created": now}
    return tx.run(sql.add_transaction, values) == 1


def forget_transactions(tx: Transaction, before: int) -> None:
    """Forget the requests taken before a time (ms)."""
    tx.run(sql.forget_transactions, {"before": before})
