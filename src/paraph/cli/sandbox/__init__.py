"""`paraph sandbox`: a platform on a developer's own machine, with people who talk, grant and revoke when told to."""

from paraph.cli.sandbox.command import app

__all__ = ["app"]
