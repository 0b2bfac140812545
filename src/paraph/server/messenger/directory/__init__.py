"""Room aliases, and the public list of rooms."""
