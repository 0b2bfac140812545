"""The story of the demo, act by act. Every figure it reports was measured a moment before; nothing is a constant."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx

from paraph.audit.replay import replay
from paraph.audit.sources import DirectorySource
from paraph.cli.demo import attack, outsider, purposes, stranger
from paraph.cli.demo.attack import Stored
from paraph.cli.demo.evidence import Attempt, Control, Evidence, LogEvidence, Opened, Revocation
from paraph.cli.demo.extension import SecretExtension
from paraph.cli.demo.films import AUTHOR, Film, Line, conversation, shared_films
from paraph.cli.demo.intruder import Intruder
from paraph.cli.demo.keys import Keys, Reader
from paraph.cli.demo.market import PARTNERS, PURPOSE, PURPOSES, VERBS, Market, without_agreement
from paraph.cli.demo.one_api import OneApi
from paraph.cli.demo.outsider import Outside
from paraph.cli.demo.people import PASSWORD, Cast, Operator, attempt, callback, people, refused
from paraph.cli.demo.process import SERVE, ServerProcess, free_port
from paraph.cli.demo.purposes import Asked
from paraph.cli.demo.records import Records, recorded
from paraph.cli.demo.screen import Screen
from paraph.cli.demo.speaking import Speaking
from paraph.cli.demo.table import Table
from paraph.cli.demo.verdicts import all_kept, to_json, verdicts
from paraph.cli.demo.witnesses import Witnesses
from paraph.protocol.agreement import Agreement
from paraph.sdk import GrantState, GrantTerms, Partner, Person, SdkError
from paraph.tlog.errors import TlogError

DAY = 86_400_000
MARQUEE, TEMPO = "Marquee (films)", "Tempo (music)"
ACTS = ("keys", "reads", "drafts", "secret", "purposes", "one API", "revocation", "record")
"""What may be left out of a performance; the rest leads up to it."""


class Story:
    """One performance, in a folder of its own.

    `films` gives what is talked about, `new_database` the setting `database` for each platform, `witnesses` who
    watches its log; the control can be left out, and `acts` names the others that are played. `check_command` runs the
    `paraph` command of whoever is handed evidence.
    """

    def __init__(
        self,
        folder: Path,
        screen: Screen,
        *,
        server_command: tuple[str, ...] = SERVE,
        films: Callable[[], list[Film]] = shared_films,
        control: bool = True,
        acts: Collection[str] = ACTS,
        witnesses: Callable[[Path, Path, int], Witnesses] = Witnesses,
        new_database: Callable[[], str] = lambda: "sqlite",
        check_command: tuple[str, ...] = stranger.CHECK,
    ) -> None:
        self._folder = folder
        self._screen = screen
        self._command = server_command
        self._find_films = films
        self._with_control = control
        self._acts = frozenset(acts)
        self._witnesses = witnesses
        self._new_database = new_database
        self._check = check_command
        self._films: list[Film] = []
        self._told = 0
        self._served: set[str] = set()

    async def play(self, *, stay: bool = False) -> bool:
        """Play it all; returns whether every promise that was shown was kept. `stay` leaves the server up."""
        began = time.monotonic()
        self._screen.title()
        films = asyncio.create_task(asyncio.to_thread(self._find_films))
        data = self._folder / "platform"
        evidence = Evidence()
        database = self._new_database()
        with contextlib.ExitStack() as processes:
            port = free_port()
            watching = processes.enter_context(self._witnesses(self._folder / "witnesses", data, port))
            settings = {"registration": "open", "witnesses": str(watching.policy)}
            server = processes.enter_context(
                ServerProcess(data, command=self._command, database=database, settings=settings, port=port)
            )
            self._films = await films
            if self._with_control:
                evidence.control = await self._control()
            operator = await asyncio.to_thread(Operator, server.data)
            await outsider.opened(server.data / "log")
            try:
                async with AsyncExitStack() as stack:
                    await self._main(server, operator, evidence, stack)
            except (SdkError, httpx.HTTPError) as error:
                # What was not reached is not shown; the log is looked at all the same.
                evidence.stopped = f"{type(error).__name__}: {error}"
                self._screen.stopped(evidence.stopped)
            evidence.log = await self._log(server.data, operator.platform, evidence)
            with contextlib.suppress(TlogError, OSError):
                evidence.witnessed = await asyncio.to_thread(watching.witnessed)
            self._screen.witnessed(evidence.witnessed)
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

    def _says(self) -> Line:
        """The author's next remark, which nobody answers."""
        return self._lines(1)[0]

    # The old kind

    async def _control(self) -> Control:
        """The same conversation where the server can read it: what a partner with access to the inbox gets."""
        self._screen.act("control", "the same conversation in a server-readable inbox of the old kind")
        data = self._folder / "control"
        settings = {"registration": "open", "require_encryption": "off", "profile": "test"}
        lines = list(conversation(self._films, 6))
        database = self._new_database()
        with ServerProcess(data, command=self._command, database=database, settings=settings) as server:
            cast = await people(server.url, self._folder / "control-keys")
            room_id = await cast.room("films", encrypted=False)
            for line in lines:
                await cast.say(room_id, line, encrypted=False)
            sent = await attack.sent_as(cast, room_id, "I could watch this for ever.")
            await cast.close()
            platform = (await asyncio.to_thread(Operator, data)).platform
        readable = len(attack.plaintexts(server.stored, [line.text for line in lines]))
        report = await asyncio.to_thread(replay, DirectorySource(data / "log"), platform["log"]["vkey"])
        control = Control(Opened(readable, len(lines)), report.kinds.get("private", 0), sent)
        self._screen.control(control)
        return control

    # The new kind

    async def _main(self, server: ServerProcess, operator: Operator, evidence: Evidence, stack: AsyncExitStack) -> None:
        cast = await people(server.url, self._folder / "keys")
        stack.push_async_callback(cast.close)
        market = await self._market(server.url, operator, evidence, stack)
        films, music, private = [await cast.room(name) for name in ("films", "music", "between us")]
        await cast.author.enrol()
        await cast.correspondent.enrol()
        before = self._lines(1)
        for line in before:
            await cast.say(films, line)
        grants, asked = await self._grants(cast, market, films, music)
        intruders = await self._forgeries(server.url, cast, grants[0], evidence.forgeries, stack)
        await self._talk(cast, films, music, private)
        table = Table(cast, server.stored, PURPOSE, self._served)
        evidence.rows.append(await table.row(MARQUEE, market.marquee, films, before))
        evidence.rows.append(await table.row(TEMPO, market.tempo, music, []))
        evidence.stranger = await table.stranger(intruders[0].device)
        self._screen.table(evidence.rows, evidence.stranger)
        beyond = await table.beyond(market.marquee, market.tempo, films, private)
        self._screen.attempts(beyond)
        evidence.forgeries += beyond
        if "keys" in self._acts:
            await self._lie_about_keys(cast, server.stored, market, grants, intruders, (films, music), evidence, stack)
        if "reads" in self._acts:
            await self._lie_about_records(cast, market, films, evidence)
        await self._allowed(cast, market, operator, films, grants, asked, server.data / "log", evidence)
        if "revocation" in self._acts:
            evidence.revocation = await self._revoke(cast, market.marquee, server.stored, films, grants[0])
        if "record" in self._acts:
            await self._record(cast, (market.marquee, market.tempo), evidence)

    async def _market(self, url: str, operator: Operator, evidence: Evidence, stack: AsyncExitStack) -> Market:
        """Register partners; whoever has no agreement signed by both sides gets nowhere."""
        self._screen.act("agreements", "no partner without a public agreement signed by both sides")
        folder = self._folder / "keys"
        evidence.agreements += await without_agreement(url, operator, folder, stack)
        self._screen.attempts(evidence.agreements)
        return await Market.open(url, operator, folder, stack)

    async def _grants(self, cast: Cast, market: Market, films: str, music: str) -> tuple[list[GrantState], Asked]:
        """The author lets each partner read her own words in one room; her device checks the log first.

        Marquee asks her, also for advertising, and she agrees without saying more.
        """
        self._screen.act("grants", "her device proves agreement and partner device first, then signs")
        until = int(time.time() * 1000) + 30 * DAY
        texts: list[str] = []

        def agree(text: str) -> bool:
            texts.append(text)
            return True

        details = {"verbs": VERBS["marquee"], "purposes": PURPOSES["marquee"], "until": until, "rooms": [films]}
        request = await cast.author.consents((await market.marquee.ask(details, callback("marquee"))).url)
        granted = (await cast.author.answer(request, agree=agree)).grant
        asked = Asked(request.asked.purposes, granted.grant.purposes, request.terms(advertising=True).purposes)
        terms = GrantTerms(purposes=[PURPOSE], until=until, rooms=[music])
        states = [granted, await cast.author.grant("tempo", terms, agree=agree)]
        await cast.catch_up()
        seen = cast.correspondent.rooms.get(films)
        shown = [] if seen is None else [entry["partner"] for entry in seen.partners.get(cast.author.user_id, [])]
        self._screen.grants(states, texts[0], shown)
        return states, asked

    async def _forgeries(
        self, url: str, cast: Cast, grant: GrantState, attempts: list[Attempt], stack: AsyncExitStack
    ) -> tuple[Intruder, Intruder]:
        """A stranger's device in her name, which stays; and her own new phone, before and after it enrols."""
        self._screen.act("impostors", "someone with her password and log key grants in her name")
        secrets = cast.author.export_secrets()
        agreement = await _agreement(cast.author, "marquee")
        if secrets.log_key is None:
            raise RuntimeError("the author enrolled, so it exists")
        outer = await Intruder.enter(url, "mira", PASSWORD, secrets.log_key, None)
        stack.push_async_callback(outer.close)
        phone = await Intruder.enter(url, "mira", PASSWORD, secrets.log_key, secrets)
        cast.phone = phone.device
        forged, own = grant.document, cast.author.device_id
        attempts += [
            await outer.forge("a grant with a forged signature", forged, agreement, device_id=own),
            await outer.enrol(grant.grant.master_key),
            await outer.forge("a grant by a device that her master key does not vouch for", forged, agreement),
            await phone.forge("a grant by a device of hers that never enrolled", forged, agreement),
        ]
        self._screen.attempts(attempts)
        await cast.phone.enrol()
        await cast.phone.sync()
        return outer, phone

    async def _talk(self, cast: Cast, films: str, music: str, private: str) -> None:
        self._screen.act("conversation", "end to end encrypted, about films that two real viewers rated")
        for room_id, exchanges, name in ((films, 6, "films"), (music, 2, "music"), (private, 2, "between us")):
            lines = self._lines(exchanges)
            for line in lines:
                # Her last remark about films comes from her other device.
                await cast.say(room_id, line, by=cast.phone if room_id == films and line is lines[-2] else None)
            self._screen.conversation(name, lines)
        await cast.catch_up()
        self._screen.heard(cast.readings, sum(len(said) for said in cast.said.values()))

    async def _lie_about_keys(
        self,
        cast: Cast,
        stored: Stored,
        market: Market,
        grants: list[GrantState],
        intruders: tuple[Intruder, Intruder],
        rooms: tuple[str, str],
        evidence: Evidence,
        stack: AsyncExitStack,
    ) -> None:
        self._screen.act("lies for a key", "the operator rewrites her laptop's answers; then she writes")
        marquee, tempo = [
            Reader(PARTNERS[device.slug], device, grant, await _agreement(cast.author, device.slug))
            for device, grant in zip((market.marquee, market.tempo), grants, strict=True)
        ]
        act = Keys(cast, stored, *rooms, marquee, tempo, market.post, self._says, self._screen.cheat)
        evidence.cheats = act.found
        await act.play(*intruders, await market.ghost(stack))

    async def _lie_about_records(self, cast: Cast, market: Market, films: str, evidence: Evidence) -> None:
        self._screen.act("lies about reads", "Marquee reads; the operator lies to her and to Marquee")
        evidence.lies = await Records(cast, market.marquee, market.hands, films, PURPOSE, self._served).play()
        self._screen.lies(evidence.lies)

    async def _allowed(
        self,
        cast: Cast,
        market: Market,
        operator: Operator,
        films: str,
        grants: list[GrantState],
        asked: Asked,
        log: Path,
        evidence: Evidence,
    ) -> None:
        """What Marquee may do and what not, what it was offered in secret, and what it has that others have not."""
        if "drafts" in self._acts:
            self._screen.act("drafts", "Marquee proposes words; only her own devices can say them")
            grant_id = grants[0].grant.grant_id
            act = Speaking(cast, market.marquee, grant_id, films, market.url, self._says, evidence.speaking)
            await act.play()
            self._screen.findings(evidence.speaking)
        if "secret" in self._acts:
            self._screen.act("the extension", "the operator offers Marquee more than is published")
            extending = SecretExtension(cast, market.marquee, operator, market.url, films, evidence.secret)
            evidence.extension = await extending.play()
            self._screen.secret(evidence.secret, evidence.extension)
        if not self._acts & {"purposes", "one API"}:
            return
        outside = await Outside.look(log, operator.platform)
        if "purposes" in self._acts:
            self._screen.act("purposes", "each read names one; advertising is never implied")
            evidence.purposes = await purposes.play(cast, market.marquee, films, grants, asked, outside)
            self._screen.findings(evidence.purposes)
        if "one API" in self._acts:
            self._screen.act("one API", "both partners are shown the same, and there is nothing beside it")
            evidence.one_api = await OneApi((market.marquee, market.tempo), market.url, outside).play()
            self._screen.findings(evidence.one_api)

    async def _revoke(self, cast: Cast, marquee: Partner, stored: Stored, films: str, grant: GrantState) -> Revocation:
        self._screen.act("revocation", "she revokes: the API withholds, her devices change their keys")
        # Her phone looks at her grants now, and will not hear of the revocation before it sends again.
        await cast.say(films, self._says(), by=cast.phone)
        await cast.author.revoke(grant.grant.grant_id)
        api = refused("Marquee reads right after the revocation", await attempt(marquee.messages(films, PURPOSE)))
        lines = [line for line in self._lines(3) if line.speaker == AUTHOR]
        for line in lines:
            await cast.say(films, line, by=cast.phone if line is lines[0] else None)
        await attempt(marquee.poll())
        opened = await asyncio.to_thread(attack.opened_by, marquee, stored, cast.texts)
        revocation = Revocation(api, len(lines), sum(line.text in opened for line in lines))
        self._screen.revocation(revocation)
        return revocation

    async def _record(self, cast: Cast, partners: tuple[Partner, ...], evidence: Evidence) -> None:
        """What is recorded; and both people's complete histories as files, judged by a stranger."""
        self._screen.act("the record", "what her device finds recorded, each entry proven in the log")
        evidence.recorded = await recorded(cast.author, partners, self._served)
        self._screen.recorded(evidence.recorded)
        self._screen.act("the stranger", "gets the evidence files and the log's policy, and no network")
        folder, trust = self._folder / "evidence", await cast.author.trust()
        histories = [(await person.history()).evidence() for person in (cast.author, cast.correspondent)]
        files = stranger.written(folder, trust, *histories)
        evidence.judgement = await asyncio.to_thread(stranger.judged, folder, files, self._check)
        self._screen.judgement(evidence.judgement)

    # The log

    async def _log(self, data: Path, platform: dict[str, Any], evidence: Evidence) -> LogEvidence:
        """An outsider verifies the published files; then the same files with one byte changed."""
        self._screen.act("the log", "verified from its files alone, with the log's key")
        vkey, folder = platform["log"]["vkey"], data / "log"
        await outsider.settled(folder)
        report = await asyncio.to_thread(outsider.verify, folder, vkey)
        tampering = await asyncio.to_thread(outsider.tamper, folder, self._folder / "tampered-log", vkey)
        evidence.agreements.append(await asyncio.to_thread(outsider.published, folder, platform, PARTNERS))
        kinds = dict(report.kinds) if report else {}
        size = report.checkpoint.size if report else 0
        log = LogEvidence(str(folder), vkey, size, kinds, report is not None, tampering)
        self._screen.log(log, evidence.agreements[-1])
        return log


async def _agreement(author: Person, slug: str) -> Agreement:
    """The agreement that the author could grant under now."""
    info = next(info for info in await author.partners() if info.slug == slug)
    agreement = info.in_force(int(time.time() * 1000))
    if agreement is None:
        raise RuntimeError("the author granted something, so there is one")
    return agreement
