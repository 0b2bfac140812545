"""Presence: whether somebody is here."""
