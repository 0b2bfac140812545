"""A witness's folder: `witness.key` (its private key) and `witness.db` (what it cosigned), made together, once.

A map auditor has a `map-<log>.db` for each log besides: what it followed, which it makes again if it is lost.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from paraph.tlog import note, policy, policy_change
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.errors import TlogError
from paraph.witness.audit_store import AuditStore
from paraph.witness.auditor import MapAuditor
from paraph.witness.errors import WitnessError
from paraph.witness.source import HttpSource
from paraph.witness.store import WitnessStore, origin_hash

KEY, STATE = "witness.key", "witness.db"


def create(folder: Path, name: str) -> CosignatureSigner:
    """Make a new witness called `name`; raises WitnessError if the folder holds one, or the name cannot be."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        signer = CosignatureSigner.generate(name)
    except TlogError as error:
        raise WitnessError(str(error)) from error
    _write_key(folder / KEY, signer)
    WitnessStore.create(folder / STATE, signer.verifier.vkey)
    return signer


def open_folder(folder: Path) -> tuple[CosignatureSigner, WitnessStore]:
    """Key and state of the witness in a folder. Raises WitnessError if either is missing, damaged or another's."""
    try:
        signer = CosignatureSigner.from_skey((folder / KEY).read_text(encoding="utf-8").removesuffix("\n"))
    except FileNotFoundError:
        raise WitnessError(f"{folder / KEY} is missing; make a witness with `paraph witness keygen`") from None
    except ValueError as error:
        raise WitnessError(f"{folder / KEY} is not a witness's key: {error}") from error
    return signer, WitnessStore(folder / STATE, signer.verifier.vkey)


def open_auditor(folder: Path, log: note.Verifier, url: str, vkey: str, clock: Callable[[], int]) -> MapAuditor:
    """The map auditor of a log that is published at `url`; `vkey` is the witness's. Raises WitnessError."""
    faults = WitnessStore(folder / STATE, vkey)  # its own connection: audits have a thread of their own
    store = AuditStore(folder / f"map-{origin_hash(log.name)[:16]}.db")
    return MapAuditor(store, HttpSource(url), faults.keep_fault, clock=clock)


def endorse(folder: Path, signed: bytes, old: bytes, log: note.Verifier, now: int) -> bytes:
    """A change of policy with this witness's endorsement besides; `now` in seconds.

    A witness endorses one successor of a policy, ever: two quorums share a witness, so a policy cannot be replaced by
    two. Raises WitnessError for a change that this witness has no say in, or must not endorse.
    """
    signer, store = open_folder(folder)
    with contextlib.closing(store):
        try:
            change = policy_change.check_signed(signed, old, log)
            if signer.verifier not in [known.verifier for known in policy.parse(old).witnesses]:
                raise WitnessError(f"{signer.name} is none of the old policy's witnesses: nothing depends on it")
            if not store.endorse(change.origin, change.predecessor, change.text, now):
                raise WitnessError("this witness has endorsed another successor of the same policy already")
            return policy_change.cosign(signed, signer, now)
        except TlogError as error:
            raise WitnessError(str(error)) from error


def _write_key(path: Path, signer: CosignatureSigner) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WitnessError(f"{path} exists already; keys are never overwritten") from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(signer.skey + "\n")
        file.flush()
        os.fsync(file.fileno())
