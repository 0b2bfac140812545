"""Why a witness does not start."""


class WitnessError(Exception):
    """Key and state do not belong together, or are missing; starting could cosign a second history."""
