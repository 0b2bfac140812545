"""`paraph demo`: the main job played on a real server, with what was tried and what happened, measured."""

from paraph.cli.demo.command import command

__all__ = ["command"]
