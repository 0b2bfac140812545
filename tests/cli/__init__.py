"""Tests of the command line as a person meets it."""
