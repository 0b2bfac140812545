"""What the demo found out, as values; `verdicts` says which promises they keep or break."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Opened:
    """How many of how many messages were opened."""

    opened: int
    tried: int

    def __str__(self) -> str:
        """As the table shows it."""
        return f"{self.opened} of {self.tried}"


@dataclass(frozen=True, slots=True)
class Control:
    """The same conversation in a server-readable inbox of the old kind.

    `sent_as_her` are messages that the partner sent in the author's name and her correspondent takes for hers.
    """

    readable: Opened
    records: int
    sent_as_her: Opened


@dataclass(frozen=True, slots=True)
class Row:
    """What one partner opened with the whole database and every key it ever received."""

    partner: str
    granted: Opened
    other: Opened
    correspondent: Opened
    served: int
    """Messages that the Inbox API served and the partner's SDK opened."""
    unreceipted: str | None = None
    """Why the partner's SDK refused an answer that came without a fitting access entry, if it did."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something that must not work, and what came of it."""

    what: str
    refused: bool
    answer: str


@dataclass(frozen=True, slots=True)
class Count:
    """So many of `tried` were found, and `expected` have to be.

    `control` is what the same count finds where there is something to find, as `beside` says: without it, that nothing
    was found would show nothing. Without a control, `beside` says what was found by the way.
    """

    what: str
    found: int
    tried: int
    expected: int
    beside: str
    control: Opened | None = None

    @property
    def right(self) -> bool:
        """Whether it is as it has to be."""
        return self.found == self.expected

    @property
    def shown(self) -> bool:
        """Whether that says anything."""
        return self.tried > 0 and (self.control is None or self.control.opened == self.control.tried > 0)


@dataclass(slots=True)
class Findings:
    """What one act found out: what must not work and what came of it, and what was counted."""

    attempts: list[Attempt] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Extension:
    """A new version of an agreement, by the log's explorer: its state, its beginning, the days of notice that the one
    before promises, and some of what it changes.
    """

    version: int
    state: str
    begins: str
    notice_days: int
    changes: list[str]


@dataclass(frozen=True, slots=True)
class Cheat:
    """The operator lied to the author's device, and she wrote: what `reader`, who should not, opens of it.

    `control` is what opens where the lie stands in nobody's way, as `beside` says: without it, that nothing opened
    would show nothing. `said` is what her device said of it.
    """

    what: str
    reader: str
    opened: Opened
    control: Opened
    beside: str
    said: str


@dataclass(frozen=True, slots=True)
class Judged:
    """What `paraph log check`, alone with a person's evidence file and the policy, made of it.

    `accesses` counts what partners did through the API, by that file.
    """

    whose: str
    file: str
    outcome: str
    summary: str
    records: int
    accesses: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """Evidence files in a stranger's hands: as they are, and the author's with one random bit flipped, many times.

    `flipped` counts which of the damaged copies were not rejected; `refusal` is what was said of the first of them.
    """

    author: Judged
    correspondent: Judged
    policy: str
    flipped: Opened
    refusal: str


@dataclass(frozen=True, slots=True)
class Revocation:
    """After the author revoked: what the API said, and what the partner opens of the messages sent since."""

    api: Attempt
    sent: int
    opened: int


@dataclass(frozen=True, slots=True)
class LogEvidence:
    """The public log that the story left, verified from its files alone."""

    directory: str
    vkey: str
    size: int
    kinds: Mapping[str, int]
    verified: bool
    tampering: Attempt


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The newest published checkpoint by the policy: who cosigned it, whether a map auditor had to, seconds ago."""

    size: int
    by: list[str]
    map_audited: bool
    age: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the author's device finds recorded, each entry proven to be in the log, beside what happened.

    `unrecorded_keys` are sessions of hers that a partner holds without a `key-share` entry, `unrecorded_reads`
    messages of hers that the API served without an `access` entry.
    """

    entries: Mapping[str, int]
    keys: int
    unrecorded_keys: int
    reads: int
    unrecorded_reads: int


@dataclass(slots=True)
class Evidence:
    """Everything the story measured; what it did not reach is missing."""

    control: Control | None = None
    rows: list[Row] = field(default_factory=list)
    stranger: Opened | None = None
    """What a device opens that someone listed under the author's name, with the whole database."""
    revocation: Revocation | None = None
    forgeries: list[Attempt] = field(default_factory=list)
    agreements: list[Attempt] = field(default_factory=list)
    cheats: list[Cheat] = field(default_factory=list)
    """Lies to get a key out of the author's device."""
    lies: list[Attempt] = field(default_factory=list)
    """Lies about what partners read, each told to whom it concerns: refused means noticed."""
    speaking: Findings = field(default_factory=Findings)
    """Who speaks in her name."""
    purposes: Findings = field(default_factory=Findings)
    one_api: Findings = field(default_factory=Findings)
    secret: Findings = field(default_factory=Findings)
    """What came of extending an agreement in secret."""
    extension: Extension | None = None
    """How it was extended openly."""
    judgement: Judgement | None = None
    recorded: Recorded | None = None
    log: LogEvidence | None = None
    witnessed: Witnessed | None = None
    stopped: str | None = None
    """What kept the story from its end, if something did."""
    seconds: float = 0.0
