"""Rooms, messages and sync: the Matrix Client-Server API for people."""
