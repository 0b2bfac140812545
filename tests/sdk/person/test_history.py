"""A person's device collects her history from platforms that are honest, forgetful, slow or lying."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest

from paraph.audit import evidence
from paraph.audit.history_report import Fault
from paraph.audit.opened import OpenedEntry
from paraph.audit.verdict import Outcome
from paraph.protocol.base64 import b64url
from paraph.protocol.entry import access_label, account_key, epoch_leaf, week_of
from paraph.protocol.limits import DAY_MS
from paraph.sdk.errors import ForkDetectedError, LogError, SdkError
from paraph.sdk.keystore import MemoryStore, Records
from paraph.sdk.log.view import LogView
from paraph.sdk.person.history import Collector, History, Self, fork_evidence
from paraph.sdk.transport import Transport
from paraph.tlog.merkle import leaf_hash
from paraph.tlog.tiles import ENTRIES, Edge, encode_entries, new_bundles
from tests.audit.author import START, Author, edited, usual
from tests.audit.logs import private
from tests.audit.witnessed import COSIGNERS, LOG, POLICY, STRANGER, policy_text
from tests.protocol.examples import AUTHOR, KEYS, LOG_KEY, SLUG


class Site:
    """The platform of an author's: its log, its map, and the list of her entries."""

    def __init__(self, author: Author) -> None:
        self.author = author
        self.requests: list[str] = []
        self.most = 64
        self.indexes: dict[int, int] = {}

    @property
    def now(self) -> int:
        """A second after the newest epoch, in milliseconds."""
        return self.author.log.epochs[-1][1] + 1000

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.requests.append(path)
        if path == "/_paraph/v1/entries":
            return self._entries(int(request.url.params["from"]), int(request.url.params["limit"]))
        if path == "/_paraph/v1/log/map":
            return self._map(json.loads(request.content))
        data = self._file(path.removeprefix("/log/"))
        missing = {"errcode": "M_NOT_FOUND", "error": "not published"}
        return httpx.Response(404, json=missing) if data is None else httpx.Response(200, content=data)

    def _entries(self, start: int, limit: int) -> httpx.Response:
        found = [{"seq": seq, **one.rendered} for seq, one in enumerate(self.author.records, start=1) if seq >= start]
        page = found[:limit]
        return httpx.Response(200, json={"entries": page, "next": page[-1]["seq"] + 1 if page else start})

    def _map(self, asked: dict[str, Any]) -> httpx.Response:
        if len(asked["keys"]) > self.most:
            return httpx.Response(413, json={"errcode": "M_TOO_LARGE", "error": "ask for fewer"})
        answers = [self._answer(bytes.fromhex(key)) for key in asked["keys"]]
        return httpx.Response(200, json={"size": asked["size"], "epoch": {}, "answers": answers})

    def _answer(self, key: bytes) -> dict[str, Any]:
        statement = self.author.log.statement(key)
        places = {leaf_hash(leaf): index for index, leaf in enumerate(self.author.log.leaves)}
        indexes = [self.indexes.get(places[leaf], places[leaf]) for leaf in statement.leaves]
        return {**statement.rendered, "count": len(indexes), "leaf_indexes": indexes}

    def _file(self, path: str) -> bytes | None:
        if path == "checkpoint":
            return self.author.log.checkpoint(cosigners=(*COSIGNERS, STRANGER))
        files = {tile.path: data for tile, data in Edge().append(map(leaf_hash, self.author.log.leaves)).items()}
        for bundle in new_bundles(0, len(self.author.log.leaves)):
            leaves = self.author.log.leaves[bundle.index * 256 :][: bundle.width]
            files[bundle.path] = encode_entries(leaves)
            assert bundle.level == ENTRIES
        return files.get(path)


class Device:
    """A device of the author's that reads a site."""

    def __init__(self, site: Site, **known: Any) -> None:
        self.site = site
        self.records = Records(MemoryStore())
        client = httpx.AsyncClient(transport=httpx.MockTransport(site))
        self.transport = Transport("http://platform", client=client, sleep=_no_wait)
        enrolment = site.author.records[0].body["enrolment"]
        mine = {"user_id": AUTHOR, "log_key": LOG_KEY, "master_key": KEYS.master.public_key, "enrolment": enrolment}
        self.known = Self(**(mine | known))
        text = policy_text().decode()
        self.view = LogView(self.transport, self.records, LOG.vkey, text, lambda: self.site.now)

    async def history(self) -> History:
        """Her history now."""
        return await Collector(self.transport, self.records, self.view, self.known).collect(self.site.now)


