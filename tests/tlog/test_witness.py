"""The witness protocol as pure functions: what is read, what is refused with which status, what is agreed to."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.tlog import note, witness
from paraph.tlog.checkpoint import Checkpoint, sign
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.text import b64
from paraph.tlog.witness import (
    AddCheckpoint,
    BadAnswer,
    BadProof,
    Conflict,
    Contradiction,
    MalformedRequest,
    Refused,
    UnknownLog,
    UntrustedCheckpoint,
)
from tests.tlog.strategies import LOG, OTHER, TREE, digests, flip, sizes

LOGS = witness.logs_by_origin([LOG.verifier])
COSIGNER = CosignatureSigner("witness.example/w1", bytes(range(32)))


def tree(size: int) -> Checkpoint:
    return Checkpoint(LOG.name, size, TREE.root(size))


def request(old: int, new: int) -> AddCheckpoint:
    return AddCheckpoint(old, tuple(TREE.consistency_proof(old, new)), sign(tree(new), LOG))


def submit(body: bytes, known: Checkpoint | None) -> Checkpoint:
    """What a witness would go on from after this request."""
    submission = witness.open_request(body, LOGS)
    witness.check(submission, known)
    return submission.checkpoint


@given(sizes())
def test_a_tree_that_goes_on_is_accepted(pair: tuple[int, int]) -> None:
    """Any smaller or equal tree that was cosigned last leads to any larger one, by its proof."""
    old, new = pair
    assert submit(request(old, new).encode(), tree(old)) == tree(new)


@given(st.integers(0, 700))
def test_a_log_never_cosigned_begins_at_nothing(size: int) -> None:
    """Without a known checkpoint the old size is 0 and the proof empty."""
    assert submit(request(0, size).encode(), None) == tree(size)


def test_the_body_is_the_specifications() -> None:
    """Old size line, proof lines, empty line, checkpoint."""
    made = request(3, 7)
    lines = made.encode().decode().split("\n")
    assert lines[0] == "old 3"
    assert lines[1:5] == [b64(item) for item in TREE.consistency_proof(3, 7)]
    assert lines[5:9] == ["", LOG.name, "7", b64(TREE.root(7))]


@given(st.integers(0, 2**63 - 1), st.lists(digests, max_size=63), st.binary(max_size=200))
def test_requests_round_trip(old: int, proof: list[bytes], signed: bytes) -> None:
    """What was written is read back; the checkpoint may be any bytes at this step."""
    made = AddCheckpoint(old, tuple(proof), signed)
    assert witness.parse(made.encode()) == made


GOOD = request(3, 7).encode()
MALFORMED = {
    "nothing": b"",
    "no checkpoint": GOOD.split(b"\n\n")[0],
    "empty checkpoint": GOOD.split(b"\n\n")[0] + b"\n\n",
    "no old size": GOOD.partition(b"\n")[2],
    "old size twice": b"old 3\n" + GOOD,
    "negative": GOOD.replace(b"old 3", b"old -3"),
    "plus": GOOD.replace(b"old 3", b"old +3"),
    "leading zero": GOOD.replace(b"old 3", b"old 03"),
    "two spaces": GOOD.replace(b"old 3", b"old  3"),
    "tab": GOOD.replace(b"old 3", b"old\t3"),
    "trailing space": GOOD.replace(b"old 3", b"old 3 "),
    "underscore": GOOD.replace(b"old 3", b"old 3_0"),
    "other digits": GOOD.replace(b"old 3", "old ٣".encode()),
    "no number": GOOD.replace(b"old 3", b"old "),
    "no word": GOOD.replace(b"old 3", b"3"),
    "upper case": GOOD.replace(b"old 3", b"OLD 3"),
    "too large": GOOD.replace(b"old 3", b"old 9223372036854775808"),
    "carriage returns": GOOD.replace(b"\n", b"\r\n"),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "a newline before": b"\n" + GOOD,
    "base64url": GOOD.replace(b"+", b"-").replace(b"/", b"_"),
    "unpadded proof": GOOD.replace(b64(TREE.consistency_proof(3, 7)[0]).encode(), b"A" * 43),
    "stray bits": GOOD.replace(b64(TREE.consistency_proof(3, 7)[0]).encode(), b"A" * 42 + b"B="),
    "short hash": GOOD.replace(b64(TREE.consistency_proof(3, 7)[0]).encode(), b64(bytes(31)).encode()),
    "long hash": GOOD.replace(b64(TREE.consistency_proof(3, 7)[0]).encode(), b64(bytes(33)).encode()),
    "64 hashes": b"old 3\n" + 64 * (b64(bytes(32)).encode() + b"\n") + b"\n" + sign(tree(7), LOG),
    "an empty line more": GOOD.replace(b"\n\n", b"\n\n\n", 1),
    "trailing bytes": GOOD + b"x",
    "trailing newline": GOOD + b"\n",
    "no final newline": GOOD[:-1],
    "a size that is none": GOOD.replace(b"\n7\n", b"\n07\n"),
    "an extension line": b"old 0\n\n" + note.sign(tree(7).text + "more\n", [LOG]),
    "too long": GOOD + b"x" * witness.MAX_REQUEST,
    "the empty tree with a root": b"old 0\n\n" + note.sign(f"{LOG.name}\n0\n{b64(bytes(32))}\n", [LOG]),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_other_spellings_are_refused(name: str) -> None:
    """400 for anything that is not a request in its only spelling."""
    assert MALFORMED[name] != GOOD
    with pytest.raises(MalformedRequest):
        submit(MALFORMED[name], tree(3))


def test_no_changed_request_is_accepted() -> None:
    """Flip any bit, cut at any place: refused, with one of the protocol's statuses."""
    made = request(300, 657).encode()
    bits = random.Random(4).sample(range(len(made) * 8), 1500)
    for body in [*(flip(made, bit) for bit in bits), *(made[:end] for end in range(0, len(made), 7))]:
        with pytest.raises(Refused) as refused:
            submit(body, tree(300))
        assert refused.value.status in (400, 403, 404, 409, 422)


