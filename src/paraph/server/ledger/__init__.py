"""The outbox of entries, the sequencer and the published log."""
