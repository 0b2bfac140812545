"""`paraph backup` and `paraph restore`: copies of a data folder that can be gone on with."""

import asyncio
import os
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from paraph import __version__
from paraph.audit.errors import LogError
from paraph.cli.admin import AsJson, Data
from paraph.cli.log.fsck import examine, tell
from paraph.cli.log.source import source_of
from paraph.cli.output import emit_json, err, fail, out

if TYPE_CHECKING:
    from paraph.server.config import Settings
    from paraph.server.ledger.backup import Manifest

Config = Annotated[Path | None, typer.Option(help="Settings file [default: paraph.toml if there].")]
DUMP = "paraph.dump"
"""The PostgreSQL database, as pg_dump writes it for pg_restore."""


def backup(
    data: Data,
    to: Annotated[Path, typer.Option(help="A new folder for this backup.")],
    pg_dump: Annotated[str, typer.Option(help="The pg_dump to run, where the database is PostgreSQL.")] = "pg_dump",
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Copy a data folder, whether or not its server runs: databases, keys, log and files, as of one moment.

    The copy holds every secret of the platform: keep it as you keep the original.

    Example: paraph backup --data ./data --to /mnt/backup/2026-01-31
    """
    from paraph.server.app import REFUSALS
    from paraph.server.ledger.backup import Backup, BackupError

    settings = _settings(config, data)
    try:
        manifest = asyncio.run(_take(settings, Backup(data, to), to, pg_dump, hidden=as_json))
    except (BackupError, *REFUSALS, sqlite3.Error, LogError, subprocess.SubprocessError) as error:
        fail(f"no backup was made: {error}")
    if as_json:
        emit_json({"folder": str(to), "size": manifest.size, "root": manifest.root, "vkey": manifest.vkey})
        return
    out.print(f"[bold green]{to}[/] holds the platform with a log of {manifest.size} leaves; check it with")
    out.print(f"  paraph log fsck --data {to}" if settings.database == "sqlite" else f"  pg_restore --list {to / DUMP}")


async def _take(settings: "Settings", made: Any, to: Path, pg_dump: str, *, hidden: bool) -> "Manifest":
    from paraph.server.app import reading_database
    from paraph.server.ledger.backup import Manifest, copy_connection
    from paraph.server.media.backup import copy_files
    from paraph.tlog import note

    vkey = note.Signer.from_skey((settings.data / "keys" / "log.key").read_text(encoding="utf-8").strip()).vkey
    opened = reading_database(settings.data, settings.database)
    try:
        with Progress(
            TextColumn("copying"), BarColumn(), TimeRemainingColumn(), console=err, transient=True, disable=hidden
        ) as bar:
            task = bar.add_task("pages", total=None)

            def pages(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total)

            def copy(tx: Any) -> None:
                if settings.database == "sqlite":
                    copy_connection(tx.connection, to / "paraph.db", pages)
                else:
                    [[snapshot]] = tx.rows("SELECT pg_export_snapshot()")
                    _dump(settings.database, snapshot, to / DUMP, pg_dump)

            head = await made.take(opened.read, copy)
            await asyncio.to_thread(copy_files, settings.data / "media", to / "media")
    finally:
        await opened.close()
    kind = "sqlite" if settings.database == "sqlite" else "postgresql"
    manifest = Manifest(vkey, head.size, head.root.hex(), kind, time.time_ns() // 1_000_000, __version__)
    made.seal(manifest)
    return manifest


_NAMES = {"dbname": "PGDATABASE"}
"""libpq's parameters whose variable is not PG and their own name."""


def _dump(database: str, snapshot: str, place: Path, pg_dump: str) -> None:
    """Let pg_dump write what this moment of the database holds. The URL goes by environment: it may hold a password."""
    from psycopg import conninfo

    known = conninfo.conninfo_to_dict(database)
    named = {_NAMES.get(name, f"PG{name.upper()}"): str(value) for name, value in known.items() if value is not None}
    command = [pg_dump, "--format=custom", f"--snapshot={snapshot}", f"--file={place}"]
    place.touch(mode=0o600)
    found = subprocess.run(command, env={**os.environ, **named}, capture_output=True, text=True, check=False)  # noqa: S603
    if found.returncode:
        raise OSError(f"pg_dump failed: {found.stderr.strip()[-500:]}")


def restore(
    source: Annotated[Path, typer.Option("--from", help="The folder of a backup.")],
    data: Annotated[Path, typer.Option(help="The new data folder; it must not exist, or be empty.")],
    log: Annotated[
        str | None, typer.Option(help="A newer copy of the published log (folder or URL) to catch up with.")
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Nothing newer was ever published, and the original never runs again.")
    ] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Put a backup back into a new data folder, check it, and say what the next start will do.

    A PostgreSQL database is put back first, with pg_restore. Exit status 1: a check found something wrong.

    Example: paraph restore --from /mnt/backup/2026-01-31 --data ./data --log https://mirror.example.org/log
    """
    from paraph.server.ledger import backup as ledger_backup
    from paraph.server.ledger.errors import LedgerError
    from paraph.server.media.backup import copy_files

    settings = _settings(config, data)
    try:
        manifest = ledger_backup.read_manifest(source)
        if (manifest.database == "sqlite") != (settings.database == "sqlite"):
            fail(f"this backup is of a platform on {manifest.database}: set `database` accordingly", status=2)
        ledger_backup.restore(source, data, last=last)
        copy_files(source / "media", data / "media")
        if log is not None:
            before, after = ledger_backup.catch_up(data, source_of(log)[0])
            err.print(f"the log was brought from {before} to {after} leaves")
    except (LedgerError, LogError, OSError, sqlite3.Error, ValueError) as error:
        fail(str(error))
    findings, alone = examine(data, settings.database)
    tell(findings, alone=alone, as_json=as_json)
    if not as_json:
        _tell_next(data, manifest, witnessed=bool(settings.witnesses), last=last)
    if any(finding.outcome == "wrong" for finding in findings):
        raise typer.Exit(1)


def _tell_next(data: Path, manifest: "Manifest", *, witnessed: bool, last: bool) -> None:
    made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(manifest.made / 1000))
    out.print(f"\n{data} is as of {made}. What happens next:")
    if witnessed:
        out.print(
            "- The start shows the newest tree of this log to the witnesses. If they know a newer one, it refuses:"
            " restore again, with --log and a copy of the newest published log."
        )
    if witnessed and not last:
        out.print("- Nothing is signed for the first five minutes, in which an original that still runs would show.")
    if not witnessed and not last:
        out.print(
            "- No witnesses are set: the start refuses until you say that nothing newer was ever published"
            " (--last, or remove restored.json), since nobody else can know."
        )
    out.print("- People are told: what happened after the backup is not in this database; the log may prove it.")


def _settings(config: Path | None, data: Path) -> "Settings":
    from paraph.server.config import SettingsError, load

    try:
        return load(config, data=data)
    except SettingsError as error:
        fail(str(error), status=2)
