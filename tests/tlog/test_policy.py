"""Policies: read strictly, quorums that always intersect, and checkpoints checked against them."""

from hashlib import sha256
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paraph.tlog import note, policy
from paraph.tlog.checkpoint import Checkpoint, MalformedCheckpoint, WrongLog
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.policy import MAX_SKEW, MalformedPolicy, Policy, QuorumMissing, StaleCheckpoint
from tests.tlog.strategies import LOG, OTHER, TREE

NOW = 1_760_000_000
CHECKPOINT = Checkpoint(LOG.name, 7, TREE.root(7))
W = [CosignatureSigner(f"w{number}.example/witness", sha256(b"w%d" % number).digest()) for number in range(5)]


def lines(*more: str, witnesses: int = 5) -> bytes:
    """A policy with the log, some witnesses w0, w1... and these lines."""
    known = [f"witness w{number} {W[number].verifier.vkey}" for number in range(witnesses)]
    return "".join(f"{line}\n" for line in [f"log {LOG.vkey}", *known, *more]).encode()


def cosigned(*cosignatures: tuple[int, int], by: note.Signer = LOG, tree: Checkpoint = CHECKPOINT) -> bytes:
    """The checkpoint, signed, with cosignatures of these witnesses at these times."""
    own = note.Signature(by.name, by.key_id, by.sign(tree.text.encode()))
    return note.encode(tree.text, [own, *(W[number].cosign(tree.text, time) for number, time in cosignatures)])


TWO_OF_THREE = policy.parse(lines("group three 2 w0 w1 w2", "quorum three"))
AUDITED = policy.parse(
    lines("group three 2 w0 w1 w2", "group map-auditors any w3 w4", "group both all three map-auditors", "quorum both")
)


def test_a_quorum_is_counted() -> None:
    """The time is the older one of the best pair; all cosigners and the newest time are told."""
    found = TWO_OF_THREE.check(cosigned((0, NOW - 50), (1, NOW - 20), (2, NOW - 30)), NOW, 600)
    assert found.checkpoint == CHECKPOINT
    assert (found.time, found.newest) == (NOW - 30, NOW - 20)
    assert found.times == {"w0": NOW - 50, "w1": NOW - 20, "w2": NOW - 30}


@pytest.mark.parametrize("given_by", [(), (0,), (3, 4), (0, 3), (0, 0)])
def test_too_few_are_refused(given_by: tuple[int, ...]) -> None:
    """None, one, one twice, or witnesses outside the quorum."""
    with pytest.raises(QuorumMissing):
        TWO_OF_THREE.check(cosigned(*((number, NOW) for number in given_by)), NOW, 600)


def test_age_is_that_of_the_quorum() -> None:
    """One fresh cosignature does not refresh a stale quorum; the bound itself is allowed; without one, any age."""
    signed = cosigned((0, NOW - 601), (1, NOW))
    with pytest.raises(StaleCheckpoint):
        TWO_OF_THREE.check(signed, NOW, 600)
    assert TWO_OF_THREE.check(signed, NOW, 601).time == NOW - 601
    assert TWO_OF_THREE.check(signed, NOW).time == NOW - 601


def test_cosignatures_from_the_future_do_not_count() -> None:
    """A small difference of clocks is allowed, more is not."""
    assert TWO_OF_THREE.check(cosigned((0, NOW), (1, NOW + MAX_SKEW)), NOW, 600).time == NOW
    with pytest.raises(QuorumMissing, match="ahead of this clock: w1"):
        TWO_OF_THREE.check(cosigned((0, NOW), (1, NOW + MAX_SKEW + 1)), NOW, 600)


def test_the_newest_of_one_witnesses_cosignatures_counts() -> None:
    """A note may carry an old and a new one."""
    assert TWO_OF_THREE.check(cosigned((0, NOW - 900), (0, NOW), (1, NOW)), NOW, 600).times["w0"] == NOW


def test_every_quorum_holds_a_map_auditor() -> None:
    """Any number of plain witnesses is not enough; one auditor beside a majority is."""
    assert AUDITED.map_audited
    assert not TWO_OF_THREE.map_audited
    with pytest.raises(QuorumMissing):
        AUDITED.check(cosigned((0, NOW), (1, NOW), (2, NOW)), NOW, 600)
    with pytest.raises(QuorumMissing):
        AUDITED.check(cosigned((0, NOW), (3, NOW), (4, NOW)), NOW, 600)
    assert AUDITED.check(cosigned((0, NOW - 1), (1, NOW), (4, NOW - 9)), NOW, 600).time == NOW - 9


def test_a_forged_cosignature_rejects_the_note() -> None:
    """Even where the quorum does not need it."""
    text = CHECKPOINT.text
    forged = note.Signature(W[2].name, W[2].verifier.key_id, bytes(72))
    own = note.Signature(LOG.name, LOG.key_id, LOG.sign(text.encode()))
    signed = note.encode(text, [own, W[0].cosign(text, NOW), W[1].cosign(text, NOW), forged])
    with pytest.raises(note.InvalidSignature):
        TWO_OF_THREE.check(signed, NOW, 600)


