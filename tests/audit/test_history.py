"""A person's complete history: honest ones hold, and whatever a platform leaves out or changes is named and counted."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from paraph.audit import envelope, evidence
from paraph.audit.errors import BadHistory, BadStatement, LogError, MalformedEvidence, Unwitnessed
from paraph.audit.history import History, labels_wanted
from paraph.audit.history_report import OUTSIDE, Fault, HistoryReport, PartnerHistory
from paraph.audit.opened import OpenedEntry
from paraph.audit.statement import KeyStatement
from paraph.audit.verdict import Outcome
from paraph.protocol.entry import access_label, account_key, grant_key, week_of
from paraph.protocol.limits import DAY_MS
from paraph.protocol.signing import sign
from paraph.tlog import policy as policies
from tests.audit.author import OTHER_CLUB, ROOM, START, Author, edited, grant_id, leaf_of, now_of, usual
from tests.audit.witnessed import POLICY, WITNESSES, WitnessedLog, policy_text
from tests.protocol import examples
from tests.protocol.examples import AUTHOR, KEYS, LOG_KEY, SLUG


def report_of(history: History) -> HistoryReport:
    """What the history comes to, directly and by way of its file, which must agree."""
    found = history.verify(POLICY, now_of(history))
    verdict = evidence.check(history.evidence, POLICY, now_of(history))
    assert (verdict.kind, verdict.outcome, verdict.summary) == ("history", found.outcome, found.summary)
    assert verdict.details == found.rendered
    return found


def about(report: HistoryReport, partner: str) -> PartnerHistory:
    """One partner's verdicts."""
    return next(one for one in report.partners if one.partner == partner)


def problems(history: History) -> list[tuple[Fault, int | None]]:
    """The faults that are found, with the records that they name."""
    return [(problem.fault, problem.record) for problem in report_of(history).problems]


def without(author: Author, *numbers: int) -> Author:
    """A platform that does not list these records (counted from 1), though it logged them."""
    author.records = [one for number, one in enumerate(author.records, start=1) if number not in numbers]
    return author


def exchanged(author: Author, number: int, change: Callable[[OpenedEntry], OpenedEntry]) -> Author:
    """A platform that lists another record in the place of one."""
    author.records[number - 1] = change(author.records[number - 1])
    return author


def test_an_honest_history_is_complete() -> None:
    """Three verdicts for each partner, up to a minute before the newest epoch."""
    report = report_of(usual().history())
    assert (report.outcome, report.problems, report.late) == (Outcome.COMPLETE, (), ())
    assert (report.person, report.master_key) == (AUTHOR, KEYS.master.public_key)
    assert report.until == START + 15 * DAY_MS - 60_000
    assert report.map_audited
    club, other = about(report, SLUG), about(report, OTHER_CLUB)
    assert (club.could_open.shares, club.could_open.sessions, club.could_open.rooms) == (1, 1, (ROOM,))
    assert (club.did_open.accesses, club.did_open.messages, club.did_open.recorded) == (3, 3, 3)
    assert (club.did_open.first, club.did_open.last) == (START + 5000, START + 9 * DAY_MS)
    assert club.rendered["outside"] == OUTSIDE
    assert (other.could_open.sessions, other.did_open.accesses, other.did_open.recorded) == (1, 0, 0)
    assert f"{SLUG}: 3 accesses" in report.summary
    assert f"{OTHER_CLUB}: 0 accesses" in report.summary


def test_that_no_partner_was_ever_granted_anything_is_proven() -> None:
    """A person who only enrolled has a complete history, too."""
    author = Author()
    author.enrol()
    report = report_of(author.close(START + 1000).close(START + 30 * DAY_MS).history())
    assert (report.outcome, report.partners, report.records) == (Outcome.COMPLETE, (), 1)
    assert "no partner was ever granted anything" in report.summary


def naive(history: History) -> bool:
    """What a checker of inclusion alone says: each listed record is in the tree of the log."""
    author_leaves = {leaf for statement in history.statements for leaf in statement.leaves}
    return all(opened.leaf in author_leaves for opened in history.entries)


