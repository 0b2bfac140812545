"""Keys, signed notes, checkpoints, cosignatures and policies."""

from collections.abc import Callable
from itertools import combinations
from typing import Any

from paraph.tlog import checkpoint, note, policy
from paraph.tlog.checkpoint import Checkpoint, CheckpointError
from paraph.tlog.cosignature import COSIGNATURE_V1, CosignatureSigner, CosignatureVerifier, signed_message
from paraph.tlog.note import MalformedKey, NoteError, Signature
from paraph.tlog.policy import Policy, PolicyError
from paraph.tlog.text import b64
from tests.audit.witnessed import policy_text
from tests.corpus.honest import (
    AUDITOR,
    CHECKPOINT,
    COSIGNERS,
    EARLIER,
    FORKED,
    IMPOSTOR,
    LOG,
    NOW,
    POLICY,
    STRANGER,
    WITNESSES,
    cosigned,
    log_signature,
)
from tests.corpus.layout import Piece, layout
from tests.corpus.mutators import of_bytes
from tests.corpus.structure import Kind, Structure

_SIGNED_ERRORS = (NoteError, CheckpointError)
_POLICY_ERRORS = (NoteError, CheckpointError, PolicyError)


def key(name: str, read: Callable[[str], Any], spelled: str, forged: dict[str, str]) -> Structure:
    """A vkey or skey: nothing in it can change, because the key id is a hash of the rest."""
    start, prefix = (len(note.SECRET), [note.SECRET]) if spelled.startswith(note.SECRET) else (0, [])
    owner, identifier, encoded = spelled[start:].split("+", 2)
    honest, fields = layout(
        *prefix, ("name", Kind.TEXT, owner), "+", ("key id", Kind.HEX, identifier), "+", ("key", Kind.BASE64, encoded)
    )
    made = {name: spelled.encode() for name, spelled in forged.items()}
    return Structure(
        name, honest, lambda data: read(data.decode("utf-8", "surrogateescape")), (MalformedKey,), of_bytes, fields,
        forged=made,
    )  # fmt: skip


def _retyped(signer: note.Signer | CosignatureSigner, key_type: int) -> str:
    """The signer's vkey with another type byte, key id and all."""
    public = signer.verifier.public_key
    return note.format_key(signer.name, note.key_id(signer.name, key_type, public), key_type, public)


KEYS = (
    key("vkey", note.Verifier.from_vkey, LOG.vkey, {f"type {t}": _retyped(LOG, t) for t in (0, 2, 4, 5, 6, 255)}),
    key(
        "cosigner's vkey",
        CosignatureVerifier.from_vkey,
        WITNESSES[0].verifier.vkey,
        {f"type {t}": _retyped(WITNESSES[0], t) for t in (0, 1, 2, 6, 255)},
    ),
    key("skey", note.Signer.from_skey, LOG.skey, {"public": LOG.vkey, "cosigner's": WITNESSES[0].skey}),
    key("cosigner's skey", CosignatureSigner.from_skey, WITNESSES[0].skey, {"log's": LOG.skey}),
)


def signature_lines(lines: list[tuple[str, Signature]]) -> list[Piece]:
    """Signature lines, their name and their base64 as fields."""
    pieces: list[Piece] = []
    for name, item in lines:
        pieces += ["— ", (f"{name} name", Kind.TEXT, item.name), " "]
        pieces += [(f"{name} signature", Kind.BASE64, b64(item.key_id + item.signature)), "\n"]
    return pieces


def checkpoint_pieces(tree: Checkpoint = CHECKPOINT) -> list[Piece]:
    """The text of a checkpoint."""
    return [
        ("origin", Kind.TEXT, tree.origin), "\n", ("size", Kind.NUMBER, str(tree.size)), "\n",
        ("root", Kind.BASE64, b64(tree.root)), "\n",
    ]  # fmt: skip


NOTE_TEXT = "First line, ünïcode\n\nlast line\n"
NOTE = layout(
    ("text", Kind.TEXT, NOTE_TEXT), "\n", *signature_lines([("log", note.parse(note.sign(NOTE_TEXT, [LOG]))[1][0])])
)
CHECKPOINT_TEXT = layout(*checkpoint_pieces())
CHECKPOINT_NOTE = layout(*checkpoint_pieces(), "\n", *signature_lines([("log", log_signature(CHECKPOINT.text))]))
COSIGNED = layout(
    *checkpoint_pieces(),
    "\n",
    *signature_lines(
        [("log", log_signature(CHECKPOINT.text)), *((w.name, w.cosign(CHECKPOINT.text, NOW)) for w in COSIGNERS)]
    ),
)

EXCHANGED = {"whole: lines * exchanged": "the order of signature lines means nothing"}


def repeated(note_bytes: bytes, count: int = 1) -> dict[str, str]:
    """The mutants that repeat one of a note's last `count` lines, which says the same (Go's note.Open drops it)."""
    last = note_bytes.count(b"\n") - 1
    return {f"whole: line {last - n} twice": "a repeated signature says the same" for n in range(count)}


