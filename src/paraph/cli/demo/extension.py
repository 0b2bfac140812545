"""The secret extension (P6): a verb that no agreement names, offered to one partner; then the next version, openly."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from paraph.audit.differences import differences
from paraph.cli.demo import liar
from paraph.cli.demo.evidence import Attempt, Count, Extension, Findings
from paraph.cli.demo.market import PURPOSE, PURPOSES, VERBS
from paraph.cli.demo.people import Cast, Operator, attempt, callback, refused
from paraph.protocol.errors import ProtocolError
from paraph.protocol.limits import DAY_MS
from paraph.sdk import GrantTerms, MatrixError, Partner, SdkError

EVERYTHING, UNSAID, NEXT = "read:everything", "delete:authored", "friends"
"""A verb that there is not; one that there is, and that the agreement does not have; one of the next version."""
ALWAYS_DIFFERENT = ("version", "predecessor", "signatures")
SHOWN = ("verbs", "from")
"""Fields of the next version that the screen has room for."""


@dataclass
class SecretExtension:
    """The act, about the partner's agreement; what is to be granted is for one room."""

    cast: Cast
    reader: Partner
    operator: Operator
    url: str
    room_id: str
    found: Findings = field(default_factory=Findings)

    async def play(self) -> Extension:
        """Every way around the log, then the way through it, and what that does not allow yet."""
        await self._in_secret()
        shown = await self._openly()
        await self._not_yet()
        return shown

    async def _in_secret(self) -> None:
        strange, unsaid = (
            self._signed([*VERBS[self.reader.slug], EVERYTHING]),
            self._signed([*VERBS[self.reader.slug], UNSAID]),
        )
        self._tried(f"a version with the verb {EVERYTHING} is published", self.operator.try_to_publish(strange))
        await self._asks(f"the partner asks her for {EVERYTHING}", EVERYTHING)
        await self._asks(f"the partner asks her for {UNSAID}, which no version has", UNSAID)
        await self._shown(f"her laptop is shown the version with {EVERYTHING}, and grants it", strange, EVERYTHING)
        await self._shown(f"her laptop is shown one with {UNSAID}, kept out of the log", unsaid, UNSAID)

    async def _openly(self) -> Extension:
        """Version 2, public, with the notice that version 1 promises; the explorer shows what it changes."""
        before, verbs = self.operator.newest(self.reader.slug), [*VERBS[self.reader.slug], NEXT]
        at_once = self.operator.try_to_publish(self._signed(verbs))
        self._tried("the next version is published, to be in force at once", at_once)
        after = self._signed(verbs, announced=True)
        self.operator.publish(after)
        place = f"{self.url}/explore/partners/{self.reader.slug}/agreements/{after['version']}.json"
        async with httpx.AsyncClient(timeout=30) as http:
            page = (await http.get(place)).raise_for_status().json()
        changed = [change.rendered for change in differences(before, after, without=ALWAYS_DIFFERENT)]
        listed = page["differences"] or []
        hidden = sum(change not in listed for change in changed)
        what = "changes of version 2 that the log's explorer does not show"
        self.found.counts.append(Count(what, hidden, len(changed), 0, f"it shows {len(listed)}"))
        return Extension(page["version"], page["state"], _date(after["from"]), before["notice_days"], _said(listed))

    async def _not_yet(self) -> None:
        await self._asks(f"the partner asks her for {NEXT} before version 2 is in force", NEXT)
        await self._grants(f"her laptop grants {NEXT} before version 2 is in force", NEXT)

    # Inside

    def _signed(self, verbs: Sequence[str], *, announced: bool = False) -> dict[str, Any]:
        """The next version of the agreement, which both sides sign; in force now, unless it is `announced`."""
        terms: dict[str, Any] = {"verbs": list(verbs), "purposes": PURPOSES[self.reader.slug]}
        terms |= {} if announced else {"from": _now()}
        return self.reader.sign_document(self.operator.sign(self.operator.draft(self.reader.slug, **terms)))

    def _tried(self, what: str, answer: tuple[int, str]) -> None:
        self.found.attempts.append(refused(what, answer))

    async def _asks(self, what: str, verb: str) -> None:
        details = {"verbs": ["read", verb], "purposes": [PURPOSE], "until": _now() + DAY_MS}
        self._tried(what, await attempt(self.reader.ask(details, callback(self.reader.slug))))

    async def _shown(self, what: str, version: dict[str, Any], verb: str) -> None:
        """The operator slips a version in among the records that her laptop is shown; she grants under it.

        As if it had been published so long ago that the notice is over.
        """
        ts = _now() - (version["notice_days"] + 1) * DAY_MS
        record = {"kind": "agreement", "partner": self.reader.slug, "ts": ts, "document": version}
        self.cast.hands.lie = liar.lists_an_agreement(self.reader.slug, record)
        try:
            await self._grants(what, verb)
        finally:
            self.cast.hands.lie = liar.honest

    async def _grants(self, what: str, verb: str) -> None:
        """Her device is to sign; it counts as refused if the device itself does not, whatever the platform says."""
        terms = GrantTerms([PURPOSE], _now() + DAY_MS, [self.room_id], ["read", verb])
        try:
            state = await self.cast.author.grant(self.reader.slug, terms)
        except MatrixError as error:
            self.found.attempts.append(Attempt(what, False, f"signed; the platform says {error.status} {error.error}"))
        except (SdkError, ProtocolError) as error:
            self.found.attempts.append(Attempt(what, True, str(error)))
        else:
            self.found.attempts.append(Attempt(what, False, f"granted: {', '.join(state.grant.verbs)}"))


def _said(changes: Sequence[dict[str, Any]]) -> list[str]:
    """What changed, as far as the screen has room for it."""
    said = []
    for change in changes:
        if change["field"] in SHOWN:
            came = [f"+ {item}" for item in change.get("items_added", ())]
            came += [f"- {item}" for item in change.get("items_removed", ())]
            said.append(f"{change['field']} {', '.join(came) or _value(change['after'])}")
    return said


def _value(value: Any) -> str:
    return _date(value) if isinstance(value, int) else str(value)


def _date(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d")


def _now() -> int:
    return int(time.time() * 1000)
