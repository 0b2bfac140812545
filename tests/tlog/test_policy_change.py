"""A policy is replaced by the log together with a quorum of the old policy's witnesses, and by nobody else."""

from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.tlog import checkpoint, note, policy, policy_change
from paraph.tlog.checkpoint import Checkpoint, MalformedCheckpoint, WrongLog
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.errors import TlogError
from paraph.tlog.policy import MalformedPolicy
from paraph.tlog.policy_change import (
    Chain,
    ChangeNotEndorsed,
    ChangeNotSigned,
    LogChanged,
    MalformedChange,
    NotTheSuccessor,
    cosign,
    make,
    merge,
    policy_hash,
    verify,
)

NOW = 1_760_000_000
LOG = note.Signer("example.org/log", sha256(b"log").digest())
NEW_KEY = note.Signer("example.org/log", sha256(b"another key").digest())
OTHER_LOG = note.Signer("other.example/log", sha256(b"other").digest())
OLD_WITNESSES = [CosignatureSigner(f"w{n}.example/w", sha256(b"w%d" % n).digest()) for n in range(3)]
NEW_WITNESSES = [CosignatureSigner(f"n{n}.example/w", sha256(b"n%d" % n).digest()) for n in range(3)]


def text_of(witnesses: Sequence[CosignatureSigner], k: int = 2, *, before: str = "") -> bytes:
    """The policy k of these."""
    lines = [f"witness w{n} {one.verifier.vkey} https://w{n}.example\n" for n, one in enumerate(witnesses)]
    names = " ".join(f"w{n}" for n in range(len(witnesses)))
    return f"{before}{''.join(lines)}group majority {k} {names}\nquorum majority\n".encode()


OLD = text_of(OLD_WITNESSES)
NEW = text_of(NEW_WITNESSES, before="# from May on\n\n")


def endorsed(signed: bytes, witnesses: Sequence[CosignatureSigner], time: int = NOW) -> bytes:
    """The change with these witnesses' endorsements."""
    for witness in witnesses:
        signed = cosign(signed, witness, time)
    return signed


def change(
    witnesses: Sequence[CosignatureSigner] = OLD_WITNESSES[:2],
    *,
    old: bytes = OLD,
    new: bytes = NEW,
    log: note.Signer = LOG,
    time: int = NOW,
) -> bytes:
    """A change, with these endorsements."""
    return endorsed(make(old, new, log), witnesses, time)


def test_the_old_quorum_replaces_the_policy() -> None:
    """The new policy comes back for this log alone, with its text to the letter."""
    trusted, text = verify(OLD, change(), LOG.verifier, NOW)
    assert text == NEW
    assert trusted == policy.parse(NEW).for_log(LOG.verifier)
    assert verify(OLD, change(OLD_WITNESSES), LOG.verifier, NOW)[1] == NEW
    assert verify(OLD, change(time=5), LOG.verifier, NOW)[1] == NEW, "an endorsement does not grow old"


def unsigned(witnesses: Sequence[CosignatureSigner]) -> bytes:
    """Endorsed, without the log's signature."""
    text, signatures = note.parse(change(witnesses))
    return note.encode(text, signatures[1:])


def forged(name: str, key_id: bytes, size: int) -> bytes:
    """A change by the old quorum in which one signature is zeros."""
    text, signatures = note.parse(change())
    others = [one for one in signatures if (one.name, one.key_id) != (name, key_id)]
    return note.encode(text, [*others, note.Signature(name, key_id, bytes(size))])


ONE = OLD_WITNESSES[0]
OTHER_OLD = text_of(OLD_WITNESSES, 3)
REFUSED: dict[str, tuple[Callable[[], bytes], type[TlogError]]] = {
    "nobody endorsed": (lambda: change([]), ChangeNotEndorsed),
    "a minority": (lambda: change(OLD_WITNESSES[:1]), ChangeNotEndorsed),
    "a minority twice": (lambda: merge([change([ONE]), change([ONE], time=NOW - 5)]), ChangeNotEndorsed),
    "the new quorum alone": (lambda: change(NEW_WITNESSES), ChangeNotEndorsed),
    "the new quorum and a minority": (lambda: change([*NEW_WITNESSES, ONE]), ChangeNotEndorsed),
    "endorsed in the future": (lambda: change(time=NOW + 61), ChangeNotEndorsed),
    "the log did not sign": (lambda: unsigned(OLD_WITNESSES), ChangeNotSigned),
    "another log signed": (lambda: change(log=OTHER_LOG), MalformedChange),
    "another key of that name signed": (lambda: change(log=NEW_KEY), ChangeNotSigned),
    "the log's signature is wrong": (lambda: forged(LOG.name, LOG.key_id, 64), note.InvalidSignature),
    "an endorsement is wrong": (lambda: forged(ONE.name, ONE.verifier.key_id, 72), note.InvalidSignature),
    "of another policy": (lambda: change(old=OTHER_OLD), NotTheSuccessor),
    "a checkpoint": (lambda: checkpoint.sign(Checkpoint(LOG.name, 0, sha256().digest()), LOG), MalformedChange),
    "nothing": (lambda: b"", MalformedChange),
    "another header": (lambda: resigned(lambda text: text.replace("/v1", "/v2", 1)), MalformedChange),
    "a short hash": (lambda: resigned(lambda text: text.replace("=", "", 1)), MalformedChange),
    "no policy": (lambda: resigned(lambda text: text.replace("quorum", "quorums")), MalformedPolicy),
    "a policy without common witnesses": (
        lambda: resigned(lambda text: text.replace("majority 2", "majority 1")),
        MalformedPolicy,
    ),
    "no policy at all": (lambda: resigned(lambda text: "\n".join(text.split("\n")[:3]) + "\n"), MalformedPolicy),
}


