"""Whom to believe about a log (C2SP tlog-policy): its key, its witnesses, and which of them must have cosigned.

A policy is a text of lines `log <vkey> [<url>]`, `witness <name> <vkey> [<url>]`, `group <name> <k|all|any> <name>...`
and one `quorum <name>`. Ours is stricter than the specification in three things. Any two quorums share a witness (for
k of n: 2k > n), so that a split view needs a dishonest witness. `quorum none` is refused. A group called
`map-auditors`, if there is one, is part of every quorum.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from paraph.tlog import checkpoint, note
from paraph.tlog.checkpoint import Checkpoint, WrongLog
from paraph.tlog.cosignature import CosignatureVerifier, cosigned_at
from paraph.tlog.errors import TlogError
from paraph.tlog.text import MalformedText, parse_number

MAP_AUDITORS = "map-auditors"
"""Name of the group whose members replay the log's map before they cosign."""
MAX_SKEW = 60
"""Seconds by which a cosignature's time may be ahead of the reader's clock."""
MAX_OF_A_KIND = 32
"""Logs, witnesses and groups that a policy may have, each; with the log's they fit the signatures of one note."""
MAX_POLICY = 64 * 1024
"""Bytes in the longest policy."""
_ALLOWED = re.compile(r"[\t\n\x20-\x7e\x80-\U0010ffff]*")
_SPACE = re.compile(r"[ \t]+")


class PolicyError(TlogError):
    """A policy, or a checkpoint that does not satisfy one."""


class MalformedPolicy(PolicyError):
    """A text that is not a policy, or a policy that would prove nothing."""


class QuorumMissing(PolicyError):
    """A checkpoint that too few witnesses have cosigned."""


class StaleCheckpoint(PolicyError):
    """A checkpoint that a quorum cosigned, but too long ago."""


@dataclass(frozen=True)
class Log:
    """A log that the policy accepts, and where to find it."""

    verifier: note.Verifier
    url: str | None = None


@dataclass(frozen=True)
class Witness:
    """A witness under its name in the policy; `url` is the prefix of `add-checkpoint`, without a final slash."""

    name: str
    verifier: CosignatureVerifier
    url: str | None = None


@dataclass(frozen=True)
class Group:
    """`threshold` of `members` must have cosigned; a member is a witness or a group."""

    name: str
    threshold: int
    members: tuple["Member", ...]


Member = Witness | Group


@dataclass(frozen=True)
class Cosigned:
    """A checkpoint that satisfies a policy.

    `time` is when the quorum was complete at the latest: the best choice of a quorum, its oldest cosignature, in
    seconds since 1970. `newest` is the time of the newest cosignature. `times` has each witness that cosigned.
    """

    checkpoint: Checkpoint
    time: int
    newest: int
    times: Mapping[str, int]


@dataclass(frozen=True)
class Policy:
    """Logs, witnesses and the quorum of a checked policy text."""

    logs: tuple[Log, ...]
    witnesses: tuple[Witness, ...]
    quorum: Member

    @property
    def map_audited(self) -> bool:
        """Whether every quorum holds a map auditor."""
        return any(member.name == MAP_AUDITORS for member in walk(self.quorum))

    def for_log(self, log: note.Verifier) -> "Policy":
        """The same policy for this log alone. Raises WrongLog if the policy names logs and this is none of them."""
        if self.logs and log not in [known.verifier for known in self.logs]:
            raise WrongLog(f"the policy names other logs than {log.vkey}")
        return replace(self, logs=tuple(known for known in self.logs if known.verifier == log) or (Log(log),))

    def quorum_time(self, times: Mapping[str, int]) -> int | None:
        """The latest time since when a quorum has cosigned, given each witness's time by name; None if none has."""
        return _time(self.quorum, times)

    def check(self, signed: bytes, now: int, max_age: int | None = None) -> Cosigned:
        """Read a signed checkpoint of a log of this policy, and demand a quorum no older than `max_age`.

        Times are seconds; without `max_age` the quorum may be of any age. A cosignature from the future does not
        count. A policy without logs accepts none: `for_log` says which is meant. Raises NoteError,
        MalformedCheckpoint, WrongLog, QuorumMissing or StaleCheckpoint.
        """
        tree, times = self._open(signed)
        usable = {name: time for name, time in times.items() if time <= now + MAX_SKEW}
        time = self.quorum_time(usable)
        if time is None:
            raise QuorumMissing(_missing(self, tree, times, usable))
        if max_age is not None and time < now - max_age:
            raise StaleCheckpoint(
                f"the quorum for size {tree.size} is {now - time} seconds old; expected at most {max_age}"
            )
        return Cosigned(tree, time, max(usable.values()), usable)

    def _open(self, signed: bytes) -> tuple[Checkpoint, dict[str, int]]:
        """The checkpoint, and the newest time of each witness that cosigned it."""
        names = {(w.verifier.name, w.verifier.key_id): w.name for w in self.witnesses}
        opened = note.open(signed, [*(log.verifier for log in self.logs), *(w.verifier for w in self.witnesses)])
        tree = checkpoint.parse(opened.text)
        signers = {(item.name, item.key_id) for item in opened.signatures}
        if not any(log.verifier.name == tree.origin and _key(log) in signers for log in self.logs):
            raise WrongLog(f"no log of the policy signed this checkpoint of {tree.origin[:200]!r}")
        times: dict[str, int] = {}
        for item in opened.signatures:
            if name := names.get((item.name, item.key_id)):
                times[name] = max(times.get(name, 0), cosigned_at(item.signature))
        return tree, times


