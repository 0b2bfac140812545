"""The documents that people, partners and the operator sign, and the entries that the log commits to."""
