"""The log explorer on a real platform: every page, its twin in JSON, its headers, and the files that prove a record."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from typer.testing import CliRunner

from paraph.cli.main import app
from paraph.protocol.base64 import b64url
from paraph.protocol.entry import parse_leaf
from paraph.server.http.limits import Limiter
from paraph.tlog import note, proof
from paraph.tlog.merkle import leaf_hash
from tests.server.web.reading import Page, read
from tests.server.web.support import HOSTILE, LONG, SECOND, TURNED, Explored, furnish, platform
from tests.support.databases import runs_writes_once

ROOT = "/explore"
PAGES = ["", "/partners", "/partners/marquee", "/partners/marquee/agreements/2", "/platform", "/witnesses", "/records"]


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Explored]:
    """A platform without witnesses and with something in its log."""
    async with platform(tmp_path) as running:
        await furnish(running)
        yield running


async def page(here: Explored, path: str, status: int = 200) -> Page:
    """Get a page and read it strictly."""
    return read((await here.get(path, status)).text)


async def test_every_link_of_every_page_leads_somewhere(here: Explored) -> None:
    """From the start page, all pages can be reached; each is well formed, and none leads to a failure."""
    start = await here.get("/", 303)
    left, seen, pages = [start.headers["location"]], set[str](), 0
    while left:
        url = left.pop()
        if url in seen:
            continue
        seen.add(url)
        answer = await here.http.get(url)
        assert answer.status_code in (200, 303), (url, answer.status_code)
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        pages += 1
        found = read(answer.text)
        for link in found.links:
            target = urlsplit(urljoin(url, link))
            if target.scheme == "data":
                continue
            assert target.netloc in ("", urlsplit(str(here.http.base_url)).netloc), link
            assert not target.fragment or target.path != urlsplit(url).path or target.fragment in found.ids, link
            left.append(target._replace(fragment="", scheme="", netloc="").geturl())
    size = (await here.json(ROOT))["counts"]["size"]
    assert pages > size + 10, "every record of the log and every other page"
    for path in PAGES:
        assert f"{ROOT}{path}" in seen
        assert f"{ROOT}{path}.json" in seen


@runs_writes_once
async def test_both_databases_give_the_same_pages(tmp_path: Path, dialect: str) -> None:
    """Counts, lists, versions and single records come from SQLite and from PostgreSQL alike."""
    async with platform(tmp_path) as here:
        await furnish(here)
        view = await here.json(ROOT)
        assert view["counts"]["public"]["agreement"] == 5
        assert view["counts"]["private"] == 1
        await here.integrated(await here.record("notice", "umbra", {"text": "one more"}))
        assert (await here.json(ROOT))["counts"]["public"]["notice"] == view["counts"]["public"]["notice"] + 1
        for path in [*PAGES, f"/records/{here.hashes['private']}", "/partners/tempo", "/leaves/1"]:
            await page(here, f"{ROOT}{path}")
            await here.json(f"{ROOT}{path}")


async def test_the_start_page_counts_what_is_in_the_log(here: Explored) -> None:
    """Public records by kind, private and closing ones add up to the checkpoint's size, as a count of the leaves."""
    view = await here.json(ROOT)
    size = view["checkpoint"]["size"]
    leaves = [parse_leaf((await here.get(f"{ROOT}/leaves/{index}.leaf")).content) for index in range(size)]
    kinds = [type(leaf).__name__ for leaf in leaves]
    counts = view["counts"]
    assert counts["size"] == size
    assert counts["private"] == kinds.count("PrivateLeaf") == 1
    assert counts["epochs"] == kinds.count("EpochLeaf")
    assert sum(counts["public"].values()) == kinds.count("PublicLeaf")
    assert counts["public"]["agreement"] == 5
    text = (await page(here, ROOT)).text
    assert view["checkpoint"]["root"] in text
    assert view["verify"][0] in text
    assert here.server.ledger.vkey in view["verify"][0]


async def test_without_witnesses_it_says_so(here: Explored) -> None:
    """A plain warning on the start page and the page of witnesses; nobody is said to have cosigned."""
    for path in (ROOT, f"{ROOT}/witnesses"):
        found = await page(here, path)
        assert "Please note" in found.text
        assert "no witnesses" in found.text
    assert (await here.json(ROOT))["checkpoint"]["cosigned"] is None
    await page(here, f"{ROOT}/log.policy", 404)


