"""Tests of the documents, entries and leaves."""
