"""The story of the demo, act by act. Every figure it reports was measured a moment before; nothing is a constant."""

import asyncio
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

from paraph.audit.errors import LogError
from paraph.audit.records import PublicRecords
from paraph.audit.replay import ReplayReport, replay
from paraph.audit.sources import DirectorySource
from paraph.cli.demo import attack
from paraph.cli.demo.evidence import (
    Attempt,
    Control,
    Evidence,
    LogEvidence,
    Opened,
    Revocation,
    Row,
    all_kept,
    to_json,
    verdicts,
)
from paraph.cli.demo.films import AUTHOR, Film, Line, conversation, shared_films
from paraph.cli.demo.intruder import Intruder
from paraph.cli.demo.people import PASSWORD, Cast, Operator, attempt, partner, people
from paraph.cli.demo.process import SERVE, ServerProcess
from paraph.cli.demo.screen import Screen
from paraph.sdk import GrantState, GrantTerms, Partner
from paraph.tlog.errors import TlogError

DAY = 86_400_000
PURPOSE = "recommendations"
MARQUEE, TEMPO = "Marquee (films)", "Tempo (music)"


class Story:
    """One performance, in a folder of its own."""

    def __init__(self, folder: Path, screen: Screen, *, server_command: tuple[str, ...] = SERVE) -> None:
        self._folder = folder
        self._screen = screen
        self._command = server_command
        self._films: list[Film] = []
        self._told = 0

    async def play(self, *, stay: bool = False) -> bool:
        """Play it all; returns whether every promise that was shown was kept. `stay` leaves the server up."""
        began = time.monotonic()
        self._screen.title()
        films = asyncio.create_task(asyncio.to_thread(shared_films))
        data = self._folder / "platform"
        with ServerProcess(data, command=self._command, settings={"registration": "open"}) as server:
            self._films = await films
            control = await self._control()
            evidence = await self._main(server, control)
            evidence.seconds = time.monotonic() - began
            self._screen.verdicts(verdicts(evidence), evidence)
            self._screen.document = to_json(evidence)
            if stay:
                await self._screen.stay(server.url, data, evidence.log)
        return all_kept(evidence)

    def _lines(self, exchanges: int) -> list[Line]:
        lines = list(conversation(self._films, exchanges, self._told))
        self._told += exchanges
        return lines

    # The old kind

    async def _control(self) -> Control:
        """The same conversation where the server can read it: what a partner with access to the inbox gets."""
        self._screen.act("control", "the same conversation in a server-readable inbox of the old kind")
        data = self._folder / "control"
        settings = {"registration": "open", "require_encryption": "off", "profile": "test"}
        lines = list(conversation(self._films, 6))
        with ServerProcess(data, command=self._command, settings=settings) as server:
            cast = await people(server.url, self._folder / "control-keys")
            room_id = await cast.room("films", encrypted=False)
            for line in lines:
                await cast.say(room_id, line, encrypted=False)
            await cast.close()
            platform = (await asyncio.to_thread(Operator, data)).platform
        readable = len(attack.plaintexts(data, [line.text for line in lines]))
        report = await asyncio.to_thread(replay, DirectorySource(data / "log"), platform["log"]["vkey"])
        control = Control(Opened(readable, len(lines)), report.kinds.get("private", 0))
        self._screen.control(control)
        return control

    # The new kind

    async def _main(self, server: ServerProcess, control: Control) -> Evidence:
        cast = await people(server.url, self._folder / "keys")
        operator = await asyncio.to_thread(Operator, server.data)
        marquee, tempo, agreements = await self._partners(server.url, operator)
        films, music, private = [await cast.room(name) for name in ("films", "music", "between us")]
        await cast.author.enrol()
        before = self._lines(1)
        for line in before:
            await cast.say(films, line)
        grant = await self._grants(cast, films, music)
        await self._talk(cast, films, music, private)
        rows = [
            await self._row(MARQUEE, marquee, cast, server.data, films, before),
            await self._row(TEMPO, tempo, cast, server.data, music, []),
        ]
        beyond = await self._beyond(marquee, tempo, films, private)
        self._screen.table(rows)
        revocation = await self._revoke(cast, marquee, server.data, films, grant)
        forgeries = beyond + await self._forgeries(server.url, cast, grant)
        recorded = Counter(entry.kind for entry in await cast.author.entries())
        log = await self._log(server.data, operator.platform, agreements)
        for person in (cast, marquee, tempo):
            await person.close()
        return Evidence(control, rows, revocation, forgeries, agreements, recorded, log)

    async def _partners(self, url: str, operator: Operator) -> tuple[Partner, Partner, list[Attempt]]:
        """Register partners; whoever has no agreement signed by both sides gets nowhere."""
        self._screen.act("agreements", "no partner without a public agreement signed by both sides")
        folder = self._folder / "keys"
        applicant = await partner(url, "umbra", "Umbra", operator, folder)
        unsigned = operator.draft("umbra")
        attempts = [
            _refused("a token for a partner without an agreement", await attempt(applicant.grants())),
            _refused("an agreement that only the operator signed", operator.try_to_publish(operator.sign(unsigned))),
            _refused(
                "an agreement that only the partner signed",
                operator.try_to_publish(applicant.sign_document(unsigned)),
            ),
            _refused("reading all the same", await attempt(applicant.rooms())),
        ]
        await applicant.close()
        partners = []
        for slug, name in (("marquee", "Marquee"), ("tempo", "Tempo")):
            made = await partner(url, slug, name, operator, folder)
            operator.publish(made.sign_document(operator.sign(operator.draft(slug, purposes=[PURPOSE]))))
            await made.publish_device()
            partners.append(made)
        self._screen.attempts(attempts)
        return partners[0], partners[1], attempts

    async def _grants(self, cast: Cast, films: str, music: str) -> GrantState:
        """The author lets each partner read her own words in one room; her device checks the log first."""
        self._screen.act("grants", "the author's device verifies agreement and partner device in the log, then signs")
        until = int(time.time() * 1000) + 30 * DAY
        texts: list[str] = []

        def agree(text: str) -> bool:
            texts.append(text)
            return True

        states = []
        for slug, room_id in (("marquee", films), ("tempo", music)):
            terms = GrantTerms(purposes=[PURPOSE], until=until, rooms=[room_id])
            states.append(await cast.author.grant(slug, terms, agree=agree))
        await cast.catch_up()
        seen = cast.correspondent.rooms.get(films)
        shown = [] if seen is None else [entry["partner"] for entry in seen.partners.get(cast.author.user_id, [])]
        self._screen.grants(states, texts[0], shown)
        return states[0]

    async def _talk(self, cast: Cast, films: str, music: str, private: str) -> None:
        self._screen.act("conversation", "two people, end to end encrypted, about films that two real viewers rated")
        for room_id, exchanges, name in ((films, 6, "films"), (music, 2, "music"), (private, 2, "between us")):
            lines = self._lines(exchanges)
            for line in lines:
                await cast.say(room_id, line)
            self._screen.conversation(name, lines)
        await cast.catch_up()
        self._screen.heard(cast.readings, sum(len(said) for said in cast.said.values()))

    async def _row(
        self, name: str, reader: Partner, cast: Cast, data: Path, granted_room: str, before: list[Line]
    ) -> Row:
        """What a partner gets through the API, then with the whole database and every key it ever received."""
        await reader.poll()
        served = 0
        for room in await reader.rooms():
            page = await reader.messages(room.room_id, PURPOSE)
            served += sum(message.undecryptable is None for message in page.messages)
        opened = set(await asyncio.to_thread(_open_database, reader, data))
        granted, other, correspondent = Counter[bool](), Counter[bool](), Counter[bool]()
        for room_id, said in cast.said.items():
            for line in said.values():
                own = granted if room_id == granted_room and line not in before else other
                column = own if line.speaker == AUTHOR else correspondent
                column[line.text in opened] += 1
        cells = [Opened(column[True], column.total()) for column in (granted, other, correspondent)]
        return Row(name, cells[0], cells[1], cells[2], served)

    async def _beyond(self, marquee: Partner, tempo: Partner, films: str, private: str) -> list[Attempt]:
        return [
            _refused(
                "Marquee asks the API for a room that was not granted",
                await attempt(marquee.messages(private, PURPOSE)),
            ),
            _refused("Tempo asks for the room granted to Marquee", await attempt(tempo.messages(films, PURPOSE))),
            _refused(
                "Marquee names a purpose that was not granted", await attempt(marquee.messages(films, "advertising"))
            ),
        ]

    async def _revoke(self, cast: Cast, marquee: Partner, data: Path, films: str, grant: GrantState) -> Revocation:
        self._screen.act("revocation", "the author revokes; the API withholds at once, her device changes its keys")
        await cast.author.revoke(grant.grant.grant_id)
        api = _refused("Marquee reads right after the revocation", await attempt(marquee.messages(films, PURPOSE)))
        lines = [line for line in self._lines(3) if line.speaker == AUTHOR]
        for line in lines:
            await cast.say(films, line)
        await attempt(marquee.poll())
        opened = set(await asyncio.to_thread(_open_database, marquee, data))
        revocation = Revocation(api, len(lines), sum(line.text in opened for line in lines))
        self._screen.revocation(revocation)
        return revocation

    async def _forgeries(self, url: str, cast: Cast, grant: GrantState) -> list[Attempt]:
        self._screen.act("cheating", "someone with her password, even her log key, tries to grant in her name")
        info = next(info for info in await cast.author.partners() if info.slug == "marquee")
        agreement = info.in_force(int(time.time() * 1000))
        log_key = cast.author.export_secrets().log_key
        if agreement is None or log_key is None:
            raise RuntimeError("the author granted something, so both exist")
        intruder = await asyncio.to_thread(Intruder, url, cast.author.user_id, PASSWORD)
        attempts = [
            await asyncio.to_thread(intruder.forge, grant.document, agreement, log_key, device_id=device_id)
            for device_id in (cast.author.device_id, intruder.device_id)
        ]
        self._screen.attempts(attempts)
        return attempts

    # The log

    async def _log(self, data: Path, platform: dict[str, Any], agreements: list[Attempt]) -> LogEvidence:
        """An outsider verifies the published files; then the same files with one byte changed."""
        self._screen.act("the log", "verified from its files alone, as an outsider would, with the log's key")
        vkey, folder = platform["log"]["vkey"], data / "log"
        await _settled(folder)
        verified, report = await asyncio.to_thread(_verify, folder, vkey)
        tampering = await asyncio.to_thread(_tamper, folder, self._folder / "tampered-log", vkey)
        agreements.append(await asyncio.to_thread(_published, folder, platform))
        kinds = dict(report.kinds) if report else {}
        size = report.checkpoint.size if report else 0
        evidence = LogEvidence(str(folder), vkey, size, kinds, verified, tampering)
        self._screen.log(evidence, agreements[-1])
        return evidence


