"""How many cases of the corpus a test run judged, told at its end."""

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up what the tests of the corpus recorded, in whichever process they ran."""
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    counts = [value for report in reports for name, value in getattr(report, "user_properties", ()) if name == "corpus"]
    if counts:
        refused, other, same = (sum(column) for column in zip(*counts, strict=True))
        terminalreporter.write_line(
            f"negative corpus: {refused + other + same} cases of {len(counts)} structures: {refused} refused, "
            f"{other} read as the other value that they spell, {same} that say the same by their format's own rule"
        )
