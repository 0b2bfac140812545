"""The Go program that judges with golang.org/x/mod, built once for a test run."""

import base64
import functools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.tlog.strategies import LOG

SOURCE = Path(__file__).parent / "go"
# Before x/mod 0.40.0 the reader of tiles did not check all of them (CVE-2026-56865), so an older Go is no judge.
_UNREACHABLE = (
    "requires go >=",
    "dial tcp",
    "i/o timeout",
    "no such host",
    "connection refused",
    "module lookup disabled",
)


@functools.cache
def judge() -> Path:
    """The program. Skips, and says why, where Go or its module proxy is missing."""
    if shutil.which("go") is None:
        pytest.skip("go is not on the PATH: golang.org/x/mod did not judge our notes, proofs and logs")
    program = Path(tempfile.mkdtemp(prefix="paraph-go-")) / "sumdb"
    built = subprocess.run(
        ["go", "build", "-buildvcs=false", "-mod=readonly", "-o", program, "."],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        timeout=110,
    )
    if built.returncode and any(reason in built.stderr for reason in _UNREACHABLE):
        pytest.skip(f"golang.org/x/mod cannot be fetched, so it did not judge: {built.stderr}")
    assert built.returncode == 0, built.stderr
    return program


def ask(**questions: Any) -> Any:
    """Put questions to the program; byte strings travel as base64."""
    asked = json.dumps(
        {"Skey": LOG.skey, "Text": "text\n"} | questions, default=lambda item: base64.b64encode(item).decode()
    )
    done = subprocess.run([judge()], input=asked, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
