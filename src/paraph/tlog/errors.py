"""The one base of everything that the log's mathematics may refuse."""


class TlogError(ValueError):
    """Bytes, numbers or hashes that a correct log would not have produced."""
