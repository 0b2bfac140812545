"""The time that a device goes by unless it is given another."""

import time


def system_time() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000
