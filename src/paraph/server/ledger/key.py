"""The log's signing key: `keys/log.key`, made at the first start and never replaced silently."""

from pathlib import Path

from paraph.server.ledger.errors import StartRefused
from paraph.server.ledger.files import write_secret
from paraph.tlog import note


def load_log_key(path: Path, origin: str, *, new_log: bool) -> note.Signer:
    """The key in `path` (signed-note skey text), made first if there is no log yet.

    Raises StartRefused if the key is missing though a log exists, is malformed, or has another name than `origin`.
    """
    if not path.exists():
        if not new_log:
            raise StartRefused(f"{path} is missing, but the log that it signed exists; bring the key back")
        write_secret(path, note.Signer.generate(origin).skey + "\n")
    try:
        signer = note.Signer.from_skey(path.read_text(encoding="utf-8").strip())
    except ValueError as error:
        raise StartRefused(f"{path} is not a signed-note key: {error}") from error
    if signer.name != origin:
        raise StartRefused(f"{path} is the key of {signer.name}, but this log's origin is {origin}")
    return signer
