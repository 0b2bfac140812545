"""Searching what this server can read."""