def _opened(data: bytes) -> object:
    opened = note.open(data, [LOG.verifier])
    return opened.text


def _forged_lines(text: str) -> dict[str, bytes]:
    """Signature lines that the log's key did not make."""
    right = log_signature(text)
    own = LOG.verifier.key_id
    wrong = {
        "another key under the name": Signature(LOG.name, IMPOSTOR.key_id, IMPOSTOR.sign(text.encode())),
        "key id collision": Signature(LOG.name, own, IMPOSTOR.sign(text.encode())),
        "another text": Signature(LOG.name, own, LOG.sign(b"another text\n")),
        "text without its newline": Signature(LOG.name, own, LOG.sign(text.encode()[:-1])),
        "a cosignature's message": Signature(LOG.name, own, LOG.sign(signed_message(text.encode(), NOW))),
        "type 4 key id": Signature(
            LOG.name, note.key_id(LOG.name, COSIGNATURE_V1, LOG.verifier.public_key), right.signature
        ),
        "another name": Signature("example.org/log2", own, right.signature),
        "no signature": Signature(LOG.name, own, b"\0"),
        "S plus the group's order": Signature(LOG.name, own, _malleated(right.signature)),
    }
    made = {name: note.encode(text, [line]) for name, line in wrong.items()}
    made["a good and a wrong one"] = note.encode(text, [right, wrong["key id collision"]])
    made["a wrong and a good one"] = note.encode(text, [wrong["key id collision"], right])
    return made


def _malleated(signature: bytes) -> bytes:
    """The same signature with S + L, which RFC 8032 (5.1.7) refuses: else each has a second spelling."""
    order = 2**252 + 27742317777372353535851937790883648493
    return signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")


def _forged_checkpoints() -> dict[str, bytes]:
    """Texts that are no checkpoint, or another log's, signed by the true log and all its witnesses."""
    origin, size, root, _ = CHECKPOINT.text.split("\n")
    texts = {
        "extension line": CHECKPOINT.text + "extension\n",
        "another origin": f"other.example/log\n{size}\n{root}\n",
        "origin with a space": f"{origin} \n{size}\n{root}\n",
        "no root": f"{origin}\n{size}\n",
        "size 012": f"{origin}\n0{size}\n{root}\n",
        "size +12": f"{origin}\n+{size}\n{root}\n",
        "size 1_2": f"{origin}\n1_2\n{root}\n",
        "size ١٢": f"{origin}\n١٢\n{root}\n",
        "size -1": f"{origin}\n-1\n{root}\n",
        "size 2^63": f"{origin}\n{2**63}\n{root}\n",
        "size 0 with a root": f"{origin}\n0\n{root}\n",
        "root of 31 bytes": f"{origin}\n{size}\n{b64(CHECKPOINT.root[:31])}\n",
        "root of 33 bytes": f"{origin}\n{size}\n{b64(CHECKPOINT.root + b'0')}\n",
        "root unpadded": f"{origin}\n{size}\n{root.rstrip('=')}\n",
        "root with spare bits": f"{origin}\n{size}\n{root[:-2]}{chr(ord(root[-2]) + 1)}=\n",
        "root in the URL alphabet": f"{origin}\n{size}\n{'-' + root[1:]}\n",
        "lines exchanged": f"{size}\n{origin}\n{root}\n",
    }
    return {name: cosigned(text) for name, text in texts.items()}


