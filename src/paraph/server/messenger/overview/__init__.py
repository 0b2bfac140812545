"""Rooms as those see them who are not in them: summaries, and the tree of a space."""
