"""Filters: what a client asks to be left out."""
