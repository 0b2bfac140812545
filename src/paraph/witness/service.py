"""What a witness does: check a submission against what it knows, persist, cosign."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from paraph.tlog import note, witness
from paraph.tlog.cosignature import CosignatureSigner
from paraph.tlog.witness import Contradiction, Submission
from paraph.witness.store import Cosigned, FoundContradiction, WitnessStore


class Witness:
    """One witness key, its state and the logs that it watches. Not for several threads at once."""

    def __init__(
        self, store: WitnessStore, signer: CosignatureSigner, logs: Sequence[note.Verifier], clock: Callable[[], int]
    ) -> None:
        """`clock` gives seconds since 1970."""
        self._store = store
        self._signer = signer
        self._logs = witness.logs_by_origin(logs)
        self._clock = clock

    def add_checkpoint(self, body: bytes) -> bytes:
        """Answer `add-checkpoint` with a signature line; the checkpoint is on disk when this returns.

        Raises `tlog.witness.Refused` with the protocol's status. Anything else: nothing was cosigned for the caller.
        """
        return self.cosign(self.read(body))

    def read(self, body: bytes) -> Submission:
        """A request whose tree goes on from the one cosigned last, as of now. Raises Refused; signs nothing."""
        submission = witness.open_request(body, self._logs)
        with self._keeping(submission):
            _check(submission, self._store.newest(submission.origin))
        return submission

    def cosign(self, submission: Submission) -> bytes:
        """Cosign what `read` gave, if it still goes on from the tree cosigned last; durable. Raises Refused."""
        answer: list[note.Signature] = []

        def decide(known: Cosigned | None) -> Cosigned:
            _check(submission, known)
            now = self._clock()
            answer.append(self._signer.cosign(submission.checkpoint.text, now))
            return Cosigned(submission.checkpoint, now, submission.note(*answer))

        with self._keeping(submission):
            self._store.advance(submission.origin, decide)
        return answer[0].line.encode()

    def checkpoint(self, origin_hash: str) -> bytes | None:
        """The newest checkpoint cosigned of a log, with the log's signatures and the witness's; None if never."""
        found = self._store.by_hash(origin_hash)
        return None if found is None else found.note

    def close(self) -> None:
        """Close the state."""
        self._store.close()

    @contextlib.contextmanager
    def _keeping(self, submission: Submission) -> Iterator[None]:
        """Keep both notes of a log that contradicts itself."""
        try:
            yield
        except Contradiction:
            known = self._store.newest(submission.origin)
            if known is not None:
                size, now = submission.checkpoint.size, self._clock()
                found = FoundContradiction(submission.origin, size, now, known.note, submission.note())
                self._store.keep_contradiction(found)
            raise


def _check(submission: Submission, known: Cosigned | None) -> None:
    witness.check(submission, None if known is None else known.checkpoint)
