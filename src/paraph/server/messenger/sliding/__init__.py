"""Sliding sync (MSC4186): the rooms a client looks at, in parts, instead of all of them at once."""
