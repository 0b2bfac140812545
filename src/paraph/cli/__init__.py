"""The `paraph` command."""