def test_a_withheld_access_is_counted() -> None:
    """Every record that is listed is in the log, which satisfies a naive checker; one of three is not listed."""
    history = without(usual(), 8).history()
    assert naive(history)
    report = report_of(history)
    assert report.outcome is Outcome.INCOMPLETE
    assert [problem.text for problem in report.problems] == [f"1 of 3 missing of what {SLUG} did"]
    assert (about(report, SLUG).did_open.missing, about(report, SLUG).did_open.recorded) == (1, 3)


def test_all_accesses_withheld() -> None:
    """An empty list of accesses is no proof that there was none."""
    report = report_of(without(usual(), 5, 8, 9).history())
    assert [problem.text for problem in report.problems] == [f"3 of 3 missing of what {SLUG} did"]


@pytest.mark.parametrize(("number", "left"), [(4, 8), (11, 8)])
def test_a_withheld_key_share_or_revocation_is_counted(number: int, left: int) -> None:
    """Her own records are as complete as the partners'."""
    report = report_of(without(usual(), number).history())
    assert [problem.text for problem in report.problems] == [f"1 of {left} missing of the person's own records"]


def test_a_grant_that_is_withheld_with_all_its_accesses() -> None:
    """Without the grant nobody asks for its label; but the grant's own record is missed."""
    report = report_of(without(usual(), 2, 3, 4, 5, 8, 9, 11).history())
    assert report.outcome is Outcome.INCOMPLETE
    assert [problem.text for problem in report.problems] == ["4 of 8 missing of the person's own records"]


def test_an_edited_record_is_named() -> None:
    """One message less in an access: the record differs, and nothing counts as missing beside it."""
    report = report_of(exchanged(usual(), 5, lambda it: edited(it, event_ids=["$one"])).history())
    assert report.outcome is Outcome.REJECTED
    assert [(problem.fault, problem.record) for problem in report.problems] == [(Fault.DIFFERS, 5)]
    assert report.problems[0].text.startswith("record 5 (access, 2025-06-15 15:06:45 UTC) differs from what the log")
    assert about(report, SLUG).did_open.accesses == 2


def test_a_leaf_replaced_in_storage_is_found() -> None:
    """The platform's database says another thing than the log it signed: openings, time, person, partner."""
    for change in (
        lambda it: replace(it, o1=it.o2),
        lambda it: replace(it, o2=it.o1),
        lambda it: replace(it, entry={**it.entry, "ts": it.ts + 1}),
        lambda it: replace(it, entry={**it.entry, "partner": OTHER_CLUB}),
        lambda it: replace(it, entry={**it.entry, "person": f"@another:{examples.SERVER}"}),
    ):
        assert problems(exchanged(usual(), 8, change).history()) == [(Fault.DIFFERS, 8)]


def test_an_invented_record_is_named() -> None:
    """One that was never logged, and one that is listed twice."""
    author = usual()
    author.access(1, START + 4 * DAY_MS)
    author.records.append(author.records[4])
    assert problems(author.history()) == [(Fault.DIFFERS, 12), (Fault.DIFFERS, 13)]


def test_a_record_under_a_wrong_label_is_named() -> None:
    """An access under the account's label, or one that the operator made up, lies where nobody would look."""
    for label in (access_label(account_key(LOG_KEY), week_of(START)), bytes(32)):
        author = usual()
        author.access(1, START + 6000, label=label)
        author.close(START + 16 * DAY_MS)
        found = problems(author.history())
        # Under the account's label it is a leaf there that no record of hers opens.
        assert found[0] == (Fault.LABEL, 12)
        assert [fault for fault, _ in found[1:]] == ([Fault.MISSING] if label != bytes(32) else [])


def test_a_record_under_a_wrong_week_is_named() -> None:
    """Re-dating moves a record to another week's label."""
    author = exchanged(usual(), 9, lambda it: replace(it, week=it.week - 1))
    assert problems(author.history()) == [(Fault.LABEL, 9), (Fault.MISSING, None)]


def test_a_week_left_out_is_named() -> None:
    """No statement, no proof: for the account as for a grant, however quiet the week was."""
    history = usual().history()
    for at, who in ((0, None), (1, None), (len(history.statements) - 1, OTHER_CLUB)):
        shown = history.statements[:at] + history.statements[at + 1 :]
        report = report_of(replace(history, statements=shown))
        assert report.outcome is Outcome.INCOMPLETE
        assert [(problem.fault, problem.partner) for problem in report.problems] == [(Fault.UNPROVEN, who)]
        assert "-W" in report.problems[0].text


