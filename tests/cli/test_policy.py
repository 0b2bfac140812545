"""`paraph policy` and `paraph witness endorse`: from a proposal to a published change, and all that stops one."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from paraph.cli.main import app
from paraph.server.ledger.policies import PublishedPolicies
from paraph.tlog import note, policy_change
from paraph.witness import folder

LOG = note.Signer("localhost/log", bytes(range(32)))
NAMES = ("first", "second", "third")


def run(*words: object, stdin: str | None = None) -> Result:
    """`paraph` with these words."""
    return CliRunner().invoke(app, [str(word) for word in words], input=stdin)


def said(result: Result) -> str:
    """What it printed, on one line."""
    return " ".join(result.output.split())


class Platform:
    """A data folder with a log's key, three witnesses, and the policy in force."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data = root / "data"
        (self.data / "keys").mkdir(parents=True)
        (self.data / "log").mkdir()
        (self.data / "keys" / "log.key").write_text(LOG.skey + "\n")
        self.vkeys = {name: folder.create(root / name, f"{name}.example/w").verifier.vkey for name in NAMES}
        self.policy = self.write("policy", NAMES)
        self.known = self.write("known", NAMES)

    def write(self, file: str, names: tuple[str, ...], comment: str = "") -> Path:
        """A policy of two of these witnesses."""
        lines = [f"witness {name} {self.vkeys[name]} https://{name}.example" for name in names]
        text = "\n".join([f"# {comment}", *lines, f"group both 2 {' '.join(names)}", "quorum both", ""])
        (self.root / file).write_text(text)
        return self.root / file

    def propose(self, new: Path, to: str = "change") -> Path:
        """Sign a change with the log's key."""
        result = run("policy", "propose", new, "--current", self.policy, "--data", self.data, "--to", self.root / to)
        assert result.exit_code == 0, result.output
        return self.root / to

    def endorse(self, name: str, change: Path, *more: object, stdin: str | None = None) -> Result:
        """As the witness of that name does, who keeps a copy of the policy in force."""
        words = ("--current", self.known, "--data", self.root / name, "--log", LOG.vkey)
        return run("witness", "endorse", change, *words, *more, stdin=stdin)

    def publish(self, *changes: Path) -> Result:
        """Publish the change of which these are copies."""
        return run("policy", "publish", *changes, "--current", self.policy, "--data", self.data)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def test_a_policy_is_changed_by_its_witnesses(platform: Platform) -> None:
    """Proposed, endorsed by two of three on their own machines, published; a reader of the old policy follows."""
    old = platform.policy.read_bytes()
    new = platform.write("new", ("first", "second"), "third retires")
    change = platform.propose(new)
    other = platform.root / "copy"
    other.write_bytes(change.read_bytes())
    answered = platform.endorse("first", change, stdin="y\n")
    assert answered.exit_code == 0
    assert "-witness third" in answered.output
    assert "+# third retires" in answered.output
    assert platform.publish(change).exit_code == 1
    assert platform.endorse("second", other, "--yes").exit_code == 0
    result = platform.publish(change, other)
    assert result.exit_code == 0, result.output
    assert platform.policy.read_bytes() == new.read_bytes()
    (published,) = PublishedPolicies(platform.data / "log").all()
    assert policy_change.verify(old, published, LOG.verifier, 2**40)[1] == new.read_bytes()
    file = platform.data / "log" / "policies" / "1"
    followed = run("policy", "verify", file, "--current", platform.known, "--key", LOG.vkey, "--json")
    assert json.loads(followed.output) == {"verified": True, "policy": new.read_text()}
    again = run("policy", "verify", file, "--current", new, "--key", LOG.vkey)
    assert (again.exit_code, "another policy than the one in force" in said(again)) == (1, True)
    assert "another policy" in said(platform.publish(change, other)), "published once"


