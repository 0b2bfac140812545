"""Which record opens which leaf: the list of a person's records held against what the map proves, place by place."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from paraph.audit.history_report import Fault, Problem, moment, week_name
from paraph.audit.opened import Content, OpenedEntry, granted
from paraph.protocol.map_key import private_map_key


@dataclass(frozen=True, slots=True)
class Place:
    """Where records of one week lie: under the account's label, or under that of a grant."""

    week: int
    label: bytes
    grant_id: str | None

    @property
    def key(self) -> bytes:
        """Key of the verifiable map, 32 bytes."""
        return private_map_key(self.week, self.label)

    @property
    def name(self) -> str:
        """The place in words."""
        of = "the person's own records" if self.grant_id is None else f"the accesses under {self.grant_id}"
        return f"{of} in week {week_name(self.week)}"


class Match:
    """The records of a list, and of each whether the log holds it. Records are counted from 1."""

    def __init__(
        self,
        entries: Sequence[OpenedEntry],
        places: Mapping[bytes, Place],
        under: Mapping[bytes, tuple[bytes, ...]],
        keys: Mapping[str | None, bytes],
    ) -> None:
        """`under` has the leaves that are proven at each place, by its key; `keys` make the labels, by grant id."""
        self._entries = entries
        self._places = places
        self._under = under
        self._keys = keys
        self._partners = {grant_id: one.partner for grant_id, one in granted(entries).items()}
        self._unopened = {key: Counter(leaves) for key, leaves in under.items()}
        self._strays: dict[int, bytes] = {}
        self._logged: set[int] = set()
        self._misplaced: set[int] = set()
        for number, opened in enumerate(entries, start=1):
            self._take(number, opened)
        self._strays_at = Counter(self._strays.values())

    def _take(self, number: int, opened: OpenedEntry) -> None:
        """Let a record open its leaf, if there is one left that it opens."""
        if not opened.is_in_place(self._keys.get(opened.grant_id)):
            self._misplaced.add(number)
            return
        key = private_map_key(opened.week, opened.label)
        unopened = self._unopened.get(key)
        if unopened is not None and unopened[opened.leaf]:
            unopened[opened.leaf] -= 1
            self._logged.add(number)
        else:
            self._strays[number] = key

    def is_logged(self, number: int) -> bool:
        """Whether the log holds this record, under its right label."""
        return number in self._logged

    def wrong_records(self, content: Content) -> Iterator[Problem]:
        """The records that are not in the log as they stand here, or do not say what they must."""
        for number, opened in enumerate(self._entries, start=1):
            name = f"record {number} ({opened.kind}, {moment(opened.ts)})"
            if number in self._misplaced:
                yield Problem(Fault.LABEL, f"{name} {self._why_misplaced(opened)}", number, opened.partner)
            elif number in self._logged:
                if (why := content.fault(opened)) is not None:
                    yield Problem(Fault.CONTENT, f"{name} does not hold: {why}", number, opened.partner)
            elif (text := self._why_stray(self._strays[number])) is not None:
                yield Problem(Fault.DIFFERS, f"{name} {text}", number, opened.partner)

    def _why_misplaced(self, opened: OpenedEntry) -> str:
        if opened.grant_id not in self._keys:
            return f"is under {opened.grant_id}, and no such grant is recorded"
        return "lies under another label or week than its own"

    def _why_stray(self, key: bytes) -> str | None:
        """What is wrong with a record that opens no leaf; None where nothing shows what the log holds there."""
        if key not in self._places:
            return "is of a week in which nothing of its kind can be"
        if key not in self._under:
            return None
        if self._unopened[key].total():
            return "differs from what the log holds"
        return "is not in the log, or stands here twice"

    def by_partner(self) -> dict[str, tuple[int, int]]:
        """For each partner that was granted something: leaves missing from the list, and leaves that the log holds."""
        missing: Counter[str] = Counter()
        recorded: Counter[str] = Counter()
        for key, leaves in self._under.items():
            grant_id = self._places[key].grant_id
            if grant_id is not None:
                missing[self._partners[grant_id]] += self._missing_at(key)
                recorded[self._partners[grant_id]] += len(leaves)
        return {partner: (missing[partner], recorded[partner]) for partner in self._partners.values()}

    def _missing_at(self, key: bytes) -> int:
        """Leaves that no record opens, less those that an edited record stands for."""
        return max(self._unopened[key].total() - self._strays_at[key], 0)

    def omissions(self) -> Iterator[Problem]:
        """What the list leaves out, and where nothing shows whether it does."""
        own = [key for key in self._under if self._places[key].grant_id is None]
        missing, recorded = sum(map(self._missing_at, own)), sum(len(self._under[key]) for key in own)
        if missing:
            yield Problem(Fault.MISSING, f"{missing} of {recorded} missing of the person's own records")
        for partner, (missing, recorded) in sorted(self.by_partner().items()):
            if missing:
                yield Problem(Fault.MISSING, f"{missing} of {recorded} missing of what {partner} did", partner=partner)
        yield from self._unproven()

    def _unproven(self) -> Iterator[Problem]:
        weeks: dict[str | None, list[int]] = {}
        for key, place in self._places.items():
            if key not in self._under:
                weeks.setdefault(place.grant_id, []).append(place.week)
        for grant_id, which in weeks.items():
            partner = None if grant_id is None else self._partners[grant_id]
            what = "the person's own records" if grant_id is None else f"what {partner} did under {grant_id}"
            more = f" and {len(which) - 3} more" if len(which) > 3 else ""
            named = ", ".join(week_name(week) for week in sorted(which)[:3])
            yield Problem(Fault.UNPROVEN, f"nothing shows {what} in {named}{more}", partner=partner)