async def test_partners_show_where_they_stand(here: Explored) -> None:
    """In force, ended, not begun, none: in the register and on each partner's page, in both forms."""
    states = {"marquee": "in_force", "tempo": "ended", "umbra": "none", "later": "not_begun"}
    view = await here.json(f"{ROOT}/partners")
    assert {partner["slug"]: partner["state"] for partner in view["partners"]} == states
    text = (await page(here, f"{ROOT}/partners")).text
    for slug, state in states.items():
        assert (await here.json(f"{ROOT}/partners/{slug}"))["state"] == state
        assert slug in text
    assert "Tempo & Söhne <b>" in text
    marquee = await here.json(f"{ROOT}/partners/marquee")
    assert marquee["master_key"] == here.partners["marquee"].master_key
    assert [one["state"] for one in marquee["agreements"]] == ["in_force", "replaced"]
    assert [device["state"] for device in marquee["devices"]] == ["ended"]
    assert len(marquee["others"]) == 4
    assert [one["kind"] for one in marquee["timeline"]["records"]][-2:] == ["agreement", "agreement"]
    tempo = await here.json(f"{ROOT}/partners/tempo")
    assert [one["ended"]["reason"] for one in tempo["agreements"]] == ["The contract is over."] * 2
    assert tempo["agreements"][0]["ended"]["by"] == ["operator"]
    shown = (await page(here, f"{ROOT}/partners/tempo")).text
    assert "The contract is over." in shown
    announced = (await page(here, f"{ROOT}/partners/later/agreements/1")).text
    assert "not in force yet, in force from" in announced


async def test_an_agreement_is_shown_whole_with_what_it_changed(here: Explored) -> None:
    """Every value of the document is on the page; added and removed items and words stand in the differences."""
    view = await here.json(f"{ROOT}/partners/marquee/agreements/2")
    found = await page(here, f"{ROOT}/partners/marquee/agreements/2")
    for value in [*SECOND["ties"], *SECOND["purposes"], *SECOND["verbs"], *SECOND["limits"], SECOND["reason"]]:
        assert value in found.text
    assert "50,000" in found.text
    assert view["signatures"]["verified"] is True
    for one in view["signatures"]["by"]:
        assert one["signature"]
        assert one["signature"] in found.text
    changes = {change["field"]: change for change in view["differences"]}
    assert changes["purposes"]["items_added"] == ["reminders"]
    assert changes["verbs"]["items_added"] == ["metadata", "write:draft"]
    assert (changes["max_retention_days"]["before"], changes["max_retention_days"]["after"]) == (30, 14)
    assert changes["limits.drafts_per_day"] == {"field": "limits.drafts_per_day", "change": "added", "after": 100}
    assert {run["change"] for run in changes["consideration.partner"]["words"]} == {"same", "removed", "added"}
    assert not {"version", "predecessor", "signatures", "partner", "name"} & changes.keys()
    assert found.count("ins") > 3
    assert found.count("del") > 1
    first = await here.json(f"{ROOT}/partners/marquee/agreements/1")
    assert first["differences"] is None
    assert first["successor"] == f"{ROOT}/partners/marquee/agreements/2"
    assert view["document"]["predecessor"] == first["hash"]


async def test_pages_and_their_twins_say_the_same(here: Explored) -> None:
    """Every text, hash and key of the JSON stands on the page beside it."""
    record = f"/records/{here.hashes['report']}"
    for path in [*PAGES, record, "/leaves/0"]:
        view = (await here.get(f"{ROOT}{path}.json")).json()
        html = await here.get(f"{ROOT}{path}")
        alternate = [one for one in read(html.text).attributes("link") if one.get("rel") == "alternate"]
        assert [one["href"] for one in alternate] == [f"{ROOT}{path}.json"]
        found = read(html.text)
        haystack = found.text + " ".join(found.links)
        for name, value in _texts(view):
            assert value in haystack, (path, name, value)


INNER = ("state", "change", "field", "sort", "kind", "slug", "partner", "side", "by", "bundle", "type", "party")
"""Members that the page says in other words."""


def _texts(value: object, name: str = "") -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [found for key, held in value.items() for found in _texts(held, key)]
    if isinstance(value, list):
        return [found for held in value for found in _texts(held, name)]
    if isinstance(value, str) and name not in INNER and name not in ("url", "note", "leaf_hash", "key_id", "text"):
        return [(name, value)]
    return []


