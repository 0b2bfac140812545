"""Sync: GET /sync, from memory where it reaches back far enough, else from the tables."""
