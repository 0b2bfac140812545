"""The command: open the partner's store, listen on this machine alone, and serve until stopped."""

import json
import os
import secrets
import socket
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from paraph.cli.output import err, fail

HOST = "127.0.0.1"
GIVEN = "PARAPH_SIDECAR_TOKEN"
MIN_LENGTH = 20
AT_ONCE = 100
"""Requests that are served side by side."""


def sidecar(
    file: Annotated[Path, typer.Argument(help="partner.json: `store`, `passphrase` and, if one is meant, `purpose`.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port on 127.0.0.1; 0 takes a free one.")] = 8642,
    purpose: Annotated[str | None, typer.Option(help="What requests are for that name no purpose.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="Where this run's token is written [default: sidecar-token beside partner.json]."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say in one line of JSON where it is.")] = False,
) -> None:
    """Serve what this partner may open as JSON on this machine, to programs in any language.

    Each run has a token of its own, written to a file that only you can read; PARAPH_SIDECAR_TOKEN sets it.

    Example: paraph partner sidecar ./sandbox/partners/marquee/partner.json --port 8642
    """
    from paraph.cli.sidecar.app import Application
    from paraph.cli.sidecar.handlers import Handlers
    from paraph.sdk import Partner, SdkError, SqliteStore, clock_of

    needs = _needs(file)
    token, place = _token(token_file or file.with_name("sidecar-token"))
    try:
        listener = socket.create_server((HOST, port), backlog=128, reuse_port=False)
    except OSError as error:
        fail(f"cannot listen on {HOST}:{port}: {error.strerror or error}")
    try:
        now = clock_of(needs)
        store = SqliteStore.open(Path(needs["store"]), passphrase=needs["passphrase"])
        partner = Partner.open(store, now=now)
    except SdkError as error:
        fail(str(error))
    bound = int(listener.getsockname()[1])
    handlers = Handlers(partner, purpose or needs.get("purpose"), now)
    url = f"http://{HOST}:{bound}"
    _say(url, partner.slug, place, as_json=as_json)
    _run(Application(handlers, token, lambda: bound, version("paraph")), listener)


def _needs(file: Path) -> dict[str, Any]:
    try:
        needs = json.loads(file.read_text(encoding="utf-8"))
        if not all(isinstance(needs[name], str) for name in ("store", "passphrase")):
            raise ValueError("store and passphrase are texts")
    except (OSError, ValueError, KeyError, TypeError) as error:
        fail(f"{file} is no partner.json with `store` and `passphrase`: {error}", status=2)
    return dict(needs)


def _token(file: Path) -> tuple[str, str]:
    """This run's token, and where a program finds it."""
    given = os.environ.get(GIVEN)
    if given is not None:
        if len(given) < MIN_LENGTH or not given.isascii() or not given.isprintable() or " " in given:
            fail(f"{GIVEN} is at least {MIN_LENGTH} printable characters without a space", status=2)
        return given, f"${GIVEN}"
    made, partial = secrets.token_urlsafe(32), file.with_name(f"{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(made + "\n")
        partial.replace(file)
    except OSError as error:
        fail(f"the token cannot be written to {file}: {error.strerror or error}")
    return made, str(file)


def _say(url: str, slug: str, place: str, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"url": url, "partner": slug, "token": place}) + "\n")
        sys.stdout.flush()
    else:
        err.print(
            f"[bold]paraph[/] serves {slug} at {url}, the token is in {place}; {url}/openapi.json says what there is"
        )


def _run(application: object, listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        application,  # type: ignore[arg-type]
        lifespan="on",
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_level="warning",
        limit_concurrency=AT_ONCE,
        timeout_graceful_shutdown=2,
    )
    uvicorn.Server(config).run(sockets=[listener])