def test_statements_of_another_place_are_refused() -> None:
    """Each place once and no other: a statement nobody needs would say nothing."""
    author = usual()
    history = author.history()
    for more in (history.statements[0], author.log.statement(bytes(32))):
        with pytest.raises(BadStatement):
            replace(history, statements=(*history.statements, more)).verify(POLICY, now_of(history))


def test_a_statement_that_the_map_does_not_bear_out_is_refused() -> None:
    """A leaf dropped from a statement, and the record with it: the map has counted it."""
    history = usual().history()
    wanted = history.entries[4].leaf
    shown = [replace(it, leaves=tuple(leaf for leaf in it.leaves if leaf != wanted)) for it in history.statements]
    entries = tuple(opened for opened in history.entries if opened.leaf != wanted)
    cheating = replace(history, statements=tuple(shown), entries=entries)
    with pytest.raises(BadStatement):
        cheating.verify(POLICY, now_of(history))
    assert evidence.check(cheating.evidence, POLICY, now_of(history)).outcome is Outcome.REJECTED


def test_a_statement_of_an_older_map_is_refused() -> None:
    """From before an access: true then, and not under this tree."""
    author = usual()
    old = author.history()
    author.access(1, START + 15 * DAY_MS)
    author.close(START + 15 * DAY_MS + 1000)
    new = without(author, 12).history()
    with pytest.raises(BadStatement):
        replace(new, statements=old.statements).verify(POLICY, now_of(new))
    stale = replace(new, statements=old.statements, tree=old.tree)
    assert stale.verify(POLICY, now_of(new)).until == START + 15 * DAY_MS - 60_000


def test_a_map_that_omits_a_leaf_deceives_whoever_asks_only_the_map() -> None:
    """Such a root is wrong from the start: a map auditor replays the leaves and never cosigns it. Nothing else sees it.

    So the verdict says whether an auditor is in the quorum.
    """
    author = usual()
    hidden = leaf_of(author.records[7])
    lying = WitnessedLog(omit=[hidden])
    start = 0
    for size, time in author.log.epochs:
        lying.epoch(author.log.leaves[start : size - 1], time)
        start = size
    author.log = lying
    history = without(author, 8).history()
    assert report_of(history).outcome is Outcome.COMPLETE
    unaudited = policies.parse(policy_text(audited=False))
    found = replace(history, tree=lying.tree_proof(cosigners=WITNESSES)).verify(unaudited, now_of(history))
    assert (found.outcome, found.map_audited) == (Outcome.COMPLETE, False)
    with pytest.raises(Unwitnessed):
        replace(history, tree=lying.tree_proof(cosigners=WITNESSES)).verify(POLICY, now_of(history))


def test_late_integration_is_shown() -> None:
    """An access that came into the log two days after it happened is part of a complete history, and late."""
    author = usual()
    author.access(1, START + 12 * DAY_MS)
    author.close(START + 16 * DAY_MS)
    history = replace(author.history(), late=(author.integration(12),))
    report = report_of(history)
    assert report.outcome is Outcome.COMPLETE
    assert [(late.record, late.ts, late.integrated) for late in report.late] == [
        (12, START + 12 * DAY_MS, START + 16 * DAY_MS)
    ]
    assert report.rendered["late"] == [{"record": 12, "ts": START + 12 * DAY_MS, "integrated": START + 16 * DAY_MS}]


def test_lateness_is_proven_or_refused() -> None:
    """In time, another record's leaf, another epoch, twice, out of the list, of a record that is not in the log."""
    author = usual()
    late = author.access(1, START + 12 * DAY_MS)
    author.close(START + 16 * DAY_MS)
    history, shown = author.history(), author.integration(12)
    in_time, (size, _) = author.integration(8), author.log.epochs[1]
    wrong = [
        (in_time,),
        (replace(in_time, record=12),),
        (replace(shown, record=13),),
        (replace(shown, closing=in_time.closing),),
        (replace(shown, closing=in_time.closing, epoch_leaf=in_time.epoch_leaf),),
        (replace(in_time, closing=shown.closing, epoch_leaf=shown.epoch_leaf),),
        (replace(shown, epoch_leaf=leaf_of(late), closing=shown.leaf),),
        (replace(shown, leaf=replace(shown.leaf, index=size)),),
        (shown, shown),
    ]
    for claim in wrong:
        with pytest.raises(BadStatement):
            replace(history, late=claim).verify(POLICY, now_of(history))
    strange = replace(history, late=(shown,), entries=(*history.entries[:-1], edited(late, event_ids=[])))
    with pytest.raises(BadStatement):
        strange.verify(POLICY, now_of(history))


