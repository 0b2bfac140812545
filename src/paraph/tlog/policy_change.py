"""How a pinned policy is replaced: by a text that the log and a quorum of the old policy's witnesses have signed.

A change is a signed note (C2SP signed-note) whose text is

    paraph-policy/v1
    <base64 of the SHA-256 of the old policy's text>
    <origin of the log>
    <the new policy's text, to the end>

with the log's own signature and cosignature/v1 lines (C2SP tlog-cosignature) of witnesses that the old policy names.
It can never be read as a checkpoint, nor a checkpoint as a change: a checkpoint's second line is a decimal size, and a
change's is 43 characters of base64 and one `=`. So no cosignature on the one is of any use for the other.

The old policy is named by its hash, so a change fits behind one policy and nowhere else. What no format can tell is
that a policy comes *back*: whoever follows changes refuses a policy that it has left before (`Chain`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from paraph.tlog import note, policy
from paraph.tlog.checkpoint import WrongLog
from paraph.tlog.cosignature import CosignatureSigner, cosigned_at
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import HASH_SIZE
from paraph.tlog.policy import MAX_SKEW, Policy
from paraph.tlog.text import MalformedText, b64, unb64

HEADER = "paraph-policy/v1"
"""First line of every change."""


class PolicyChangeError(TlogError):
    """A text that does not replace the policy."""


class MalformedChange(PolicyChangeError):
    """Bytes that are not a change in its only spelling, or not one for this log."""


class NotTheSuccessor(PolicyChangeError):
    """A change of another policy than the one in force, or one back to a policy that was in force before."""


class LogChanged(PolicyChangeError):
    """A new policy that does not accept the log's key: another log has to be trusted anew, by whoever trusts it."""


class ChangeNotSigned(PolicyChangeError):
    """A change without the log's own signature."""


class ChangeNotEndorsed(PolicyChangeError):
    """A change that no quorum of the old policy's witnesses has signed."""


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What is signed: the hash of the old policy's text (32 bytes), the log's origin, and the new policy's text."""

    predecessor: bytes
    origin: str
    text: bytes

    @property
    def note_text(self) -> str:
        """The note's text. Raises MalformedChange for a policy's text that no note can hold."""
        try:
            return f"{HEADER}\n{b64(self.predecessor)}\n{self.origin}\n{self.text.decode()}"
        except UnicodeDecodeError as error:
            raise MalformedChange("expected a policy in UTF-8") from error

    @property
    def successor(self) -> bytes:
        """Hash of the new policy's text (32 bytes)."""
        return policy_hash(self.text)


def policy_hash(text: bytes) -> bytes:
    """By what a change names the policy that it replaces: SHA-256 of its text, 32 bytes."""
    return sha256(text).digest()


def make(old: bytes, new: bytes, log: note.Signer) -> bytes:
    """The change from one policy's text to another's, signed by the log alone.

    Raises MalformedPolicy, MalformedChange or LogChanged for a new policy of which no use could be made, and
    NotTheSuccessor for the same one.
    """
    change = PolicyChange(policy_hash(old), log.name, new)
    if old == new:
        raise NotTheSuccessor("the new policy is the old one")
    _usable(change, log.verifier)
    try:
        return note.sign(change.note_text, [log])
    except note.MalformedNote as error:
        raise MalformedChange(f"this policy fits into no note, which may hold no tabs: {error}") from error


def parse(signed: bytes) -> PolicyChange:
    """What a change says; no signature is checked. Raises MalformedChange, or MalformedPolicy for the new policy."""
    try:
        text, _ = note.parse(signed)
        header, predecessor, origin, rest = text.split("\n", 3)
        change = PolicyChange(unb64(predecessor, HASH_SIZE), note.check_name(origin), rest.encode())
    except (ValueError, MalformedText, note.NoteError) as error:
        raise MalformedChange(f"expected a change of policy: {error}") from error
    if header != HEADER or change.note_text != text:
        raise MalformedChange(f"expected the first line {HEADER} and the change in its canonical spelling")
    policy.parse(change.text)
    return change


def cosign(signed: bytes, witness: CosignatureSigner, time: int) -> bytes:
    """The change with a witness's endorsement besides; `time` in seconds. Raises as `parse`."""
    parse(signed)
    text, signatures = note.parse(signed)
    mine = (witness.name, witness.verifier.key_id)
    others = [one for one in signatures if (one.name, one.key_id) != mine]
    return note.encode(text, [*others, witness.cosign(text, time)])


