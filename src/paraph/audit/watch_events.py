"""What a watch of a log reports: events, each a sentence that a person can read and the facts behind it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from paraph.audit.differences import Change, differences
from paraph.protocol.entry import PublicLeaf


class Level(StrEnum):
    """How an event is to be taken."""

    NOTICE = "notice"
    """Something is new."""
    TROUBLE = "trouble"
    """The log cannot be judged now: stale, silent, damaged on its way."""
    ALARM = "alarm"
    """The log did what it must never do."""


@dataclass(frozen=True)
class Event:
    """`kind` in a word, `text` for people, `details` as JSON-able values; `evidence` is a file's content, if it proves
    an alarm to others.
    """

    kind: str
    level: Level
    text: str
    details: Mapping[str, Any] = field(default_factory=dict)
    evidence: bytes | None = None

    @property
    def rendered(self) -> dict[str, Any]:
        """As JSON, without the evidence."""
        return {"event": self.kind, "level": str(self.level), "text": self.text, **self.details}


Documents = Mapping[tuple[str, str], Mapping[str, Any]]
"""The newest document of each (kind, partner) before."""


def of_record(index: int, leaf: PublicLeaf, before: Documents) -> Event:
    """What a new public record says; `before` are the documents that it may follow."""
    document, partner = leaf.document, leaf.partner
    where = {"leaf": index, "record": leaf.kind, "partner": partner, "ts": leaf.ts}
    earlier = before.get((leaf.kind, partner))
    if leaf.kind == "agreement":
        if earlier is None:
            text = f"new partner {partner}: {_terms(document)}"
            return Event("partner", Level.NOTICE, text, {**where, "document": document})
        changes = differences(earlier, document, without=("signatures", "version", "predecessor"))
        text = f"{partner}: version {document.get('version')} of the agreement: {in_words(changes)}"
        return Event("agreement", Level.NOTICE, text, {**where, "changes": [one.rendered for one in changes]})
    if leaf.kind == "platform":
        changes = [] if earlier is None else differences(earlier, document, without=("signatures",))
        text = f"the platform's record changed: {in_words(changes)}" if earlier else "the platform's first record"
        return Event("platform", Level.NOTICE, text, {**where, "changes": [one.rendered for one in changes]})
    return Event(leaf.kind, Level.NOTICE, _TEXTS.get(leaf.kind, _any)(partner, leaf), where)


def in_words(changes: Iterable[Change]) -> str:
    """Changes as one line: `verbs: with draft; max_retention_days: 30, now 90`."""
    return "; ".join(map(_change, changes)) or "nothing that it says"


def _change(change: Change) -> str:
    name = ".".join(change.path)
    if change.kind != "changed":
        value = change.after if change.kind == "added" else change.before
        return f"{name}: {'new' if change.kind == 'added' else 'gone'}, {_short(value)}"
    if change.added is not None and change.removed is not None:
        parts = [f"with {_short(item)}" for item in change.added] + [
            f"without {_short(item)}" for item in change.removed
        ]
        return f"{name}: {', '.join(parts) or 'in another order'}"
    return f"{name}: {_short(change.before)}, now {_short(change.after)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 200 else f"{text[:200]} ..."


def _terms(document: Mapping[str, Any]) -> str:
    listed = {name: document.get(name) for name in ("verbs", "purposes")}
    words = ", ".join(
        f"{name} {' '.join(map(str, value))}" for name, value in listed.items() if isinstance(value, list)
    )
    return f"{document.get('name')}, agreement version {document.get('version')} ({words})"


def _ended(partner: str, leaf: PublicLeaf) -> str:
    return f"{partner}: the agreement has ended (version {leaf.document.get('version')}; {leaf.document.get('reason')})"


def _device(partner: str, leaf: PublicLeaf) -> str:
    keys = leaf.document.get("device_keys")
    return f"{partner}: new device {keys.get('device_id') if isinstance(keys, Mapping) else '?'}"


def _device_ended(partner: str, leaf: PublicLeaf) -> str:
    return f"{partner}: the device {leaf.document.get('device_id')} has ended"


def _any(partner: str, leaf: PublicLeaf) -> str:
    return f"a record of kind {leaf.kind} about {partner}"


_TEXTS = {"agreement-ended": _ended, "partner-device": _device, "partner-device-ended": _device_ended}