async def _no_wait(_seconds: float) -> None:
    return None


async def history_of(author: Author) -> History:
    """What a fresh device makes of it."""
    return await Device(Site(author)).history()


async def test_an_honest_platform() -> None:
    """The list is complete, and a stranger who gets the file comes to the same verdict offline."""
    site = Site(usual())
    history = await Device(site).history()
    assert history.complete
    assert history.pending == ()
    assert [one.kind for one in history.records] == [one.kind for one in site.author.records]
    verdict = evidence.check(history.evidence(), POLICY, site.now // 1000)
    assert verdict.outcome is Outcome.COMPLETE
    assert verdict.details == history.report.rendered


async def test_k_does_not_leave_the_device() -> None:
    """The file has the keys of the labels, and not the key that makes keys for all grants to come."""
    shown = (await history_of(usual())).evidence()
    assert b64url(account_key(LOG_KEY)).encode() in shown
    assert b64url(LOG_KEY).encode() not in shown


async def test_a_list_in_pages_and_a_map_that_answers_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the platform's bounds are, all of it is asked for."""
    monkeypatch.setattr("paraph.sdk.person.history.PAGE", 4)
    site = Site(usual())
    site.most = 3
    history = await Device(site).history()
    assert history.complete
    assert len(history.records) == 11


@pytest.mark.parametrize(
    ("number", "text"),
    [(8, f"1 of 3 missing of what {SLUG} did"), (4, "1 of 8 missing of the person's own records")],
)
async def test_a_withheld_record_is_counted(number: int, text: str) -> None:
    """An access, a key given away: the list has all but one, and each one in it is right."""
    author = usual()
    del author.records[number - 1]
    history = await history_of(author)
    assert [problem.text for problem in history.report.problems] == [text]
    assert history.report.outcome is Outcome.INCOMPLETE


async def test_an_edited_record_is_named() -> None:
    """The platform's table was changed after the log was signed."""
    author = usual()
    author.records[7] = edited(author.records[7], event_ids=["$two"])
    history = await history_of(author)
    assert [(problem.fault, problem.record) for problem in history.report.problems] == [(Fault.DIFFERS, 8)]
    assert evidence.check(history.evidence(), POLICY, 2**40).outcome is Outcome.REJECTED


async def test_a_record_under_a_wrong_label_is_named() -> None:
    """Where her devices would not look for it."""
    author = usual()
    author.access(1, START + 15 * DAY_MS, label=access_label(bytes(32), week_of(START + 15 * DAY_MS)))
    author.close(START + 15 * DAY_MS + 1000)
    history = await history_of(author)
    assert [(problem.fault, problem.record) for problem in history.report.problems] == [(Fault.LABEL, 12)]


async def test_an_unreadable_record_is_named() -> None:
    """And its leaf is missed."""
    author = usual()
    author.records[7] = OpenedEntry({**author.records[7].entry, "kind": "other"}, b"1" * 32, b"1" * 32, b"1" * 32, 1)
    report = (await history_of(author)).report
    assert [problem.fault for problem in report.problems] == [Fault.MISSING, Fault.DIFFERS]
    assert "seq 8" in report.problems[1].text


async def test_what_came_into_the_log_late_is_shown() -> None:
    """Two days after it happened; the others came in time. What is known of a record is not looked up again."""
    author = usual()
    author.access(1, START + 16 * DAY_MS)
    author.waiting += [private(number) for number in range(600)]  # so that bundles lie in between
    author.close(START + 18 * DAY_MS)
    device = Device(Site(author))
    for _ in range(2):
        history = await device.history()
        assert history.complete
        assert [(late.record, late.integrated) for late in history.report.late] == [(12, START + 18 * DAY_MS)]
        assert evidence.check(history.evidence(), POLICY, 2**40).details["late"] == history.report.rendered["late"]
    asked = device.site.requests.count("/_paraph/v1/log/map")
    await device.history()
    assert device.site.requests.count("/_paraph/v1/log/map") == asked + 1


async def test_lateness_cannot_be_hidden() -> None:
    """A platform that names another leaf's place, or one beyond the log, is refused."""
    for place in (5, 10**6):
        author = usual()
        author.access(1, START + 16 * DAY_MS)
        author.close(START + 18 * DAY_MS)
        site = Site(author)
        site.indexes[len(author.log.leaves) - 2] = place
        with pytest.raises(LogError, match="leaf"):
            await Device(site).history()


async def test_records_of_the_last_minute_are_pending() -> None:
    """Promised and not proven: shown, and not part of the evidence. A minute later it would be a record that is not in
    the log."""
    author = usual()
    end = author.log.epochs[-1][1]
    author.access(1, end - 30_000)
    history = await history_of(author)
    assert history.complete
    assert [one.ts for one in history.pending] == [end - 30_000]
    assert evidence.check(history.evidence(), POLICY, 2**40).outcome is Outcome.COMPLETE
    author.records[-1] = replace(author.records[-1], entry=usual().records[4].entry)
    assert [problem.fault for problem in (await history_of(author)).report.problems] == [Fault.LABEL]


async def test_an_edited_record_is_no_newcomer() -> None:
    """Also in its first minute: the log holds a leaf there that nothing opens."""
    author = usual()
    end = author.log.epochs[-1][1]
    author.access(1, end + 5000)
    author.close(end + 10_000)
    author.access(1, end + 8000)
    author.records[11] = edited(author.records[11], event_ids=[])
    history = await history_of(author)
    assert [(problem.fault, problem.record) for problem in history.report.problems] == [(Fault.DIFFERS, 12)]
    assert [one.ts for one in history.pending] == [end + 8000]


async def test_what_only_her_device_can_tell() -> None:
    """Its own enrolment left out with all that is before, another identity, another account log key."""
    author = usual()
    author.enrol(START + 8 * DAY_MS)
    author.close(START + 15 * DAY_MS + 1)
    site = Site(author)
    other = Device(site, enrolment={"type": "another"})
    assert [problem.text for problem in (await other.history()).report.problems] == [
        "this device's own enrolment is missing"
    ]
    stranger = Device(site, master_key=KEYS.stranger.public_key)
    assert [problem.fault for problem in (await stranger.history()).report.problems] == [Fault.CONTENT]
    lost = Device(site, log_key=bytes(32))
    assert (await lost.history()).report.outcome is Outcome.REJECTED


async def test_a_platform_that_lists_nothing() -> None:
    """Is no proof of anything."""
    author = usual()
    device = Device(Site(author))
    author.records.clear()
    with pytest.raises(LogError):
        await device.history()


async def test_a_log_that_cannot_be_relied_upon() -> None:
    """A stale tree, a log without a policy, an epoch without a map: no history is claimed."""
    stale = Device(Site(usual()))
    stale.view = LogView(stale.transport, stale.records, LOG.vkey, policy_text().decode(), lambda: 2 * START)
    bare = Device(Site(usual()))
    bare.view = LogView(bare.transport, bare.records, LOG.vkey, None, lambda: bare.site.now)
    unmapped = Device(Site(usual()))
    unmapped.site.author.log.leaves[-1] = epoch_leaf(4, 15, None, unmapped.site.now - 1000)
    for device in (stale, bare, unmapped):
        with pytest.raises(SdkError):
            await device.history()


async def test_a_fork_is_evidence() -> None:
    """A log that takes back what it signed: no history, but a file that shows what it did."""
    device = Device(Site(usual()))
    assert fork_evidence(device.view) is None
    await device.history()
    other = usual()
    other.log.leaves[3] = private(3)
    device.site.author = other.close(START + 15 * DAY_MS + 1)
    with pytest.raises(ForkDetectedError):
        await device.history()
    verdict = evidence.check(fork_evidence(device.view) or b"", POLICY, 2**40)
    assert (verdict.kind, verdict.outcome) == ("fork", Outcome.PROVEN)
