"""Tests of `paraph.sdk.log`."""
