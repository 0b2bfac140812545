"""The `paraph` command and its subcommands."""

from typing import Annotated

import typer

from paraph import __version__
from paraph.cli import agreement, backup, consent, demo, log, partner, policy, sandbox, serve, user, witness

app = typer.Typer(
    name="paraph",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Private messaging with an Inbox API whose every promise can be checked.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"paraph {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Private messaging with an Inbox API whose every promise can be checked."""


app.command()(serve.serve)
app.command()(backup.backup)
app.command()(backup.restore)
app.command()(consent.consent)
app.command(name="demo")(demo.command)
app.add_typer(user.app, name="user")
app.add_typer(partner.app, name="partner")
app.add_typer(agreement.app, name="agreement")
app.add_typer(log.app, name="log")
app.add_typer(witness.app, name="witness")
app.add_typer(policy.app, name="policy")
app.add_typer(sandbox.app, name="sandbox")


def main() -> None:
    """Entry point of the `paraph` script."""
    app()
