"""`paraph partner sidecar`: a partner's device served as JSON on this machine, to programs in any language."""

from paraph.cli.sidecar.command import sidecar

__all__ = ["sidecar"]
