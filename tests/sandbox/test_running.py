"""The sandbox begins whatever became of the one before, and ends with all that it started."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from paraph.cli.processes import free_port
from paraph.cli.sandbox.folder import FolderTaken, claimed
from tests.sandbox.support import PARAPH, RunningSandbox, device


@pytest.mark.slow
async def test_killed_it_leaves_nothing_that_prevents_the_next_start(tmp_path: Path) -> None:
    """Its processes end with it, SIGKILL or not; the same folder and the same port serve again at once."""
    first = RunningSandbox(tmp_path / "data", "marquee=films", port=free_port())
    with first:
        old = json.loads(first.file("marquee").read_text())
        assert len(first.children()) == 4
        first.end(signal.SIGKILL)
        with first:
            new = json.loads(first.file("marquee").read_text())
            assert new["url"] == old["url"]
            assert new["passphrase"] != old["passphrase"]
            async with device(first.file("marquee")) as partner:
                assert len(await partner.grants()) == 1
            assert first.end(signal.SIGINT) == 0
        assert first.gone()
        assert not (tmp_path / "data" / "sandbox.json").exists()


@pytest.mark.slow
def test_what_is_secret_is_for_its_owner_alone(sandbox: RunningSandbox) -> None:
    """The files with passphrases and the control's secret have mode 0600, in folders of mode 0700."""
    for file in (sandbox.file("marquee"), sandbox.folder / "sandbox.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder that holds anything else is refused, and nothing in it changes."""
    (tmp_path / "platform").mkdir()
    (tmp_path / "platform" / "thesis").write_text("years of work")
    with pytest.raises(FolderTaken, match="not empty"), claimed(tmp_path):
        pass
    assert (tmp_path / "platform" / "thesis").read_text() == "years of work"


def test_a_folder_has_one_sandbox_at_a_time(tmp_path: Path) -> None:
    """The second is refused while the first is there, and may have the folder afterwards."""
    with claimed(tmp_path):
        (tmp_path / "partners" / "kept").write_text("here")
        with pytest.raises(FolderTaken, match="another sandbox"), claimed(tmp_path):
            pass
        assert (tmp_path / "partners" / "kept").exists()
    with claimed(tmp_path):
        assert not (tmp_path / "partners" / "kept").exists()


@pytest.mark.parametrize("command", [["say", "hello"], ["revoke"], ["lose-keys"]])
def test_commands_say_where_no_sandbox_runs(tmp_path: Path, command: list[str]) -> None:
    """Without a sandbox a command fails and names the way to start one."""
    done = subprocess.run([PARAPH, "sandbox", *command, "--data", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "start one with" in done.stderr


def test_a_partner_without_a_room_is_refused(tmp_path: Path) -> None:
    """`--partner` names a room that there is."""
    done = subprocess.run(
        [PARAPH, "sandbox", "--data", tmp_path / "data", "--partner", "marquee=football"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, (tmp_path / "data").exists()) == (2, False)
