"""One sandbox for all tests: partners enough that no test disturbs another, and nobody talks unless told to."""

from collections.abc import Iterator

import pytest

from tests.sandbox.support import RunningSandbox

PARTNERS = [
    "marquee=films",
    "opus=music",
    "scope=films",
    "tempo=music",
    "starter=films",
    "newcomer=films",
    "sidecar=films",
]
"""Marquee, Opus, Scope and Tempo are the tests' own; Starter, Newcomer and Sidecar run programs from the pages."""


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """It runs until the last test."""
    with RunningSandbox(tmp_path_factory.mktemp("sandbox") / "data", *PARTNERS) as running:
        yield running
