"""A Matrix device engine over vodozemac: keys, sessions and trust, without I/O and without a clock."""

from paraph.sdk.engine.machine import DeviceEngine

__all__ = ["DeviceEngine"]