def merge(copies: Sequence[bytes]) -> bytes:
    """One note with all signatures of several copies of one change. Raises as `parse`, or if the texts differ."""
    texts = {note.parse(copy)[0] for copy in copies if parse(copy)}
    if len(texts) != 1:
        raise MalformedChange(f"expected copies of one change, found {len(texts)}")
    signatures = {(one.name, one.key_id): one for copy in copies for one in note.parse(copy)[1]}
    return note.encode(texts.pop(), list(signatures.values()))


def check_signed(signed: bytes, old: bytes, log: note.Verifier) -> PolicyChange:
    """A change of this policy that the log has signed and that could be endorsed; endorsements are not counted.

    `old` is the old policy's text. Raises MalformedChange, MalformedPolicy, NotTheSuccessor, LogChanged or
    ChangeNotSigned; NoteError for a known key's signature that is wrong; WrongLog for an old policy of another log.
    """
    change = parse(signed)
    if change.origin != log.name:
        raise MalformedChange(f"expected a change for the log {log.name}, found one for {change.origin[:200]}")
    if change.predecessor != policy_hash(old):
        raise NotTheSuccessor("this changes another policy than the one in force")
    if change.text == old:
        raise NotTheSuccessor("the new policy is the old one")
    _endorsed(policy.parse(old).for_log(log), signed, log)
    _usable(change, log)
    return change


def verify(old: bytes, signed: bytes, log: note.Verifier, now: int) -> tuple[Policy, bytes]:
    """The new policy, for this log, and its text, if the log and a quorum of the old policy have signed the change.

    `old` is the old policy's text, `now` in seconds: an endorsement from the future does not count, an old one does.
    Raises as `check_signed`, or ChangeNotEndorsed.
    """
    change = check_signed(signed, old, log)
    trusted = policy.parse(old).for_log(log)
    times = _endorsed(trusted, signed, log)
    if trusted.quorum_time({name: time for name, time in times.items() if time <= now + MAX_SKEW}) is None:
        there = ", ".join(sorted(times)) or "nobody"
        raise ChangeNotEndorsed(f"endorsed by {there}, which is no quorum ({trusted.quorum.name}) of the old policy")
    return _usable(change, log), change.text


class Chain:
    """Changes followed one after the other from a policy on; a policy that was left is never taken up again."""

    def __init__(self, text: bytes, log: note.Verifier, left: Sequence[bytes] = ()) -> None:
        """Begin with the text of the policy in force; `left` are hashes of those in force before it."""
        self.text = text
        self.left = list(left)
        self._log = log

    def follow(self, signed: bytes, now: int) -> Policy:
        """Take up the next policy. Raises as `verify`; then nothing has changed."""
        trusted, text = verify(self.text, signed, self._log, now)
        if policy_hash(text) in self.left:
            raise NotTheSuccessor("this policy was in force before and was replaced; a policy does not come back")
        self.left.append(policy_hash(self.text))
        self.text = text
        return trusted

    def begins_at(self, signed: bytes) -> bool:
        """Whether a change replaces the policy in force. Raises as `parse`."""
        return parse(signed).predecessor == policy_hash(self.text)


def _endorsed(old: Policy, signed: bytes, log: note.Verifier) -> dict[str, int]:
    """When each witness of the old policy endorsed the change, which the log has signed."""
    names = {(one.verifier.name, one.verifier.key_id): one.name for one in old.witnesses}
    try:
        opened = note.open(signed, [log, *(one.verifier for one in old.witnesses)])
    except note.UnverifiedNote as error:
        raise ChangeNotSigned(str(error)) from error
    signed_by = {(one.name, one.key_id): one.signature for one in opened.signatures}
    if (log.name, log.key_id) not in signed_by:
        raise ChangeNotSigned(f"the log {log.name} has not signed this change")
    return {names[key]: cosigned_at(signature) for key, signature in signed_by.items() if key in names}


def _usable(change: PolicyChange, log: note.Verifier) -> Policy:
    """The new policy for this log."""
    try:
        return policy.parse(change.text).for_log(log)
    except WrongLog as error:
        raise LogChanged(
            f"the new policy does not accept the key of {log.name}: a log with another key is another log, and has to"
            " be pinned anew"
        ) from error
