"""What a watch remembers from one round to the next, as one JSON document."""

import json
from dataclasses import dataclass, field
from typing import Any

from paraph.audit.epochs import Epochs
from paraph.protocol.base64 import b64url, unb64url
from paraph.protocol.entry import PublicLeaf
from paraph.protocol.errors import ProtocolError

VERSION = 1


class BadState(Exception):
    """A state that this watch did not write, or that is of another log."""


@dataclass
class State:
    """The newest tree (its signed note, size and peaks), its epochs, all public records, and what was told already."""

    log: str
    note: str = ""
    size: int = 0
    peaks: tuple[bytes, ...] = ()
    epochs: Epochs = Epochs()
    records: list[tuple[int, PublicLeaf]] = field(default_factory=list)
    promises: dict[bytes, int] = field(default_factory=dict)
    """Leaf hashes that receipts promise, with their deadlines (ms)."""
    told: set[str] = field(default_factory=set)
    """Troubles and false records that were reported and still hold."""
    forked: str | None = None
    """The text of the fork that ended this watch."""

    def encode(self) -> bytes:
        """The document."""
        document = {
            "version": VERSION,
            "log": self.log,
            "note": self.note,
            "size": self.size,
            "peaks": [b64url(peak) for peak in self.peaks],
            "epochs": [self.epochs.count, self.epochs.end, self.epochs.time],
            "records": [[index, leaf.kind, leaf.partner, leaf.ts, leaf.document] for index, leaf in self.records],
            "promises": {b64url(leaf): deadline for leaf, deadline in self.promises.items()},
            "told": sorted(self.told),
            "forked": self.forked,
        }
        return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()

    @classmethod
    def parse(cls, data: bytes, log: str) -> "State":
        """Read what `encode` wrote, of this log. Raises BadState."""
        try:
            document: dict[str, Any] = json.loads(data)
            if document["version"] != VERSION or document["log"] != log:
                raise BadState(f"this state is of the log {document['log']}, not of {log}; take another --state")
            return cls(
                log=log,
                note=document["note"],
                size=document["size"],
                peaks=tuple(unb64url(peak, 32) for peak in document["peaks"]),
                epochs=Epochs(*document["epochs"]),
                records=[(record[0], PublicLeaf(*record[1:])) for record in document["records"]],
                promises={unb64url(leaf, 32): deadline for leaf, deadline in document["promises"].items()},
                told=set(document["told"]),
                forked=document["forked"],
            )
        except (ValueError, KeyError, TypeError, IndexError, ProtocolError) as error:
            raise BadState(f"the state cannot be read: {error}") from error