@given(st.binary(max_size=300))
def test_garbage_is_refused(body: bytes) -> None:
    """Bytes of any kind raise Refused and nothing else."""
    with pytest.raises(Refused):
        witness.open_request(body, LOGS)


def test_an_unknown_origin_is_404() -> None:
    """A log that the witness does not watch, whoever signed."""
    stranger = note.Signer("elsewhere.example/log", bytes(32))
    body = AddCheckpoint(0, (), sign(Checkpoint(stranger.name, 7, TREE.root(7)), stranger)).encode()
    with pytest.raises(UnknownLog) as refused:
        witness.open_request(body, LOGS)
    assert refused.value.status == 404


@pytest.mark.parametrize("signer", [OTHER, note.Signer("stranger.example/log", bytes(32))])
def test_a_checkpoint_that_the_log_did_not_sign_is_403(signer: note.Signer) -> None:
    """Another key under the log's name, or a stranger's: no trusted signature."""
    with pytest.raises(UntrustedCheckpoint) as refused:
        witness.open_request(AddCheckpoint(0, (), sign(tree(7), signer)).encode(), LOGS)
    assert refused.value.status == 403


def test_a_wrong_signature_by_the_logs_key_is_403() -> None:
    """Also where another trusted signature is right."""
    right = LOG.sign(tree(7).text.encode())
    lines = [note.Signature(LOG.name, LOG.key_id, signature) for signature in (right, flip(right, 9))]
    with pytest.raises(UntrustedCheckpoint):
        witness.open_request(AddCheckpoint(0, (), note.encode(tree(7).text, lines)).encode(), LOGS)


def test_signatures_by_unknown_keys_are_ignored_and_not_passed_on() -> None:
    """A stranger's line does not disturb, and does not get into the note that the witness keeps."""
    signed = note.sign(tree(7).text, [OTHER, LOG])
    submission = witness.open_request(AddCheckpoint(0, (), signed).encode(), LOGS)
    assert submission.note() == sign(tree(7), LOG)


def test_an_old_size_above_the_new_is_400() -> None:
    """Whatever is known."""
    body = AddCheckpoint(8, (), sign(tree(7), LOG)).encode()
    for known in (None, tree(7), tree(8)):
        with pytest.raises(MalformedRequest):
            submit(body, known)


@pytest.mark.parametrize(("known", "old"), [(None, 3), (5, 3), (3, 5), (3, 0), (700, 5)])
def test_another_old_size_is_409_with_the_known_size(known: int | None, old: int) -> None:
    """The body tells where to prove from, as text/x.tlog.size."""
    with pytest.raises(Conflict) as refused:
        submit(request(old, 7).encode(), None if known is None else tree(known))
    assert not isinstance(refused.value, Contradiction)
    assert (refused.value.status, refused.value.content_type) == (409, "text/x.tlog.size")
    assert refused.value.body == b"%d\n" % (known or 0)
    assert str(refused.value) == f"expected the old size {known or 0}, got {old}"
    assert witness.parse_size(refused.value.body) == (known or 0)


