"""Tests of what people's devices and partners run."""
