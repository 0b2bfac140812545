"""`paraph serve`: the platform, in one process of however many share its database and data folder."""

import gc
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from paraph.cli.output import err, fail

# Seconds until a busy event loop lets the committing thread go on; CPython's 5 ms starves it. See docs/adr/0003.
SWITCH_INTERVAL = 0.00005
# Objects made and kept before the collector looks for cycles. CPython's 700 has it walk over everything that lives
# twice a second under load, 40 to 120 ms each time; requests make next to no cycles. See docs/performance.md.
COLLECT_AFTER = 50_000


def serve(
    data: Annotated[Path | None, typer.Option(help="Folder for databases, keys and the public log.")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port; 0 takes a free one.")] = None,
    bind: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    server_name: Annotated[str | None, typer.Option(help="What follows the colon in user ids.")] = None,
    registration: Annotated[str | None, typer.Option(help="open, token or closed.")] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file [default: paraph.toml if there].")] = None,
) -> None:
    """Run the platform. Every setting has a default, a line in paraph.toml and a PARAPH_* variable.

    Example: paraph serve --data ./data --port 8008 --registration open
    """
    from paraph.server.config import SettingsError, load

    try:
        settings = load(config, data=data, port=port, bind=bind, server_name=server_name, registration=registration)
    except SettingsError as error:
        fail(str(error), status=2)
    run(settings)


def run(settings: object) -> None:
    """Listen, write `server.json` into the data folder, and serve until stopped."""
    import socket

    import uvicorn

    import paraph.server.app as app
    from paraph.server.config import Settings
    from paraph.server.http.gate import Gate

    if not isinstance(settings, Settings):
        raise TypeError("settings expected")
    try:
        listener = socket.create_server((settings.bind, settings.port), backlog=2048, reuse_port=False)
    except OSError as error:
        fail(f"cannot listen on {settings.bind}:{settings.port}: {error.strerror or error}")
    settings = settings.with_port(listener.getsockname()[1])
    try:
        with app.starting(settings.data):
            server = app.build(settings, _clock(settings.clock_file) if settings.clock_file else app.system_time)
            _write_server_file(settings.data, settings.base_url)
    except app.REFUSALS as error:
        fail(str(error))
    sys.setswitchinterval(SWITCH_INTERVAL)
    keep_secrets_out_of_logs()
    gc.collect()
    gc.freeze()  # what is there by now stays until the end: never walk over it again
    gc.set_threshold(COLLECT_AFTER)
    err.print(f"[bold]paraph[/] serves {settings.server_name} at {settings.base_url}, data in {settings.data}")
    if not settings.witnesses:
        err.print("[yellow]No witnesses are named[/]: messages work, and people's devices share with no partner.")
    config = uvicorn.Config(
        server.application,
        loop="uvloop",
        http=Gate().protocol(),
        lifespan="on",
        ws="none",
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
    )
    process = uvicorn.Server(config)
    process.run(sockets=[listener])
    if not process.started:
        raise typer.Exit(1)


def _clock(file: str) -> Callable[[], int]:
    """A sandbox's clock."""
    from paraph.sdk import SdkError, sandbox_clock

    try:
        return sandbox_clock(Path(file))
    except SdkError as error:
        fail(str(error))


def keep_secrets_out_of_logs() -> None:
    """Log tracebacks without the values of variables, which structlog shows by default: passwords, tokens, URLs."""
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso"),
            structlog.dev.set_exc_info,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    )


def _write_server_file(data: Path, url: str) -> None:
    """Say where this process listens, and under `others` where those do that run beside it."""
    place, partial = data / "server.json", data / f"server.json.{os.getpid()}"
    try:
        before = json.loads(place.read_text(encoding="utf-8"))
        known = [{"url": one["url"], "pid": one["pid"]} for one in (before, *before.get("others", ()))]
    except (OSError, ValueError, KeyError, TypeError):
        known = []
    others = [one for one in known if one["url"] != url and _is_running(one["pid"])]
    partial.write_text(json.dumps({"url": url, "pid": os.getpid(), "others": others}) + "\n", encoding="utf-8")
    partial.replace(place)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:  # gone, or by now the number of somebody else's process
        return False
    return True
