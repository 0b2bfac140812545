"""The benchmark of letting a partner in still runs."""

from __future__ import annotations

from bench.authorization import measure


async def test_every_figure_is_there() -> None:
    """Both algorithms, three steps each; a poll that is refused would raise."""
    figures = await measure(rounds=1, calls=3)
    assert len(figures) == 6
    assert all(value > 0 for value in figures.values())
