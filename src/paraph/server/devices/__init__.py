"""The key directory, one-time keys, cross-signing and the to-device queue."""
