"""One sandbox for all tests: partners enough that no test disturbs another, and nobody talks unless told to."""

from collections.abc import Iterator

import pytest

from tests.sandbox.support import RunningSandbox


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """Marquee, Opus, Scope and Tempo are the tests' own; Starter, Newcomer and Sidecar run programs from the pages."""
    partners = [
        "marquee=films",
        "opus=music",
        "scope=films",
        "tempo=music",
        "starter=films",
        "newcomer=films",
        "sidecar=films",
    ]
    with RunningSandbox(tmp_path_factory.mktemp("sandbox") / "data", *partners) as running:
        yield running
