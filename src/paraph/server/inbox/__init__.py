"""The Inbox API: what partners call."""
