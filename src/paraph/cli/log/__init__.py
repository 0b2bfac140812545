"""`paraph log`: check what the log says without believing anybody, offline from files or over HTTP.

One module a command; each is a plain function that this one registers.
"""

import typer

from paraph.cli.log import check, disclose, fsck, history, proof, verify, watch

app = typer.Typer(no_args_is_help=True, help="Verify the public log. Needs no account and trusts no server.")


@app.callback()
def root() -> None:
    """Verify the public log. Needs no account and trusts no server."""


app.command()(verify.verify)
app.command()(check.check)
app.command()(history.history)
app.command()(disclose.disclose)
app.command(name="proof")(proof.check)
app.command()(fsck.fsck)
app.command()(watch.watch)
