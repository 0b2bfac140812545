"""Backups of message keys, sealed by a person's devices: ciphertext that the platform keeps and cannot open."""