def test_an_endorsement_is_a_deliberate_act(platform: Platform) -> None:
    """Without a yes nothing is signed; nor by a stranger, for a policy it does not know, or for two successors."""
    change = platform.propose(platform.write("new", ("first", "second")))
    before = change.read_bytes()
    refused = platform.endorse("first", change, stdin="n\n")
    assert (refused.exit_code, "not endorsed" in said(refused)) == (1, True)
    folder.create(platform.root / "stranger", "stranger.example/w")
    assert "none of the old policy's witnesses" in said(platform.endorse("stranger", change, "--yes"))
    platform.known.write_text(platform.known.read_text() + "# older\n")
    assert "another policy than the one in force" in said(platform.endorse("first", change, "--yes"))
    assert change.read_bytes() == before
    platform.known.write_bytes(platform.policy.read_bytes())
    assert platform.endorse("first", change, "--yes").exit_code == 0
    assert platform.endorse("first", change, "--yes").exit_code == 0, "the same one again"
    second = platform.propose(platform.write("other", ("second", "third")), "second change")
    refused = platform.endorse("first", second, "--yes")
    assert (refused.exit_code, "another successor of the same policy" in said(refused)) == (1, True)


def test_a_policy_does_not_come_back(platform: Platform) -> None:
    """What was in force before has to be written anew, if only by a comment."""
    old = platform.policy.read_bytes()
    for name, text in (("new", platform.write("new", ("first", "second")).read_bytes()), ("back", old)):
        (platform.root / name).write_bytes(text)
        change = platform.propose(platform.root / name)
        for witness in ("first", "second"):
            assert platform.endorse(witness, change, "--yes").exit_code == 0
        result = platform.publish(change)
        platform.known.write_bytes(platform.policy.read_bytes())
    assert (result.exit_code, "does not come back" in said(result)) == (1, True)
    assert len(PublishedPolicies(platform.data / "log").all()) == 1


def test_what_a_policy_demands_is_said(platform: Platform) -> None:
    """Its quorum, whether map auditors are in it, and witnesses that nobody can ask."""
    result = run("policy", "check", platform.policy)
    assert "needs both (2 of 3: first, second, third)" in said(result)
    assert "does not hold a map auditor" in said(result)
    lines = platform.policy.read_text().replace("group both 2", "group map-auditors 2").replace("quorum both", "")
    platform.policy.write_text(lines.replace(" https://third.example", "") + "quorum map-auditors\n")
    result = run("policy", "check", platform.policy)
    assert "holds a map auditor" in said(result)
    assert "third has no URL" in said(result)
    assert json.loads(run("policy", "check", platform.policy, "--json").output)["map_audited"] is True


def test_mistakes_get_one_clear_line(platform: Platform, tmp_path: Path) -> None:
    """Missing files, texts that are no policy, another log's policy, the same policy."""
    none = tmp_path / "none"
    none.write_text("quorum none\n")
    foreign = tmp_path / "foreign"
    other = note.Signer("other.example/log", bytes(32))
    foreign.write_text(f"log {other.vkey}\n" + platform.policy.read_text())
    propose = ("--data", platform.data, "--to", tmp_path / "c")
    for words, expected in [
        (("policy", "check", tmp_path / "nowhere"), "cannot be read"),
        (("policy", "check", none), "a quorum of none proves nothing"),
        (("policy", "propose", none, "--current", platform.policy, *propose), "a quorum of none proves nothing"),
        (("policy", "propose", foreign, "--current", platform.policy, *propose), "pinned anew"),
        (("policy", "propose", platform.policy, "--current", platform.policy, *propose), "the old one"),
        (("policy", "propose", platform.policy, "--current", foreign, *propose), "names other logs"),
        (("policy", "publish", none, "--current", platform.policy, "--data", platform.data), "a change of policy"),
        (("witness", "endorse", none, "--current", none, "--data", tmp_path, "--log", LOG.vkey), "a change of policy"),
    ]:
        result = run(*words)
        assert result.exit_code == 1
        assert expected in said(result), said(result)
        assert "Traceback" not in result.output