def walk(member: Member) -> Iterator[Member]:
    """A member and all members below it."""
    yield member
    for below in member.members if isinstance(member, Group) else ():
        yield from walk(below)


def parse(text: bytes) -> Policy:
    """Read a policy. Raises MalformedPolicy or MalformedKey, naming the line."""
    draft = _Draft()
    for number, line in enumerate(_lines(text), start=1):
        words = [word for word in _SPACE.split(line) if word]
        if words and not words[0].startswith("#"):
            try:
                draft.add(words)
            except TlogError as error:
                raise MalformedPolicy(f"line {number}: {error}") from error
    return draft.finish()


def _lines(text: bytes) -> list[str]:
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise MalformedPolicy("expected UTF-8") from error
    if len(text) > MAX_POLICY or not decoded.endswith("\n") or not _ALLOWED.fullmatch(decoded):
        raise MalformedPolicy(
            f"expected at most {MAX_POLICY} bytes of lines, each ended by a newline, without other control characters"
        )
    return decoded.removesuffix("\n").split("\n")


class _Draft:
    """A policy while its lines are read."""

    def __init__(self) -> None:
        self.logs: list[Log] = []
        self.members: dict[str, Member] = {}
        self.used: set[str] = set()
        self.keys: set[bytes] = set()
        self.quorum: Member | None = None

    def add(self, words: list[str]) -> None:
        """Take one line, split at its spaces."""
        kinds = {"log": self._log, "witness": self._witness, "group": self._group, "quorum": self._quorum}
        if words[0] not in kinds:
            raise MalformedPolicy(f"expected log, witness, group or quorum, got {words[0][:40]!r}")
        kinds[words[0]](words[1:])

    def finish(self) -> Policy:
        """The whole policy, once it is one that proves something."""
        if self.quorum is None:
            raise MalformedPolicy("expected a quorum line")
        if not _intersects(self.quorum):
            raise MalformedPolicy("two quorums without a common witness are possible; expected k of n with 2k > n")
        if MAP_AUDITORS in self.members and _reachable(self.quorum, without=MAP_AUDITORS):
            raise MalformedPolicy(f"a quorum without {MAP_AUDITORS} is possible; expected it in every quorum")
        witnesses = tuple(member for member in self.members.values() if isinstance(member, Witness))
        return Policy(tuple(self.logs), witnesses, self.quorum)

    def _log(self, words: list[str]) -> None:
        vkey, url = _with_url(words, 1)
        self.logs.append(Log(note.Verifier.from_vkey(vkey), url))
        self._count(self.logs[-1].verifier.public_key, len(self.logs))

    def _witness(self, words: list[str]) -> None:
        _, url = _with_url(words, 2)
        witness = Witness(self._new(words[0]), CosignatureVerifier.from_vkey(words[1]), url)
        self.members[witness.name] = witness
        self._count(witness.verifier.public_key, sum(isinstance(m, Witness) for m in self.members.values()))

    def _group(self, words: list[str]) -> None:
        if len(words) < 3:
            raise MalformedPolicy("expected group <name> <k|all|any> <name>...")
        name, members = self._new(words[0]), tuple(self._take(word) for word in words[2:])
        self.members[name] = Group(name, _threshold(words[1], len(members)), members)
        if sum(isinstance(member, Group) for member in self.members.values()) > MAX_OF_A_KIND:
            raise MalformedPolicy(f"expected at most {MAX_OF_A_KIND} groups")

    def _quorum(self, words: list[str]) -> None:
        if len(words) != 1 or self.quorum is not None:
            raise MalformedPolicy("expected exactly one quorum line, with one name")
        if words[0] == "none":
            raise MalformedPolicy("a quorum of none proves nothing; name a witness or a group")
        self.quorum = self._known(words[0])

    def _count(self, key: bytes, count: int) -> None:
        if key in self.keys:
            raise MalformedPolicy("this public key is there already; a key counts once")
        if count > MAX_OF_A_KIND:
            raise MalformedPolicy(f"expected at most {MAX_OF_A_KIND} of a kind")
        self.keys.add(key)

    def _new(self, name: str) -> str:
        if name in self.members or name == "none":
            raise MalformedPolicy(f"the name {name[:40]!r} is taken")
        return name

    def _take(self, name: str) -> Member:
        if name in self.used:
            raise MalformedPolicy(f"{name[:40]!r} is a member already; each counts in one place")
        self.used.add(name)
        return self._known(name)

    def _known(self, name: str) -> Member:
        if name not in self.members:
            raise MalformedPolicy(f"no witness or group {name[:40]!r} on the lines before")
        return self.members[name]


