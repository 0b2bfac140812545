"""What a stranger makes of evidence files: a process of its own, without the network, with the files and the policy."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paraph.cli.demo.evidence import Judged, Judgement, Opened
from paraph.sdk import Trust
from paraph.tlog import note
from paraph.tlog import policy as policies

CHECK = (sys.executable, "-m", "paraph.cli.demo.offline")
FLIPS = 32
REJECTED = "REJECTED"
WITHIN = 60.0
"""Seconds that one check may take on a busy machine."""


def written(folder: Path, trust: Trust, author: bytes, correspondent: bytes) -> list[Path]:
    """Write two evidence files and the policy, which names the log; the files are the persons' own to read."""
    folder.mkdir()
    policy = trust.policy or ""
    if not policies.parse(policy.encode()).logs:
        policy = f"log {note.Verifier.from_vkey(trust.log_vkey).vkey}\n{policy}"
    (folder / "policy").write_text(policy, encoding="utf-8")
    files = [folder / "author.evidence", folder / "correspondent.evidence"]
    for file, data in zip(files, (author, correspondent), strict=True):
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(data)
    return files


def judged(folder: Path, files: Sequence[Path], command: Sequence[str] = CHECK) -> Judgement:
    """Let a stranger check the author's and the correspondent's file, and damaged copies of the author's."""
    policy = folder / "policy"
    with tempfile.TemporaryDirectory(prefix="paraph-flipped-") as copies:
        flipped = [_flipped(files[0], Path(copies) / f"{number}.evidence") for number in range(FLIPS)]
        found = checked([*files, *flipped], policy, command)
    verdicts, damaged = found[: len(files)], found[len(files) :]
    accepted = sum(verdict["outcome"] != REJECTED for verdict in damaged)
    author, correspondent = [_judged(*each) for each in zip(("author", "correspondent"), files, verdicts, strict=True)]
    return Judgement(author, correspondent, str(policy), Opened(accepted, len(damaged)), damaged[0]["summary"])


def checked(files: Sequence[Path], policy: Path, command: Sequence[str]) -> list[dict[str, Any]]:
    """The verdicts of one process that has these files, the policy and nothing else; RuntimeError if it gives none."""
    arguments = [*command, "log", "check", *map(str, files), "--policy", str(policy), "--json"]
    path = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(  # noqa: S603 (our own command)
        arguments, check=False, capture_output=True, text=True, env=path, stdin=subprocess.DEVNULL, timeout=WITHIN
    )
    try:
        verdicts: list[dict[str, Any]] = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"the check ended with status {done.returncode}:\n{done.stderr[-2000:]}") from None
    return verdicts


def _flipped(file: Path, copy: Path) -> Path:
    """A copy with one random bit flipped."""
    data = bytearray(file.read_bytes())
    bit = secrets.randbelow(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    copy.write_bytes(data)
    return copy


def _judged(whose: str, file: Path, verdict: dict[str, Any]) -> Judged:
    details = verdict["details"]
    accesses = sum(partner["did_open"]["accesses"] for partner in details.get("partners", []))
    return Judged(whose, str(file), verdict["outcome"], verdict["summary"], details.get("records", 0), accesses)
