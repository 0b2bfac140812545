"""The tables of files."""

from paraph.server.media.model import Incoming, MediaFile
from paraph.server.storage import Transaction, load_sql

sql = load_sql("paraph.server.media")


def add(
    tx: Transaction,
    media_id: str,
    owner: str,
    device_id: str,
    *,
    at: int,
    expires: int,
    uploading_until: int | None = None,
    room_id: str | None = None,
) -> None:
    """Announce a file."""
    values = {"media_id": media_id, "owner": owner, "device_id": device_id, "ts": at, "expires": expires}
    tx.run(sql.add_file, values | {"uploading_until": uploading_until, "room_id": room_id})


def get(tx: Transaction, media_id: str) -> MediaFile | None:
    """A file, complete or awaited."""
    row = tx.row(sql.file, {"media_id": media_id})
    return None if row is None else MediaFile(*row)


def begin(tx: Transaction, media_id: str, device_id: str, room_id: str | None, *, at: int, until: int) -> bool:
    """Take the right to send an awaited file's bytes; False if it is there, or somebody sends them now."""
    values = {"media_id": media_id, "device_id": device_id, "room_id": room_id, "at": at, "until": until}
    return tx.run(sql.begin_upload, values) == 1


def give_up(tx: Transaction, media_id: str) -> None:
    """Let somebody else send them."""
    tx.run(sql.give_up_upload, {"media_id": media_id})


def complete(tx: Transaction, media_id: str, incoming: Incoming, size: int, *, at: int, position: int) -> bool:
    """All bytes are there; False if they were there before."""
    values = {
        "media_id": media_id,
        "size": size,
        "ts": at,
        "content_type": incoming.content_type,
        "file_name": incoming.file_name,
        "position": position,
    }
    return tx.run(sql.complete_file, values) == 1


def remove_awaited(tx: Transaction, media_id: str) -> None:
    """Forget a file whose bytes have not come."""
    tx.run(sql.remove_awaited, {"media_id": media_id})


def overdue(tx: Transaction, at: int, limit: int) -> list[str]:
    """Ids of files whose bytes have not come in time."""
    return [row[0] for row in tx.rows(sql.overdue, {"at": at, "limit": limit})]


def count_awaited(tx: Transaction, owner: str, at: int) -> int:
    """How many files of a person are awaited."""
    row = tx.row(sql.count_awaited, {"owner": owner, "at": at})
    return 0 if row is None else int(row[0])


def usage(tx: Transaction, owner: str) -> int:
    """Bytes that a person's complete files take."""
    row = tx.row(sql.usage, {"owner": owner})
    return 0 if row is None else int(row[0])


def add_usage(tx: Transaction, owner: str, size: int) -> None:
    """A person's files take more room."""
    tx.run(sql.add_usage, {"owner": owner, "bytes": size})
