"""Interactive verification (Matrix, "Key verification framework" and "Short Authentication String"), without I/O.

Two people compare seven emoji (or three numbers) that both devices make out of one key agreement; then each device
tells the other, under that agreement, which keys are its person's. Only the method `m.sas.v1` is spoken.
"""

from paraph.sdk.engine.verification.flow import Flow
from paraph.sdk.engine.verification.model import CancelCode, Phase, ShortCode
from paraph.sdk.engine.verification.verifications import Verifications

__all__ = ["CancelCode", "Flow", "Phase", "ShortCode", "Verifications"]
