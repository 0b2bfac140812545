"""The sandbox's clock: turned for everybody at once, forward only, and nowhere but in a sandbox."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from paraph.cli.main import app
from paraph.cli.sandbox.clock import moment, span
from paraph.sdk import GrantChange, MessageChange, ProblemError, SdkError, clock_of, sandbox_clock
from paraph.sdk.clock import system_time
from paraph.server.config import Settings, SettingsError
from tests.sandbox.support import PARAPH, PURPOSE, RunningSandbox, all_read, device

HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """A sandbox of this module's own: its clock is turned."""
    with RunningSandbox(tmp_path_factory.mktemp("sandbox") / "data", "marquee=films") as running:
        yield running


@pytest.mark.slow
async def test_a_grant_expires_when_the_clock_is_turned(turned: RunningSandbox) -> None:
    """Tokens run out and are renewed; the grant of a day is over, the one of a month goes on; keys and reads work."""
    films, music = turned.said["rooms"]["films"], turned.said["rooms"]["music"]
    turned.tell("grant", partner="marquee", rooms=["music"], minutes=24 * 60)
    async with device(turned.file("marquee")) as partner:
        turned.say("before", room="music")
        assert [m.body for m in await all_read(partner, music)] == ["before"]
        started, token = partner._now(), partner.auth.token
        assert abs(started - system_time()) < HOUR
        command = [PARAPH, "sandbox", "clock", "--forward", "10d", "--data", turned.folder]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert 10 * DAY <= json.loads(done.stdout)["now"] - started < 10 * DAY + HOUR
        with pytest.raises(ProblemError):
            await partner.messages(music, PURPOSE)
        turned.say("after", room="films")
        turned.say("after, elsewhere", room="music")
        assert [m.body for m in await all_read(partner, films)] == ["after"]
        assert partner.auth.token != token
        changes = [change async for change in partner.changes(PURPOSE, timeout_ms=0)]
        told = [change.what for change in changes if isinstance(change, GrantChange)]
        assert "expired" in told
        said = [change.message.body for change in changes if isinstance(change, MessageChange)]
        assert "after, elsewhere" not in said


@pytest.mark.slow
def test_it_goes_only_forward(turned: RunningSandbox) -> None:
    """A time that has passed is refused, and the clock stays as it was; without options it is shown."""
    now = turned.tell("clock", at=None, forward=None)["now"]
    for words, why in (
        (["--at", "2020-01-01"], "only forward"),
        (["--forward", "4000d"], "at most 3650 days"),
        (["--forward", "-1d"], "expected a number and a unit"),
        (["--at", "soon"], "expected a time like"),
        (["--forward", "1d", "--at", "2040-01-01"], "either"),
    ):
        done = CliRunner().invoke(app, ["sandbox", "clock", *words, "--data", str(turned.folder)])
        assert (done.exit_code > 0, why in done.stderr) == (True, True), done.stderr
    assert 0 <= turned.tell("clock", at=None, forward=None)["now"] - now < HOUR


def test_a_platform_in_production_goes_by_its_machine() -> None:
    """The setting stands for nothing without the profile for tests."""
    with pytest.raises(SettingsError, match="sandboxes only"):
        Settings(clock_file="clock.json")
    assert Settings(clock_file="clock.json", profile="test").clock_file


def test_a_program_outside_a_sandbox_goes_by_its_machine(tmp_path: Path) -> None:
    """`partner.json` names the clock, or there is none; what is no sandbox's clock is refused."""
    assert clock_of({"url": "https://platform.example"}) is system_time
    file = tmp_path / "clock.json"
    for text in (None, "", "[]", "{}", '{"ahead_ms": -1}', '{"ahead_ms": true}', '{"ahead_ms": 1.5}'):
        if text is not None:
            file.write_text(text)
        with pytest.raises(SdkError, match="clock"):
            sandbox_clock(file)
    file.write_text('{"ahead_ms": 86400000}')
    now = clock_of({"clock": str(file)})
    assert abs(now() - system_time() - DAY) < HOUR
    file.unlink()
    assert abs(now() - system_time() - DAY) < HOUR


def test_spans_and_times_are_read_strictly() -> None:
    """A number and one unit; a date, with a time if need be."""
    assert [span(text) for text in ("90s", "30m", "12h", "10d")] == [90_000, 1_800_000, 12 * HOUR, 10 * DAY]
    assert moment("1970-01-02") == moment("1970-01-02T00:00Z") == DAY
    for text in ("", "0d", "1", "d", "1d2h", " 1d", "1.5d", "-1d", "١d"):
        with pytest.raises(ValueError, match="expected"):
            span(text)


@pytest.mark.slow
async def test_what_may_be_kept_no_longer_is_gone_at_the_next_start(turned: RunningSandbox) -> None:
    """A program that was off while the grant's days ended deletes first, and the platform takes its word on record."""
    async with device(turned.file("marquee")) as partner:
        turned.say("not to be kept", room="films")
        async for change in partner.changes(PURPOSE, timeout_ms=20_000):
            if isinstance(change, MessageChange) and change.message.body == "not to be kept":
                break
        opened = partner._records.names("opened", f"{change.grant_id}/")
        assert opened
    turned.tell("clock", at=None, forward=8 * DAY)
    async with device(turned.file("marquee")) as partner:
        await partner.poll()
        assert not set(partner._records.names("opened")) & set(opened)
        assert partner._records.get("disposal-said", change.grant_id, int) is not None