def test_two_roots_for_one_size_are_409_and_a_contradiction() -> None:
    """The log signed two histories; the second is never cosigned."""
    with pytest.raises(Contradiction) as refused:
        submit(AddCheckpoint(7, (), sign(Checkpoint(LOG.name, 7, bytes(32)), LOG)).encode(), tree(7))
    assert (refused.value.status, refused.value.size) == (409, 7)


def wrong_proofs() -> list[tuple[bytes, ...]]:
    right = TREE.consistency_proof(300, 657)
    return [
        (), tuple(right[:-1]), tuple(right[1:]), (*right, bytes(32)), (bytes(32), *right), tuple(reversed(right)),
        *((*right[:i], flip(right[i], 100), *right[i + 1 :]) for i in range(len(right))),
        tuple(TREE.consistency_proof(299, 657)), tuple(TREE.consistency_proof(300, 656)),
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(len(wrong_proofs())))
def test_a_wrong_proof_is_422(number: int) -> None:
    """Shortened, lengthened, reordered, changed in any hash, or of other sizes."""
    with pytest.raises(BadProof) as refused:
        submit(AddCheckpoint(300, wrong_proofs()[number], sign(tree(657), LOG)).encode(), tree(300))
    assert refused.value.status == 422


@pytest.mark.parametrize("old", [0, 7])
def test_a_proof_where_none_is_needed_is_422(old: int) -> None:
    """From size 0, or to the same size, the proof must be empty."""
    with pytest.raises(BadProof):
        submit(AddCheckpoint(old, (bytes(32),), sign(tree(7), LOG)).encode(), tree(old))


def test_a_fork_with_a_proof_of_its_own_is_422() -> None:
    """A proof that is right for another history does not lead from the known tree."""
    known = Checkpoint(LOG.name, 300, bytes(32))
    with pytest.raises(BadProof):
        submit(request(300, 657).encode(), known)


def test_the_known_checkpoint_is_this_logs() -> None:
    """A caller that mixes up logs is stopped."""
    with pytest.raises(ValueError, match="another log"):
        submit(request(3, 7).encode(), Checkpoint("elsewhere.example/log", 3, TREE.root(3)))


@pytest.mark.parametrize("body", [b"", b"7", b"07\n", b"7\n\n", b" 7\n", b"-7\n", b"seven\n", b"\xff\n", b"7\r\n"])
def test_a_size_in_another_spelling_is_refused(body: bytes) -> None:
    """As for every number of the log."""
    with pytest.raises(BadAnswer):
        witness.parse_size(body)


def test_the_cosignature_is_found_among_others() -> None:
    """Lines by unknown keys are ignored."""
    stranger = CosignatureSigner("stranger.example/w", bytes(32))
    text = tree(7).text
    wanted = COSIGNER.cosign(text, 1_760_000_000)
    body = (stranger.cosign(text, 1).line + wanted.line).encode()
    assert witness.parse_cosignature(body, text, COSIGNER.verifier) == wanted


def test_answers_without_the_right_cosignature_are_refused() -> None:
    """Nothing, garbage, another text, another key, a broken signature, a note smuggled in."""
    text, line = tree(7).text, COSIGNER.cosign(tree(7).text, 5).line.encode()
    bodies = [
        b"", b"\n", b"ok\n", line[:-1], line + b"x\n", line.replace(b"\n", b"\r\n"), b"\n" + line,
        COSIGNER.cosign(tree(8).text, 5).line.encode(), line + b"\n" + line,
        CosignatureSigner(COSIGNER.name, bytes(32)).cosign(text, 5).line.encode(),
        note.Signature(COSIGNER.name, COSIGNER.verifier.key_id, bytes(72)).line.encode(),
        b"x\n\n" + line, tree(8).text.encode() + b"\n" + COSIGNER.cosign(f"{text}\n{tree(8).text}", 5).line.encode(),
    ]  # fmt: skip
    for body in bodies:
        with pytest.raises(BadAnswer):
            witness.parse_cosignature(body, text, COSIGNER.verifier)


def test_a_request_has_a_longest_form() -> None:
    """Up to the bound it is read, one byte more is refused before anything is looked at."""
    head = len(AddCheckpoint(0, (), b"").encode())
    longest = AddCheckpoint(0, (), b"x" * (witness.MAX_REQUEST - head))
    assert witness.parse(longest.encode()) == longest
    with pytest.raises(MalformedRequest, match="at most 65536 bytes"):
        witness.parse(longest.encode() + b"x")


@pytest.mark.parametrize("size", [-1, 2**63])
def test_what_no_witness_would_read_is_not_written(size: int) -> None:
    """A size below nothing, or above what is read."""
    with pytest.raises(MalformedRequest):
        AddCheckpoint(size, (), b"").encode()