async def test_what_strangers_wrote_is_shown_and_never_obeyed(here: Explored) -> None:
    """Markup in names and texts is text; characters that turn the writing are named; long texts are whole."""
    hostile = await here.get(f"{ROOT}/records/{here.hashes['hostile']}")
    found = read(hostile.text)  # which refuses scripts, handlers and attributes that are there twice
    assert HOSTILE in found.text
    assert not found.attributes("img")
    turned = await here.get(f"{ROOT}/records/{here.hashes['turned']}")
    assert not set("\u202e\u2066\u200b") & set(turned.text)
    assert "[U+202E]" in turned.text
    assert "approved " in read(turned.text).text
    assert (await here.json(f"{ROOT}/records/{here.hashes['turned']}"))["content"]["document"]["text"] == TURNED
    assert LONG in (await page(here, f"{ROOT}/records/{here.hashes['long']}")).text
    name = await here.get(f"{ROOT}/partners/tempo")
    assert "<b>" not in name.text.partition("<main")[2]


async def test_a_proof_is_checked_with_the_logs_key_alone(here: Explored, tmp_path: Path) -> None:
    """The two files of a record verify in the library and with the command that the page names; changed ones do not."""
    log = note.Verifier.from_vkey(here.server.ledger.vkey)
    view = await here.json(ROOT)
    epoch = f"/leaves/{view['checkpoint']['size'] - 1}"
    for path in [*(f"/records/{here.hashes[name]}" for name in ("report", "private")), "/leaves/3", epoch]:
        leaf = (await here.get(f"{ROOT}{path}.leaf")).content
        bundle = await here.get(f"{ROOT}{path}.tlog-proof")
        signed = proof.parse(bundle.content).verify(leaf_hash(leaf), log)
        assert signed.checkpoint.origin == "localhost/log"
        assert ".tlog-proof" in bundle.headers["content-disposition"]
        record, file = tmp_path / "a.leaf", tmp_path / "a.tlog-proof"
        record.write_bytes(leaf)
        file.write_bytes(bundle.content)
        command = ["log", "proof", str(record), str(file), "--key", here.server.ledger.vkey]
        assert CliRunner().invoke(app, command).exit_code == 0
        record.write_bytes(leaf + b"x")
        refused = CliRunner().invoke(app, [*command, "--json"])
        assert refused.exit_code == 1
        assert json.loads(refused.stdout)["verified"] is False
    report = await here.json(f"{ROOT}/records/{here.hashes['report']}")
    assert report["proof"]["check"][-1].startswith("paraph log proof ")


async def test_a_record_that_waits_says_so(here: Explored) -> None:
    """Recorded and not yet in the log: its content, when it has to be there, and no proof; then all of it."""
    await here.server.ledger.stop()  # nothing is sequenced any more
    waiting = await here.record("notice", "marquee", {"type": "org.example.notice", "text": "soon"})
    view = await here.json(f"{ROOT}/records/{waiting}")
    assert (view["index"], view["proof"]) == (None, None)
    assert view["deadline"] == view["content"]["ts"] + 60_000
    found = await page(here, f"{ROOT}/records/{waiting}")
    assert "waits for the log" in found.text
    assert "soon" in found.text
    await page(here, f"{ROOT}/records/{waiting}.tlog-proof", 404)
    assert (await here.json(ROOT))["counts"]["waiting"] == 1
    assert (await here.json(f"{ROOT}/partners/marquee"))["timeline"]["records"][0]["index"] is None
    await page(here, f"{ROOT}/partners/marquee")


async def test_private_records_say_what_they_say_and_no_more(here: Explored) -> None:
    """Week, label and commitment; neither a person nor a kind."""
    view = await here.json(f"{ROOT}/records/{here.hashes['private']}")
    assert view["content"].keys() == {"week", "week_begins", "week_ends", "label", "commitment"}
    assert view["content"]["week_begins"] <= time.time() * 1000 <= view["content"]["week_ends"]
    found = await page(here, f"{ROOT}/leaves/{view['index']}")
    assert view["content"]["label"] in found.text
    assert view["content"]["commitment"] in found.text
    assert "@author" not in found.text
    assert "export" not in found.text


async def test_lists_are_bounded_and_go_on(here: Explored) -> None:
    """A page holds fifty records; following `next` shows each exactly once, newest first."""
    for number in range(60):
        await here.record("notice", "umbra", {"text": f"notice {number}"})
    seen: list[str] = []
    url: str | None = f"{ROOT}/records.json?about=umbra&kind=notice"
    while url is not None:
        view = (await here.get(url)).json()
        assert len(view["records"]) <= 50
        seen += [record["leaf_hash"] for record in view["records"]]
        url = f"{ROOT}/records.json?about=umbra&kind=notice&before={view['next']}" if view["next"] else None
    assert len(seen) == len(set(seen)) == 60
    partner = await here.json(f"{ROOT}/partners/umbra")
    assert len(partner["others"]) == 50
    html = (await here.get(f"{ROOT}/partners/umbra")).text
    following = f"{ROOT}/records?about=umbra&before={partner['timeline']['next']}"
    assert following in read(html).links
    older = await here.get(following)
    twin = f"{ROOT}/records.json?about=umbra&before={partner['timeline']['next']}"
    assert twin in read(older.text).links
    assert (await here.get(twin)).json()["records"]
    assert len((await here.get(f"{ROOT}/records.json")).json()["records"]) == 50


