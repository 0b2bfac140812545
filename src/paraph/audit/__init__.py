"""Verification alone: what an outsider runs on a laptop without the network."""
