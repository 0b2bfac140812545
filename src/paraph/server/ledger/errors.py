"""Errors of the log: "this batch failed" (tried again) and "stop the log" (a person must look) are different things."""

from paraph.server.http import MatrixError


class LedgerError(Exception):
    """The ledger could not do what was asked."""


class LogStopped(LedgerError):
    """Going on could make the log contradict what it already published; nothing more is sequenced or recorded."""


class StartRefused(LogStopped):
    """Key, checkpoints.db and log/ do not belong together; starting could fork the log."""


class MapNotKept(LedgerError):
    """The verifiable map of this size is not in memory: never an epoch's, not published, or too old."""


class TooManyLeaves(LedgerError):
    """The keys asked for at once hold more leaves than one answer may."""


class LogUnavailable(MatrixError):
    """The log has stopped, so nothing can be recorded, and nothing that needs a record can be done."""

    def __init__(self) -> None:
        super().__init__(503, "ORG_PARAPH_LOG_STOPPED", "the log has stopped; nothing that needs a record can be done")


class LogNotFresh(MatrixError):
    """The log does not keep up with what is recorded, so nothing is read that would need a receipt."""

    def __init__(self, why: str, *, seconds: int = 5) -> None:
        """`seconds`: after which to ask again."""
        super().__init__(
            503,
            "ORG_PARAPH_LOG_NOT_FRESH",
            f"reads wait until the log keeps up: {why}; nothing was read or recorded",
            headers=((b"retry-after", b"%d" % seconds),),
        )


class NoLogKey(MatrixError):
    """A private entry needs the person's account log key, which comes with her first enrolment."""

    def __init__(self, person: str) -> None:
        super().__init__(403, "ORG_PARAPH_NOT_ENROLLED", f"{person} has no enrolled device yet; enrol one first")