def test_the_log_itself_must_have_signed() -> None:
    """No signature by the log, another key under its name, another origin, a text that is no checkpoint."""
    text = CHECKPOINT.text
    with pytest.raises(WrongLog):
        TWO_OF_THREE.check(note.encode(text, [W[0].cosign(text, NOW), W[1].cosign(text, NOW)]), NOW, 600)
    with pytest.raises(WrongLog):
        TWO_OF_THREE.check(cosigned((0, NOW), (1, NOW), by=OTHER), NOW, 600)
    other = Checkpoint("elsewhere.example/log", 7, TREE.root(7))
    with pytest.raises(WrongLog):
        TWO_OF_THREE.check(cosigned((0, NOW), (1, NOW), tree=other), NOW, 600)
    with pytest.raises(MalformedCheckpoint):
        TWO_OF_THREE.check(note.sign("three\nlines\nlong\n", [LOG]), NOW, 600)
    with pytest.raises(note.UnverifiedNote):
        TWO_OF_THREE.check(note.sign(text, [OTHER]), NOW, 600)


def test_a_policy_is_bound_to_a_log() -> None:
    """A policy without logs accepts no checkpoint until it is told which log is meant; one with others is refused."""
    bare = policy.parse(lines("group three 2 w0 w1 w2", "quorum three").partition(b"\n")[2])
    signed = cosigned((0, NOW), (1, NOW))
    with pytest.raises(WrongLog):
        bare.check(signed, NOW, 600)
    assert bare.for_log(LOG.verifier).check(signed, NOW, 600).time == NOW
    assert TWO_OF_THREE.for_log(LOG.verifier) == TWO_OF_THREE
    with pytest.raises(WrongLog):
        TWO_OF_THREE.for_log(OTHER.verifier)


def test_comments_spaces_and_urls_are_read() -> None:
    """Lines may be indented, spaced with tabs, empty or comments; a URL's final slash is dropped."""
    text = (
        f"# ours\n\n \t\n\tlog\t{LOG.vkey}  https://log.example/log/ \n"
        f"  # more\nwitness  ü {W[0].verifier.vkey} https://w.example/x/\nquorum ü\n"
    )
    found = policy.parse(text.encode())
    assert (found.logs[0].url, found.witnesses[0].url) == ("https://log.example/log", "https://w.example/x")
    assert found.check(cosigned((0, NOW)), NOW, 600).times == {"ü": NOW}


