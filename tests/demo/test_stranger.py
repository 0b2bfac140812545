"""The stranger's process: what it is given, and what it cannot reach."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from paraph.cli.demo.stranger import CHECK, checked, written
from paraph.sdk import Trust
from paraph.tlog import note, policy
from paraph.tlog.cosignature import CosignatureSigner

LOG, WITNESS = note.Signer.generate("example.org/log"), CosignatureSigner.generate("witness.example/w")
POLICY = f"witness w {WITNESS.verifier.vkey}\nquorum w\n"


def files(folder: Path) -> list[Path]:
    """Two files that are no evidence, with a policy."""
    return written(folder, Trust(LOG.verifier.vkey, "operator", POLICY), b"author", b"correspondent")


def test_the_policy_that_is_left_names_the_log(tmp_path: Path) -> None:
    """Whoever is given file and policy needs no key beside them; the evidence is its owner's alone to read."""
    made = files(tmp_path / "evidence")
    (log,) = policy.parse((tmp_path / "evidence" / "policy").read_bytes()).logs
    assert log.verifier == LOG.verifier
    assert [file.stat().st_mode & 0o777 for file in made] == [0o600, 0o600]


@pytest.mark.slow
def test_what_is_no_evidence_is_rejected(tmp_path: Path) -> None:
    """The process checks what it is given; one that gives no verdict is an error."""
    made = files(tmp_path / "evidence")
    verdicts = checked(made, tmp_path / "evidence" / "policy", CHECK)
    assert [verdict["outcome"] for verdict in verdicts] == ["REJECTED", "REJECTED"]
    with pytest.raises(RuntimeError, match="no-such-policy"):
        checked(made, tmp_path / "no-such-policy", CHECK)


@pytest.mark.slow
def test_it_has_no_network() -> None:
    """A command that wants a connection ends at once."""
    asked = [*CHECK, "log", "verify", "http://127.0.0.1:9/log", "--key", LOG.verifier.vkey]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "has no network" in done.stdout + done.stderr
