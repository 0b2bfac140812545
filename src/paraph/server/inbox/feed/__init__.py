"""The partners' streams of changes, as they are kept: a part of the inbox with tables of its own."""
