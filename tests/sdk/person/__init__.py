"""Tests of `paraph.sdk.person`."""
