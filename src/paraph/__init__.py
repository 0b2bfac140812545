"""Paraph: private messaging with an Inbox API whose every promise can be checked."""

__version__ = "0.1.0.dev0"