async def test_builds_show_what_changed(here: Explored) -> None:
    """Each build of the platform beside the one before, newest first."""
    view = await here.json(f"{ROOT}/platform")
    newest, first = view["builds"]
    assert newest["record"]["leaf_hash"] == here.hashes["build"]
    assert first["differences"] is None
    fields = {change["field"]: change["change"] for change in newest["differences"]}
    assert fields["version"] == "changed"
    assert fields["operator_key"] == "removed"
    assert [record["leaf_hash"] for record in view["acts"]] == [here.hashes["admin"]]
    assert [record["title"] for record in view["consent_texts"]] == ["Consent text paraph-grant-1 (en)"]
    assert "pages" in [limit["name"] for limit in view["limits"]]


async def test_headers_keep_a_page_to_itself(here: Explored) -> None:
    """No script, nothing from elsewhere, no frame, no referrer, no guessing of types; on errors too."""
    proof_url = f"/records/{here.hashes['report']}.tlog-proof"
    for path, status in [(ROOT, 200), (f"{ROOT}.json", 200), (f"{ROOT}/nothing", 404), (f"{ROOT}{proof_url}", 200)]:
        headers = (await here.get(path, status)).headers
        policy = headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "style-src 'self'", "img-src 'self' data:", "frame-ancestors 'none'"} <= set(
            policy
        )
        assert not any("unsafe" in part or "script-src" in part for part in policy)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


async def test_what_never_changes_is_kept_and_the_rest_is_asked_for_again(here: Explored) -> None:
    """The style sheet and a record's bytes are immutable; pages are revalidated, and not sent twice if the same."""
    start = read((await here.get(ROOT)).text)
    style = next(str(one["href"]) for one in start.attributes("link") if one.get("rel") == "stylesheet")
    sheet = await here.get(style)
    assert sheet.headers["content-type"] == "text/css; charset=utf-8"
    assert "immutable" in sheet.headers["cache-control"]
    await here.get(f"{ROOT}/static/style-0000000000000000.css", 404)
    record = f"{ROOT}/records/{here.hashes['report']}"
    assert "immutable" in (await here.get(f"{record}.leaf")).headers["cache-control"]
    first = await here.get(f"{record}.tlog-proof")
    assert first.headers["cache-control"] == "no-cache"
    again = await here.get(f"{record}.tlog-proof", 304, if_none_match=first.headers["etag"])
    assert again.content == b""
    assert "content-length" not in again.headers
    await here.get(f"{record}.tlog-proof", 200, if_none_match='"other"')


NOWHERE = [
    "/nothing",
    "/partners/nobody",
    "/partners/Not%20a%20slug",
    "/partners/umbra/agreements/1",
    "/partners/marquee/agreements/3",
    "/partners/marquee/agreements/0",
    "/partners/marquee/agreements/01",
    "/partners/marquee/agreements/1%F0%9F%92%A9",
    "/partners/marquee.html",
    "/partners/marquee.json.",
    "/records/" + "0" * 64,
    "/records/short",
    "/records?kind=agreement",
    "/records?about=..%2F..&kind=agreement",
    "/records?about=marquee&kind=private",
    "/records?before=zz",
    "/records?before=" + "0" * 64,
    "/platform?before=x",
    "/leaves/999999999",
    "/leaves/-1",
    "/leaves/99999999999999999999999",
    "/find?q=%3Cscript%3E",
    "/find",
    "/static/..%2Fstyle.css",
]


async def test_what_is_not_there_is_a_readable_page(here: Explored) -> None:
    """A status of 404 with a page that says so; what was asked for is not repeated as markup."""
    for path in NOWHERE:
        assert "There is no such page" in (await page(here, f"{ROOT}{path}", 404)).text, path


