"""People, their passwords and their access tokens."""
