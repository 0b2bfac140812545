"""The demo's witnesses, and what they say of the log."""

import time
from pathlib import Path

from paraph.cli import processes
from paraph.cli.demo.evidence import Witnessed
from paraph.tlog import note, policy


class Witnesses(processes.Witnesses):
    """Two witnesses and a map auditor, and a look at what they cosigned."""

    def __init__(self, root: Path, data: Path, port: int, *, origin: str = "localhost/log") -> None:
        """Keep keys below `root`; `data` is the platform's folder, `port` where it will be."""
        super().__init__(root, data, port, origin=origin)
        self._log = data / "log"

    def __enter__(self) -> "Witnesses":
        """Start them and write the policy."""
        super().__enter__()
        return self

    def witnessed(self) -> Witnessed:
        """What the policy says of the newest published checkpoint. Raises TlogError or OSError."""
        signed, now = (self._log / "checkpoint").read_bytes(), int(time.time())
        log = note.Signer.from_skey(self.log_key.read_text(encoding="utf-8").removesuffix("\n")).verifier
        trusted = policy.parse(self.policy.read_bytes()).for_log(log)
        found = trusted.check(signed, now)
        return Witnessed(found.checkpoint.size, sorted(found.times), trusted.map_audited, max(now - found.time, 0))