V0 = W[0].verifier.vkey
REFUSED = {
    "nothing": b"",
    "no quorum": lines(),
    "two quorums": lines("quorum w0", "quorum w0"),
    "quorum of none": lines("quorum none"),
    "quorum without a name": lines("quorum"),
    "quorum of two": lines("quorum w0 w1"),
    "quorum unknown": lines("quorum w9"),
    "quorum before its group": lines("quorum three", "group three 2 w0 w1 w2"),
    "half of them": lines("group four 2 w0 w1 w2 w3", "quorum four"),
    "any of two": lines("group two any w0 w1", "quorum two"),
    "all of loose groups": lines("group a any w0 w1", "group b any w2 w3", "group c all a b", "quorum c"),
    "two of three, two loose": lines("group a any w0 w1", "group b any w2 w3", "group c 2 a b w4", "quorum c"),
    "auditors left aside": lines("group map-auditors all w3", "quorum w0"),
    "auditors avoidable": lines("group map-auditors all w3", "group g 2 w0 w1 map-auditors", "quorum g"),
    "threshold 0": lines("group g 0 w0", "quorum g"),
    "threshold too high": lines("group g 2 w0", "quorum g"),
    "threshold 02": lines("group g 02 w0 w1 w2", "quorum g"),
    "threshold +2": lines("group g +2 w0 w1 w2", "quorum g"),
    "threshold in words": lines("group g most w0 w1 w2", "quorum g"),
    "group of nobody": lines("group g all", "quorum w0"),
    "group of itself": lines("group g all g", "quorum g"),
    "group of none": lines("group g all none", "quorum g"),
    "member twice": lines("group g 2 w0 w0 w1", "quorum g"),
    "member of two groups": lines("group g all w0 w1", "group h all w0 w2", "quorum g"),
    "name taken": lines("group w0 all w1", "quorum w0"),
    "named none": lines("group none all w0", "quorum w1"),
    "witness twice": lines(f"witness again {V0}", "quorum w1"),
    "witness without a key": lines("witness w9", "quorum w0"),
    "witness with a log's key": lines(f"witness w9 {LOG.vkey}", "quorum w0"),
    "witness is the log": lines(
        f"witness w9 {CosignatureSigner('me', LOG.seed).verifier.vkey}", "quorum w9", witnesses=1
    ),
    "log with a witness's key": lines(f"log {V0}", "quorum w0"),
    "log twice": lines(f"log {LOG.vkey}", "quorum w0"),
    "log without a key": lines("log", "quorum w0"),
    "too many words": lines(f"log {OTHER.vkey} https://a.example b", "quorum w0"),
    "key id of another": lines(f"witness w9 {V0.replace(W[0].verifier.key_id.hex(), '00000000')}", "quorum w0"),
    "unknown word": lines("mirror w0", "quorum w0"),
    "upper case": lines("Quorum w0"),
    "carriage returns": lines("quorum w0").replace(b"\n", b"\r\n"),
    "no final newline": lines("quorum w0")[:-1],
    "a zero byte": lines("quorum w0", "# \0"),
    "a delete": lines("quorum w0", "# \x7f"),
    "not UTF-8": lines("quorum w0") + b"# \xff\n",
    "no-break space": lines("quorum w0".replace(" ", "\u00a0")),
    "too long": lines("quorum w0") + b"#" * policy.MAX_POLICY + b"\n",
    "too many groups": lines(
        *(f"group g{n} all {f'g{n - 1}' if n else 'w0'}" for n in range(policy.MAX_OF_A_KIND + 1)), "quorum w1"
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_policy_is_refused(name: str) -> None:
    """A text that is not a policy, or one under which a split view needs no dishonest witness."""
    with pytest.raises(MalformedPolicy):
        policy.parse(REFUSED[name])


def test_errors_name_the_line() -> None:
    """So that a person finds it."""
    with pytest.raises(MalformedPolicy, match=r"^line 7: "):
        policy.parse(lines("quorum w9"))


@st.composite
def random_policies(draw: st.DrawFn) -> bytes:
    """Five witnesses put into random groups of groups; one quorum over what is left."""
    loose = [f"w{number}" for number in range(5)]
    made = []
    for number in range(draw(st.integers(0, 3))):
        if len(loose) < 2:
            break
        members = draw(st.lists(st.sampled_from(loose), min_size=1, max_size=len(loose), unique=True))
        made.append(f"group g{number} {draw(st.integers(1, len(members)))} {' '.join(members)}")
        loose = [name for name in loose if name not in members] + [f"g{number}"]
    return lines(*made, f"quorum {draw(st.sampled_from(loose))}")


@given(random_policies())
def test_accepted_quorums_intersect(text: bytes) -> None:
    """A policy is accepted exactly if each two sets of witnesses that satisfy it have one in common."""
    draft = policy._Draft()
    for line in text.decode().splitlines():
        draft.add(line.split())
    assert draft.quorum is not None
    unchecked = Policy((), (), draft.quorum)
    everyone = [set(chosen) for size in range(6) for chosen in combinations([f"w{n}" for n in range(5)], size)]
    quorums = [chosen for chosen in everyone if unchecked.quorum_time(dict.fromkeys(chosen, 1)) is not None]
    if all(a & b for a in quorums for b in quorums):
        assert policy.parse(text).quorum == draft.quorum
    else:
        with pytest.raises(MalformedPolicy):
            policy.parse(text)


@given(st.dictionaries(st.sampled_from(["w0", "w1", "w2", "w3", "w4"]), st.integers(0, 50)))
def test_the_quorums_time_is_the_latest_possible(times: dict[str, int]) -> None:
    """At this time a quorum had cosigned, a second later's set alone is none."""
    for known in (TWO_OF_THREE, AUDITED):
        time = known.quorum_time(times)
        bounds = [t for t in range(52) if known.quorum_time({n: v for n, v in times.items() if v >= t}) is not None]
        assert time == max(bounds, default=None)


@given(random_policies(), st.dictionaries(st.sampled_from([f"w{n}" for n in range(5)]), st.integers(0, 30)))
def test_the_quorums_time_is_that_of_the_best_quorum(text: bytes, times: dict[str, int]) -> None:
    """For any groups of groups: of all sets that satisfy the policy, the one whose oldest cosignature is newest."""
    try:
        known = policy.parse(text)
    except MalformedPolicy:
        return
    chosen = [set(some) for size in range(1, 6) for some in combinations(sorted(times), size)]
    quorums = [some for some in chosen if known.quorum_time(dict.fromkeys(some, 1)) is not None]
    assert known.quorum_time(times) == max((min(times[name] for name in some) for some in quorums), default=None)


@pytest.mark.parametrize("kind", ["witness", "log"])
def test_a_policy_has_at_most_so_many_of_a_kind(kind: str) -> None:
    """32 are read, 33 are not: with the log's they must fit the signatures of one note."""
    seeds = [sha256(b"%d" % number).digest() for number in range(policy.MAX_OF_A_KIND + 1)]
    if kind == "witness":
        keys = [CosignatureSigner("w.example", seed).verifier.vkey for seed in seeds]
        made = [f"witness x{number} {key}" for number, key in enumerate(keys)]
        head, quorum = b"", "quorum x0"
    else:
        made = [f"log {note.Signer('l.example', seed).vkey}" for seed in seeds]
        head, quorum = f"witness w0 {V0}\n".encode(), "quorum w0"
    text = [head + "".join(f"{line}\n" for line in [*made[:count], quorum]).encode() for count in (-1, None)]
    assert len(policy.parse(text[0]).logs) + len(policy.parse(text[0]).witnesses) >= policy.MAX_OF_A_KIND
    with pytest.raises(MalformedPolicy, match="at most 32 of a kind"):
        policy.parse(text[1])