def _forged_cosigned() -> dict[str, bytes]:
    """Notes that lack the quorum, whatever they look like."""
    text, (first, second, auditor) = CHECKPOINT.text, COSIGNERS
    good = [signer.cosign(text, NOW) for signer in (first, second, auditor)]
    other = CosignatureSigner(first.name, STRANGER.seed)

    def instead(item: Signature) -> bytes:
        return note.encode(text, [log_signature(text), item, *good[1:]])

    own, public = first.verifier.key_id, first.verifier.public_key
    late = first.cosign(text, NOW - 10_000)
    return {
        "another key": instead(other.cosign(text, NOW)),
        "another key, key id collision": instead(Signature(first.name, own, other.cosign(text, NOW).signature)),
        "another time, not signed": instead(Signature(first.name, own, NOW.to_bytes(8, "big") + late.signature[8:])),
        "stale": instead(late),
        "ahead of the clock": instead(first.cosign(text, NOW + 61)),
        "time 2^64-1": instead(Signature(first.name, own, b"\xff" * 8 + good[0].signature[8:])),
        "the tree of an epoch ago": instead(first.cosign(Checkpoint(LOG.name, *_size_and_root(EARLIER)).text, NOW)),
        "a forked tree": instead(first.cosign(Checkpoint(LOG.name, *_size_and_root(FORKED)).text, NOW)),
        "another log's tree": instead(
            first.cosign(Checkpoint("x.example/log", CHECKPOINT.size, CHECKPOINT.root).text, NOW)
        ),
        "type 1 key id": instead(Signature(first.name, note.key_id(first.name, 1, public), good[0].signature)),
        "type 6 key id": instead(Signature(first.name, note.key_id(first.name, 6, public), good[0].signature)),
        "a plain signature": instead(
            Signature(first.name, own, note.Signer(first.name, first.seed).sign(text.encode()))
        ),
        "a plain signature after a time": instead(
            Signature(first.name, own, NOW.to_bytes(8, "big") + note.Signer(first.name, first.seed).sign(text.encode()))
        ),
        "another witness's": instead(Signature(first.name, own, good[1].signature)),
        "one witness twice": instead(second.cosign(text, NOW - 1)),
        "one witness under two names": instead(CosignatureSigner(first.name, second.seed).cosign(text, NOW)),
        "a stranger": instead(STRANGER.cosign(text, NOW)),
        "the log as a witness": instead(CosignatureSigner(LOG.name, LOG.seed).cosign(text, NOW)),
        "no auditor": cosigned(by=(first, second)),
        "all witnesses, no auditor": cosigned(by=tuple(WITNESSES)),
        "the auditor alone": cosigned(by=(AUDITOR,)),
        "nobody": cosigned(by=()),
        "no log": note.encode(text, good),
        "an impostor for the log": note.encode(
            text, [Signature(LOG.name, IMPOSTOR.key_id, IMPOSTOR.sign(text.encode())), *good]
        ),
        "cosigned ten minutes and a second ago": cosigned(at=NOW - 601),
        **_forged_checkpoints(),
    }


def _size_and_root(log: Any) -> tuple[int, bytes]:
    return len(log.leaves), log.tree().root()


def _quorums_meet(found: Any, _data: object) -> bool:
    """Whether each two sets of witnesses that satisfy a policy have one in common: all pairs tried."""
    assert isinstance(found, Policy)
    names = [witness.name for witness in found.witnesses]
    sets = [set(chosen) for count in range(len(names) + 1) for chosen in combinations(names, count)]
    quorums = [chosen for chosen in sets if found.quorum_time(dict.fromkeys(chosen, 1)) is not None]
    return all(a & b for a in quorums for b in quorums)


def _policy_pieces() -> list[Piece]:
    pieces: list[Piece] = []
    for line in policy_text().decode().splitlines():
        words = line.split(" ")
        pieces.append(("keyword of " + line[:20], Kind.TEXT, words[0]))
        for at, word in enumerate(words[1:], start=1):
            pieces += [" ", (f"word {at} of {line[:20]}", Kind.NUMBER if word.isdigit() else Kind.TEXT, word)]
        pieces.append("\n")
    return pieces


POLICY_TEXT = layout(*_policy_pieces())
_FREE = "spaces and tabs between words, and empty lines, are free (C2SP tlog-policy)"
SPACING = {
    "*: b'\\t' at *": _FREE,
    "*: b' ' at *": _FREE,
    "*: b'\\n' at *": _FREE,
    "*: space after": _FREE,
    "whole: line * with a space after it": _FREE,
    "whole: line * indented": _FREE,
    "whole: empty line before *": _FREE,
    "whole: lines * exchanged": "a line may stand anywhere after those that it names",
    "word 2 of group both all * as word 2 of group map-auditors a*": "`all` and `any` of one member are the same",
}

STRUCTURES = (
    *KEYS,
    Structure(
        "signed note",
        NOTE[0],
        _opened,
        (NoteError,),
        of_bytes,
        NOTE[1],
        same=repeated(NOTE[0]),
        forged=_forged_lines(NOTE_TEXT),
    ),
    Structure(
        "checkpoint text",
        CHECKPOINT_TEXT[0],
        lambda data: checkpoint.parse(data.decode("utf-8", "surrogateescape")),
        _SIGNED_ERRORS,
        of_bytes,
        CHECKPOINT_TEXT[1],
        other=lambda meaning, data: meaning.text.encode("utf-8", "surrogateescape") == data,
    ),
    Structure(
        "signed checkpoint",
        CHECKPOINT_NOTE[0],
        lambda data: checkpoint.open(data, LOG.verifier),
        _SIGNED_ERRORS,
        of_bytes,
        CHECKPOINT_NOTE[1],
        same=repeated(CHECKPOINT_NOTE[0]),
        forged={**_forged_lines(CHECKPOINT.text), **_forged_checkpoints()},
    ),
    Structure(
        "cosigned checkpoint under a policy",
        COSIGNED[0],
        lambda data: POLICY.check(data, NOW, 600),
        _POLICY_ERRORS,
        of_bytes,
        COSIGNED[1],
        same=repeated(COSIGNED[0], 4) | EXCHANGED,
        forged=_forged_cosigned(),
    ),
    Structure(
        "policy",
        POLICY_TEXT[0],
        policy.parse,
        (PolicyError, NoteError),
        of_bytes,
        POLICY_TEXT[1],
        other=_quorums_meet,
        same=SPACING,
    ),
)