def _with_url(words: list[str], count: int) -> tuple[str, str | None]:
    """The last of `count` words, and the URL that may follow them."""
    if not count <= len(words) <= count + 1:
        raise MalformedPolicy(f"expected {count} words and perhaps a URL, got {len(words)}")
    url = words[count].rstrip("/") if len(words) > count else None
    return words[count - 1], url


def _threshold(word: str, count: int) -> int:
    if word in ("all", "any"):
        return count if word == "all" else 1
    try:
        threshold = parse_number(word)
    except MalformedText as error:
        raise MalformedPolicy(f"threshold: {error}") from error
    if not 1 <= threshold <= count:
        raise MalformedPolicy(f"expected a threshold from 1 to {count}, got {threshold}")
    return threshold


def _intersects(member: Member) -> bool:
    """Whether any two choices that satisfy a member have a witness in common.

    Two choices of k out of n share 2k - n members or more, and they may be any. So there must always be one among
    them that is a witness, or a group of which this holds.
    """
    if isinstance(member, Witness):
        return True
    loose = sum(not _intersects(below) for below in member.members)
    return loose < 2 * member.threshold - len(member.members)


def _reachable(member: Member, *, without: str) -> bool:
    """Whether a member can be satisfied though the one of that name never is."""
    if member.name == without or isinstance(member, Witness):
        return member.name != without
    return sum(_reachable(below, without=without) for below in member.members) >= member.threshold


def _time(member: Member, times: Mapping[str, int]) -> int | None:
    """The latest time since when a member has cosigned: for k of n, the k-th latest of its members' times."""
    if isinstance(member, Witness):
        return times.get(member.name)
    found = sorted((t for below in member.members if (t := _time(below, times)) is not None), reverse=True)
    return found[member.threshold - 1] if len(found) >= member.threshold else None


def _key(log: Log) -> tuple[str, bytes]:
    return log.verifier.name, log.verifier.key_id


def _missing(policy: Policy, tree: Checkpoint, times: Mapping[str, int], usable: Mapping[str, int]) -> str:
    there = ", ".join(sorted(usable)) or "nobody"
    ahead = (
        f"; ahead of this clock: {', '.join(sorted(times.keys() - usable.keys()))}" if len(times) > len(usable) else ""
    )
    return f"size {tree.size} was cosigned by {there}, which is no quorum ({policy.quorum.name}){ahead}"
