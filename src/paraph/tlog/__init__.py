"""The transparency log as pure mathematics: no disk, no network, no clock."""
