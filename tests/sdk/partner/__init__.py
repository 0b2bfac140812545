"""Tests of `paraph.sdk.partner`."""
