"""One witness as the log sees it: what it cosigned last, and how to bring it to the newest tree (C2SP tlog-witness)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from http import HTTPStatus

import httpx

from paraph.server.ledger.errors import LogStopped
from paraph.tlog import checkpoint, note, witness
from paraph.tlog.checkpoint import Checkpoint
from paraph.tlog.errors import TlogError
from paraph.tlog.merkle import ProofError, verify_consistency
from paraph.tlog.policy import Witness
from paraph.tlog.witness import MAX_REQUEST, AddCheckpoint, BadAnswer

ATTEMPTS = 3
"""Requests for one cosignature: the witness may tell another size twice, no more."""
_HEADERS = {"Content-Type": "text/plain; charset=utf-8", "Accept-Encoding": "identity"}

Prove = Callable[[int, int], Awaitable[list[bytes]]]
"""Consistency proof of this log, from an old size to a new one."""


class WitnessFailed(Exception):
    """This witness did not cosign, for a reason that is its own or the network's."""


@dataclass(frozen=True, slots=True)
class SignedTree:
    """A checkpoint of our log and its note, signed by the log alone."""

    checkpoint: Checkpoint
    note: bytes


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes


class WitnessClient:
    """Asks one witness for cosignatures. Not for two trees at once."""

    def __init__(self, known: Witness, log: note.NoteVerifier, prove: Prove, http: httpx.AsyncClient) -> None:
        self.name = known.name
        self._verifier = known.verifier
        self._url = known.url
        self._log = log
        self._prove = prove
        self._http = http
        self._size: int | None = None  # what it cosigned last, as far as we know

    async def cosign(self, tree: SignedTree) -> note.Signature:
        """The witness's cosignature on a tree, proven to go on from the one that it cosigned last.

        Raises WitnessFailed, or LogStopped if the witness shows that this log's key signed another history.
        """
        try:
            return await self._cosign(tree)
        except (httpx.HTTPError, httpx.InvalidURL, BadAnswer) as error:
            raise WitnessFailed(f"{type(error).__name__}: {error}") from error

    async def _cosign(self, tree: SignedTree) -> note.Signature:
        size = tree.checkpoint.size
        old = size if self._size is None else min(self._size, size)
        for _ in range(ATTEMPTS):
            answer = await self._submit(old, tree)
            if answer.status == HTTPStatus.OK:
                signature = witness.parse_cosignature(answer.body, tree.checkpoint.text, self._verifier)
                self._size = size
                return signature
            known = witness.parse_size(answer.body) if answer.status == HTTPStatus.CONFLICT else None
            if known is None or known == old or known > size:
                await self._refused(tree, answer)
            else:
                old = known
        raise WitnessFailed("it named another size with each request")

    async def _submit(self, old: int, tree: SignedTree) -> _Answer:
        proof = await self._prove(old, tree.checkpoint.size)
        request = AddCheckpoint(old, tuple(proof), tree.note)
        return await self._fetch("POST", "add-checkpoint", request.encode())

    async def _refused(self, tree: SignedTree, answer: _Answer) -> None:
        """Why a witness did not cosign. A claim that we signed another history counts only with our own signature."""
        self._size = None
        if answer.status in (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY):
            await self._look_for_a_fork(tree)
        said = answer.body[:200].decode(errors="replace").strip()
        raise WitnessFailed(f"it answered {answer.status}: {said}")

    async def _look_for_a_fork(self, tree: SignedTree) -> None:
        origin = sha256(tree.checkpoint.origin.encode()).hexdigest()
        found = await self._fetch("GET", f"{origin}/checkpoint", None)
        try:
            theirs = checkpoint.open(found.body, self._log)
        except TlogError:
            return
        if theirs.size > tree.checkpoint.size:
            raise LogStopped(
                f"the witness {self.name} cosigned a tree of size {theirs.size}, signed with this log's key, but the"
                f" newest one known here is of size {tree.checkpoint.size}: something older was put back, and going on"
                " would fork the log. Go on with the newest checkpoints.db and log/ there are, or restore the backup"
                " with `paraph restore --log` and a copy of the published log of that size; do not remove the witness"
            )
        proof = await self._prove(theirs.size, tree.checkpoint.size)
        try:
            verify_consistency(theirs.size, tree.checkpoint.size, theirs.root, tree.checkpoint.root, proof)
        except ProofError as error:
            raise LogStopped(
                f"the witness {self.name} cosigned another tree of size {theirs.size}, signed with this log's key:"
                " there are two histories of this log"
            ) from error

    async def _fetch(self, method: str, path: str, content: bytes | None) -> _Answer:
        async with self._http.stream(method, f"{self._url}/{path}", content=content, headers=_HEADERS) as response:
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > MAX_REQUEST:
                    raise BadAnswer(f"an answer of more than {MAX_REQUEST} bytes")
            return _Answer(response.status_code, bytes(body))