def resigned(author: Author, number: int, member: str, document: object) -> Author:
    """A platform that logged a record with another document, from the beginning."""
    old = author.records[number - 1]
    author.records[number - 1] = edited(old, **{member: document})
    leaves = [leaf_of(author.records[number - 1]) if leaf == leaf_of(old) else leaf for leaf in author.log.leaves]
    again, start = WitnessedLog(), 0
    for size, time in author.log.epochs:
        again.epoch(leaves[start : size - 1], time)
        start = size
    author.log = again
    return author


def forged_grant(**changes: Any) -> dict[str, Any]:
    """A grant that a device of nobody's signed."""
    document = {key: value for key, value in usual().records[1].body["grant"].items() if key != "signatures"}
    return sign(document | changes, AUTHOR, f"ed25519:{examples.DEVICE}", KEYS.stranger.sign)


def test_forged_documents_are_named() -> None:
    """A grant, an amendment, a device that her identity did not sign: the log holds them, and they bind nobody."""
    amendment = usual().records[9].body["amendment"]
    for number, member, document in (
        (2, "grant", forged_grant()),
        (2, "grant", {"grant_id": grant_id(1)}),
        (2, "chain", {}),
        (10, "amendment", amendment | {"created": 1}),
        (10, "amendment", amendment | {"grant_id": grant_id(1)}),
        (11, "revocation", examples.revocation(grant_id=grant_id(9))),
        (11, "revocation", examples.revocation(grant_id=grant_id(2))),
        (1, "enrolment", examples.enrolment(user_id=f"@another:{examples.SERVER}")),
        (1, "enrolment", examples.enrolment() | {"created": 1}),
        (4, "session", {"room_id": ROOM}),
        (5, "event_ids", "all"),
    ):
        found = problems(resigned(usual(), number, member, document).history())
        assert (Fault.CONTENT, number) in found, (number, member)
        assert {fault for fault, _ in found} == {Fault.CONTENT}


def test_a_second_identity_is_named() -> None:
    """A device under another master key than the first's, and the forged grant that it signs."""
    author = usual()
    stranger = examples.enrolment() | {"master_key": KEYS.stranger.public_key, "signatures": {}}
    stranger = sign(stranger, AUTHOR, KEYS.stranger.key_id, KEYS.stranger.sign)
    author.record("device", START + 11 * DAY_MS, {"enrolment": examples.by_device(stranger)})
    author.close(START + 16 * DAY_MS)
    assert problems(author.history()) == [(Fault.CONTENT, 12)]


def test_keys_are_those_of_the_grants() -> None:
    """Another key, none, one too many; and another account key leads to other labels."""
    history = usual().history()
    other = grant_key(LOG_KEY, grant_id(9))
    assert (Fault.CONTENT, 2) in problems(
        replace(history, grant_keys={grant_id(2): history.grant_keys[grant_id(2)]}, statements=history.statements[:3])
    )
    assert (Fault.CONTENT, None) in problems(replace(history, grant_keys={**history.grant_keys, grant_id(9): other}))
    for keys in ({"account_key": other}, {"grant_keys": {**history.grant_keys, grant_id(1): other}}):
        with pytest.raises(BadStatement):
            replace(history, **keys).verify(POLICY, now_of(history))


def test_a_history_begins_with_an_enrolment() -> None:
    """Without one nobody can tell where to begin."""
    author = usual()
    history = author.history()
    with pytest.raises(BadHistory):
        replace(history, entries=history.entries[1:]).verify(POLICY, now_of(history))


