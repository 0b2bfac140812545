"""Changes of the witness policy are served under their numbers, and a strange one is never put there."""

from pathlib import Path

import pytest

from paraph.audit.replay import replay
from paraph.audit.sources import DirectorySource
from paraph.server.ledger.backup import restore
from paraph.server.ledger.policies import PolicyNotPublished, PublishedPolicies
from tests.server.ledger.support import running_ledger
from tests.server.ledger.test_backup import take
from tests.server.ledger.test_http import client
from tests.tlog.test_policy_change import LOG, NEW, NEW_WITNESSES, NOW, OLD, OLD_WITNESSES, change, text_of


@pytest.fixture
def _on_both_databases() -> None:
    """The files are the same whichever database there is."""


async def test_they_are_served_as_they_are_on_disk(tmp_path: Path) -> None:
    """By their number in its one spelling, and nothing else is found beside them."""
    async with client(tmp_path) as (http, _, _ledger):
        assert (await http.get("/log/policies/1")).status_code == 404
        PublishedPolicies(tmp_path / "log").publish(change(), OLD, LOG.verifier, NOW)
        answer = await http.get("/log/policies/1")
        assert (answer.content, answer.headers["content-type"]) == (change(), "text/plain; charset=utf-8")
        assert "immutable" in answer.headers["cache-control"]
        for path in ("0", "01", "2", "1.new", "..", "%2e%2e", "1%2f..", "-1", "x", "1000000", "%31x"):
            assert (await http.get(f"/log/policies/{path}")).status_code == 404


async def test_a_backup_holds_them(tmp_path: Path) -> None:
    """Put back, the platform serves the same changes; and no check takes them for strangers' files."""
    data, to, back = tmp_path / "data", tmp_path / "backup", tmp_path / "back"
    async with running_ledger(data) as (_, ledger):
        PublishedPolicies(data / "log").publish(change(), OLD, LOG.verifier, NOW)
        await take(data, to)
        restore(to, back, last=True)
        assert PublishedPolicies(back / "log").all() == [change()]
        source = DirectorySource(back / "log")
        assert replay(source, ledger.vkey, listing=source.paths()).unchecked == ()


def test_each_follows_the_one_before(tmp_path: Path) -> None:
    """Numbers count; whoever goes on from another policy, or back to an old one, is refused and leaves nothing."""
    published = PublishedPolicies(tmp_path)
    third = text_of(OLD_WITNESSES[:1] + NEW_WITNESSES[:2])
    second = change(NEW_WITNESSES[:2], old=NEW, new=third)
    assert published.publish(change(), OLD, LOG.verifier, NOW) == (1, NEW)
    for signed, current in [
        (change(), OLD),
        (change(), NEW),
        (second, OLD),
        (change(NEW_WITNESSES[:1], old=NEW, new=third), NEW),
        (change(NEW_WITNESSES[:2], old=NEW, new=OLD), NEW),
        (b"", NEW),
    ]:
        with pytest.raises(PolicyNotPublished):
            published.publish(signed, current, LOG.verifier, NOW)
    assert published.publish(second, NEW, LOG.verifier, NOW) == (2, third)
    assert published.all() == [change(), second]
    assert sorted(path.name for path in (tmp_path / "policies").iterdir()) == ["1", "2"]
