"""The witness quorum: no checkpoint is published before the witnesses that the policy asks for have cosigned it.

The same round serves at the start: asked to cosign the newest tree known here once more, the witnesses either agree, or
show a newer or another one that this log's key signed. Two quorums always share a witness, so a quorum that agrees
holds one that knows the tree published last.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog

from paraph.server.ledger.errors import LedgerError, LogStopped, StartRefused
from paraph.server.ledger.files import LogFolder
from paraph.server.ledger.metrics import LedgerMetrics
from paraph.server.ledger.witness_client import SignedTree, WitnessClient, WitnessFailed
from paraph.tlog import checkpoint, note, policy
from paraph.tlog.errors import TlogError
from paraph.tlog.policy import MAX_SKEW, Cosigned, Policy, PolicyError
from paraph.tlog.tiles import consistency_proof_from_tiles, tiles_for_consistency

logger = structlog.get_logger("paraph.ledger")


class Unwitnessed(LedgerError):
    """No quorum has cosigned within the time; the tree stays signed and unpublished, and is tried again."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: until a round without a quorum has failed, and how long the others may take once there is one."""

    deadline: float = 5.0
    grace: float = 0.05


class Witnesses:
    """Collects cosignatures for one log; without a policy, it leaves checkpoints as they are."""

    def __init__(
        self,
        trusted: Policy | None,
        log: note.Verifier,
        folder: LogFolder,
        *,
        clock: Callable[[], int],
        patience: Patience = Patience(),
        transport: httpx.AsyncBaseTransport | None = None,
        metrics: LedgerMetrics | None = None,
    ) -> None:
        """`clock` gives ms. Raises StartRefused for a policy of another log, or one that cannot be satisfied."""
        self._policy = None if trusted is None else _usable(trusted, log)
        self._log = log
        self._folder = folder
        self._clock = clock
        self._patience = patience
        self._http = httpx.AsyncClient(timeout=patience.deadline, transport=transport)
        known = () if self._policy is None else self._policy.witnesses
        self._clients = [WitnessClient(one, log, self._prove, self._http) for one in known if one.url]
        self._failing: dict[str, str] = {}
        self._metrics = metrics or LedgerMetrics()
        for client in self._clients:
            self._metrics.watch(client.name)

    @property
    def audited(self) -> bool:
        """Whether no quorum is complete before somebody has read the new leaves from this platform."""
        return self._policy is not None and self._policy.map_audited

    async def cosign(self, signed: bytes) -> bytes:
        """The log's signed checkpoint with the cosignatures of a quorum, in the policy's order.

        Raises Unwitnessed if there is no quorum in time, LogStopped if a witness shows that the log was forked.
        """
        if self._policy is None:
            return signed
        trusted = self._policy
        asked = _Round(self._clients, SignedTree(checkpoint.open(signed, self._log), signed))

        def check(cosigned: bytes) -> Cosigned:
            return trusted.check(cosigned, self._clock() // 1000, MAX_SKEW)

        try:
            await asked.run(self._patience, check)
            check(asked.cosigned)
        except PolicyError as error:
            why = "; ".join(f"{name}: {reason}" for name, reason in sorted(asked.failures.items()))
            raise Unwitnessed(f"{error} ({why})" if why else str(error)) from error
        finally:
            self._tell(asked.failures)
        return asked.cosigned

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def _prove(self, old_size: int, size: int) -> list[bytes]:
        return await asyncio.to_thread(_consistency_proof, self._folder, old_size, size)

    def _tell(self, failures: dict[str, str]) -> None:
        """Count each failure; log a witness that begins or ceases to fail: there may be ten rounds a second."""
        for name in failures:
            self._metrics.witness_failed(name)
        for name in failures.keys() - self._failing.keys():
            logger.warning("witness fails", witness=name, reason=failures[name])
        for name in self._failing.keys() - failures.keys():
            logger.info("witness cosigns again", witness=name)
        self._failing = failures


class _Round:
    """One tree put before all witnesses at once."""

    def __init__(self, clients: Iterable[WitnessClient], tree: SignedTree) -> None:
        self._clients = list(clients)
        self._tree = tree
        self._found: dict[str, note.Signature] = {}
        self.failures: dict[str, str] = {}

    @property
    def cosigned(self) -> bytes:
        """The checkpoint with every cosignature so far."""
        text, own = note.parse(self._tree.note)
        found = [self._found[client.name] for client in self._clients if client.name in self._found]
        return note.encode(text, [*own, *found])

    async def run(self, patience: Patience, check: Callable[[bytes], object]) -> None:
        """Return when all have answered, at the deadline, or a moment after the checkpoint passes `check`."""
        loop = asyncio.get_running_loop()
        tasks = {asyncio.create_task(client.cosign(self._tree)): client.name for client in self._clients}
        end, pending = loop.time() + patience.deadline, set(tasks)
        try:
            while pending and loop.time() < end:
                done, pending = await asyncio.wait(
                    pending, timeout=end - loop.time(), return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    self._note_down(tasks[task], task)
                if done and self._passes(check):
                    end = min(end, loop.time() + patience.grace)
            if not self._passes(check):
                self.failures |= {tasks[task]: f"no answer within {patience.deadline} s" for task in pending}
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _note_down(self, name: str, task: "asyncio.Task[note.Signature]") -> None:
        try:
            self._found[name] = task.result()
        except WitnessFailed as error:
            self.failures[name] = str(error)

    def _passes(self, check: Callable[[bytes], object]) -> bool:
        try:
            check(self.cosigned)
        except PolicyError:
            return False
        return True


def load_policy(path: Path) -> Policy:
    """The policy in a file. Raises StartRefused."""
    try:
        return policy.parse(path.read_bytes())
    except (OSError, TlogError) as error:
        raise StartRefused(f"the witness policy {path} cannot be used: {error}") from error


def _usable(trusted: Policy, log: note.Verifier) -> Policy:
    """The policy for this log, if its quorum can be asked. Raises StartRefused."""
    try:
        trusted = trusted.for_log(log)
    except TlogError as error:
        raise StartRefused(f"the witness policy is another log's: {error}") from error
    if trusted.quorum_time({one.name: 0 for one in trusted.witnesses if one.url}) is None:
        raise StartRefused("the witness policy gives too few witnesses a URL: no quorum of them can be asked")
    return trusted


def _consistency_proof(folder: LogFolder, old_size: int, size: int) -> list[bytes]:
    """The proof, from published tiles. Raises LogStopped if they are damaged."""
    tiles = {tile: folder.read(tile.path) or b"" for tile in tiles_for_consistency(old_size, size)}
    try:
        return consistency_proof_from_tiles(old_size, size, tiles)
    except TlogError as error:
        raise LogStopped(f"the published tiles of the log of size {size} are damaged: {error}") from error