def test_the_tree_must_be_witnessed() -> None:
    """No quorum, no verdict."""
    author = usual()
    history = replace(author.history(), tree=author.log.tree_proof(cosigners=WITNESSES[:2]))
    with pytest.raises(Unwitnessed):
        history.verify(POLICY, 2**40)
    assert evidence.check(history.evidence, POLICY, 2**40).outcome is Outcome.REJECTED


def test_labels_wanted_are_bounded() -> None:
    """An enrolment of 1970 and many grants would want more statements than a history may have."""
    author = Author()
    author.enrol(0)
    for number in range(30):
        author.grant(number, 1000)
    keys = {grant_id(number): bytes(32) for number in range(30)}
    with pytest.raises(BadHistory):
        labels_wanted(author.records, bytes(32), keys, 4_000_000_000_000)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("person", "author"),
        ("person", 1),
        ("tree", {}),
        ("account_key", "short"),
        ("grant_keys", []),
        ("grant_keys", {"gr_1": "A" * 43}),
        ("grant_keys", {grant_id(1): 1}),
        ("entries", {}),
        ("entries", [{}]),
        ("entries", [None]),
        ("statements", None),
        ("statements", [1]),
        ("late", [{}]),
        ("late", {}),
        ("more", 1),
    ],
)
def test_other_members_are_refused(member: str, value: object) -> None:
    """Each member has one type, one form and a bound."""
    document = envelope.read(usual().history().evidence) | {member: value}
    with pytest.raises(MalformedEvidence):
        History.parse(document)


def entry_with(**changes: Any) -> dict[str, Any]:
    """A record as it stands in a file, with changes in the entry."""
    shown = usual().records[4].rendered
    return {**shown, "entry": {**shown["entry"], **changes}}


@pytest.mark.parametrize(
    "record",
    [
        entry_with(day="2025-06-16"),
        entry_with(ts=-1),
        entry_with(ts=250_000_000_000_000),
        entry_with(ts="1"),
        entry_with(kind="unheard-of"),
        entry_with(body=[]),
        entry_with(person="@app-film-club:example.org"),
        entry_with(partner="platform"),
        entry_with(more=1),
        usual().records[4].rendered | {"week": 65_535},
        usual().records[4].rendered | {"o1": "AA"},
        usual().records[4].rendered | {"label": None},
        usual().records[4].rendered | {"seq": 1},
    ],
)
def test_other_records_are_refused(record: dict[str, Any]) -> None:
    """A record is an entry of the protocol, with all that opens its leaf."""
    with pytest.raises(MalformedEvidence):
        OpenedEntry.parse(record)


def test_the_file_has_one_form() -> None:
    """What is written is read back as the same history."""
    history = usual().history()
    again = History.parse(envelope.read(history.evidence))
    assert again.evidence == history.evidence
    assert isinstance(again.statements[0], KeyStatement)
    assert again.verify(POLICY, now_of(history)).rendered == history.verify(POLICY, now_of(history)).rendered
    with pytest.raises(LogError):
        envelope.read(history.evidence + b" ")


def small() -> History:
    """A history of everything once, a late access included, in few bytes."""
    author = Author()
    author.enrol()
    author.grant(1, START + 1000)
    author.share(1, START + 2000, "session one")
    author.close(START + 3000)
    author.access(1, START + 5000)
    author.close(START + DAY_MS // 4)
    return replace(author.history(), late=(author.integration(4),))


def survivors(data: bytes, bits: range) -> list[int]:
    """The bits that may be flipped without the file being rejected."""
    now, found = now_of(small()), []
    for bit in bits:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        if evidence.check(bytes(damaged), POLICY, now).outcome is not Outcome.REJECTED:
            found.append(bit)
    return found


def test_one_flipped_bit_is_noticed() -> None:
    """Wherever it is: in every fifth byte or so."""
    history = small()
    data = history.evidence
    assert evidence.check(data, POLICY, now_of(history)).outcome is Outcome.COMPLETE
    assert survivors(data, range(0, 8 * len(data), 41)) == []


@pytest.mark.slow
def test_every_flipped_byte_is_noticed() -> None:
    """Each byte at some bit of it (all bits were tried as well: five times the time)."""
    data = small().evidence
    assert survivors(data, range(0, 8 * len(data), 7)) == []