def _refused(what: str, answer: tuple[int, str]) -> Attempt:
    status, reason = answer
    return Attempt(what, 400 <= status < 500, f"{status} {reason.removeprefix(str(status)).lstrip(': ')}")


def _open_database(reader: Partner, data: Path) -> list[str]:
    keys = [str(session["session_key"]) for session in reader.engine.inbound.export()]
    return attack.open_all(attack.ciphertexts(data), keys)


async def _settled(log: Path, quiet: float = 0.5) -> None:
    """Wait until the log has published nothing new for `quiet` seconds, so that its files are of one tree."""
    last, since = b"", time.monotonic()
    while time.monotonic() - since < quiet:
        now = (log / "checkpoint").read_bytes()
        if now != last:
            last, since = now, time.monotonic()
        await asyncio.sleep(0.05)


def _verify(log: Path, vkey: str) -> tuple[bool, ReplayReport | None]:
    source = DirectorySource(log)
    try:
        return True, replay(source, vkey, listing=list(source.paths()))
    except (LogError, TlogError):
        return False, None


def _tamper(log: Path, copy: Path, vkey: str) -> Attempt:
    """Change one byte of one tile in a copy of the log, and verify the copy."""
    shutil.copytree(log, copy)
    tile = max((copy / "tile" / "0").rglob("*"), key=lambda path: (path.is_file(), path.stat().st_size))
    damaged = bytearray(tile.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    tile.chmod(0o600)
    tile.write_bytes(damaged)
    source = DirectorySource(copy)
    try:
        replay(source, vkey, listing=list(source.paths()))
    except LogError as error:
        return Attempt("one bit of one tile changed", True, str(error))
    return Attempt("one bit of one tile changed", False, "verified all the same")


def _published(log: Path, platform: dict[str, Any]) -> Attempt:
    """What an auditor finds: an agreement signed by both sides for each of the two partners, and for nobody else."""
    what = "a partner with access and no agreement in the log"
    records = PublicRecords(platform["server_name"], platform["operator_key"])
    try:
        replay(DirectorySource(log), platform["log"]["vkey"], visit=records.visit)
        found = {slug: len(partner.agreements) for slug, partner in records.partners().items() if partner.agreements}
    except (LogError, TlogError) as error:
        return Attempt(what, False, str(error))
    said = ", ".join(f"{slug}: {count}" for slug, count in sorted(found.items()))
    return Attempt(what, set(found) == {"marquee", "tempo"}, f"none; agreements signed by both sides: {said}")