def resigned(edit: Callable[[str], str]) -> bytes:
    """A change whose text was edited before everybody signed it."""
    text = edit(note.parse(change([]))[0])
    times = [one.cosign(text, NOW) for one in OLD_WITNESSES]
    return note.encode(text, [*note.parse(note.sign(text, [LOG]))[1], *times])


@pytest.mark.parametrize("name", REFUSED)
def test_whatever_is_not_the_old_quorums_is_refused(name: str) -> None:
    """By the error that says why."""
    made, error = REFUSED[name]
    with pytest.raises(error):
        verify(OLD, made(), LOG.verifier, NOW)


def test_a_policy_may_not_take_the_log_along() -> None:
    """A new policy that names logs has to name this one; another key is another log, and is said to be."""
    with pytest.raises(LogChanged, match="pinned anew"):
        make(OLD, text_of(NEW_WITNESSES, before=f"log {NEW_KEY.vkey}\n"), LOG)
    moved = resigned(lambda text: text.replace("# from May on\n", f"log {NEW_KEY.vkey}\n"))
    with pytest.raises(LogChanged, match="pinned anew"):
        verify(OLD, moved, LOG.verifier, NOW)
    kept = text_of(NEW_WITNESSES, before=f"log {LOG.vkey}\nlog {NEW_KEY.vkey}\n")
    trusted, _ = verify(OLD, change(new=kept), LOG.verifier, NOW)
    assert [known.verifier for known in trusted.logs] == [LOG.verifier]
    strange = text_of(OLD_WITNESSES, before=f"log {OTHER_LOG.vkey}\n")
    with pytest.raises(WrongLog):
        verify(strange, change(old=strange), LOG.verifier, NOW)


def test_what_cannot_be_made() -> None:
    """The same policy, one that is none, and one with tabs, which no note holds."""
    with pytest.raises(NotTheSuccessor):
        make(OLD, OLD, LOG)
    with pytest.raises(MalformedPolicy):
        make(OLD, b"quorum none\n", LOG)
    with pytest.raises(MalformedChange, match="tabs"):
        make(OLD, NEW.replace(b" ", b"\t"), LOG)
    with pytest.raises(MalformedChange):
        merge([change(new=NEW), change(new=OLD + b"\n")])


def test_copies_are_merged() -> None:
    """Each witness endorses a copy of its own; together they are a quorum."""
    copies = [change([witness]) for witness in OLD_WITNESSES[:2]]
    for copy in copies:
        with pytest.raises(ChangeNotEndorsed):
            verify(OLD, copy, LOG.verifier, NOW)
    assert verify(OLD, merge(copies), LOG.verifier, NOW)[1] == NEW
    assert merge([copies[0]]) == copies[0]
    assert cosign(copies[0], ONE, NOW) == copies[0], "an endorsement by one key stands once"


def test_a_policy_does_not_come_back() -> None:
    """Followed from one to the next; an older change is refused, also where it fits behind the newest policy."""
    back = change(NEW_WITNESSES[:2], old=NEW, new=OLD)
    third = text_of(OLD_WITNESSES[:1] + NEW_WITNESSES[:2])
    chain = Chain(OLD, LOG.verifier)
    chain.follow(change(), NOW)
    with pytest.raises(NotTheSuccessor, match="another policy"):
        chain.follow(change(), NOW)
    with pytest.raises(NotTheSuccessor, match="does not come back"):
        chain.follow(back, NOW)
    assert chain.text == NEW
    chain.follow(change(NEW_WITNESSES[:2], old=NEW, new=third), NOW)
    assert (chain.text, chain.left) == (third, [policy_hash(OLD), policy_hash(NEW)])
    assert not chain.begins_at(back)
    # Whoever begins at the newest policy without having left any follows what its quorum signed.
    again = Chain(third, LOG.verifier, chain.left)
    with pytest.raises(NotTheSuccessor):
        again.follow(back, NOW)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**63 - 1))
def test_a_change_is_no_checkpoint(root: bytes, size: int) -> None:
    """No text is both, whatever the log is called: the second line decides."""
    texts = [note.parse(make(OLD, NEW, note.Signer(name, root)))[0] for name in ("7", "0", str(size), "a")]
    for text in texts:
        with pytest.raises(MalformedCheckpoint):
            checkpoint.parse(text)
        assert not text.split("\n")[1].isdigit()
    for name in ("paraph-policy/v1", "7"):
        signed = checkpoint.sign(Checkpoint(name, size, root), note.Signer(name, root)) if size else b""
        with pytest.raises(MalformedChange):
            policy_change.parse(signed)


@given(st.data())
def test_no_other_bytes_verify(data: st.DataObject) -> None:
    """Any changed bit of a change that only just verified is refused."""
    signed = bytearray(change(OLD_WITNESSES[:2]))
    at = data.draw(st.integers(0, 8 * len(signed) - 1))
    signed[at // 8] ^= 1 << at % 8
    with pytest.raises(TlogError):
        verify(OLD, bytes(signed), LOG.verifier, NOW)