async def test_errors_of_twins_are_problem_details(here: Explored) -> None:
    """RFC 9457 beside the pages, with the same status."""
    for path in ("/partners/nobody.json", "/nothing.json", f"/records/{'0' * 64}.json"):
        answer = await here.get(f"{ROOT}{path}", 404)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 404
    refused = await here.http.post(ROOT)
    assert refused.status_code == 405
    read(refused.text)


async def test_find_leads_to_the_record(here: Explored) -> None:
    """A number, a leaf hash in hex, or in base64url as receipts name it."""
    wanted = here.hashes["report"]
    for text in (wanted, wanted.upper(), b64url(bytes.fromhex(wanted)), f" {wanted} "):
        answer = await here.http.get(f"{ROOT}/find", params={"q": text})
        assert (answer.status_code, answer.headers["location"]) == (303, f"{ROOT}/records/{wanted}")
    assert (await here.http.get(f"{ROOT}/find?q=7")).headers["location"] == f"{ROOT}/leaves/7"


async def test_pages_are_limited_per_address(here: Explored) -> None:
    """Their own row of the table; the refusal is a page as well."""
    here.server.application._limiter = Limiter(lambda: 0.0)
    answers = [(await here.http.get(f"{ROOT}/log.policy")).status_code for _ in range(102)]
    assert answers[:100] == [404] * 100
    assert answers[100:] == [429] * 2
    refused = await here.get(ROOT, 429)
    assert "Too many requests" in read(refused.text).text
    assert refused.headers["retry-after"]


async def test_no_token_changes_a_page(here: Explored) -> None:
    """Anyone's token, or a wrong one, gets what nobody's gets."""
    for token in ("Bearer nonsense", here.operator["Authorization"]):
        await here.get(ROOT, 200, authorization=token)


async def test_witnesses_are_shown_with_what_they_cosigned(tmp_path: Path) -> None:
    """Policy, groups, keys and times; the proof satisfies the policy, with the command that the page names."""
    async with platform(tmp_path, witnessed=True) as here:
        await furnish(here)
        assert here.witnesses is not None
        view = await here.json(f"{ROOT}/witnesses")
        assert view["policy"] == (tmp_path / "policy").read_text()
        assert view["checkpoint"]["cosigned"]["fresh"] is True
        assert view["groups"] == [{"name": "majority", "threshold": 2, "members": ["w0", "w1", "w2"]}]
        assert sum(one["cosigned"] is not None for one in view["witnesses"]) >= 2
        assert view["warnings"] == []
        for path in PAGES:
            assert "Please note" not in (await page(here, f"{ROOT}{path}")).text
        record = f"{ROOT}/records/{here.hashes['report']}"
        for suffix in ("leaf", "tlog-proof"):
            (tmp_path / f"r.{suffix}").write_bytes((await here.get(f"{record}.{suffix}")).content)
        (tmp_path / "log.policy").write_bytes((await here.get(f"{ROOT}/log.policy")).content)
        bundle = proof.parse((tmp_path / "r.tlog-proof").read_bytes())
        assert here.witnesses.check(bundle.checkpoint, int(time.time()), 600).checkpoint.size > bundle.index
        files = [str(tmp_path / f"r.{suffix}") for suffix in ("leaf", "tlog-proof")]
        command = ["log", "proof", *files, "--key", here.server.ledger.vkey, "--policy", str(tmp_path / "log.policy")]
        done = CliRunner().invoke(app, [*command, "--json"])
        assert done.exit_code == 0, done.output
        assert len(json.loads(done.stdout)["cosigned"]["by"]) >= 2
        here.server.explorer.clock = lambda: int(time.time() * 1000) + 700_000
        late = await here.json(ROOT)
        assert late["checkpoint"]["cosigned"]["fresh"] is False
        assert len(late["warnings"]) == 2
        assert "too old" in (await page(here, ROOT)).text


async def test_a_log_without_a_checkpoint_has_all_pages(tmp_path: Path) -> None:
    """Witnesses that do not answer: nothing is published, and every page says what there is."""
    async with platform(tmp_path, witnessed=True, answering=False) as here:
        await here.add_partner("marquee", "Marquee", {})
        waiting = await here.record("notice", "marquee", {"text": "soon"})
        for path in [path.replace("/2", "/1") for path in PAGES] + [f"/records/{waiting}"]:
            await page(here, f"{ROOT}{path}")
            await here.json(f"{ROOT}{path}")
        view = await here.json(ROOT)
        assert view["checkpoint"] is None
        assert view["counts"]["size"] == 0
        assert view["counts"]["waiting"] >= 3
        assert "Nothing is published yet" in (await page(here, ROOT)).text
        await page(here, f"{ROOT}/leaves/0", 404)
