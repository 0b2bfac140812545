"""What a witness does: check a submission against what it knows, persist, cosign."""

from collections.abc import Callable, Sequence

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
        submission = witness.open_request(body, self._logs)
        answer: list[note.Signature] = []

        def decide(known: Cosigned | None) -> Cosigned:
            witness.check(submission, None if known is None else known.checkpoint)
            now = self._clock()
            answer.append(self._signer.cosign(submission.checkpoint.text, now))
            return Cosigned(submission.checkpoint, now, submission.note(*answer))

        try:
            self._store.advance(submission.origin, decide)
        except Contradiction:
            self._keep(submission)
            raise
        return answer[0].line.encode()

    def checkpoint(self, origin_hash: str) -> bytes | None:
        """The newest checkpoint cosigned of a log, with the log's signatures and the witness's; None if never."""
        found = self._store.by_hash(origin_hash)
        return None if found is None else found.note

    def close(self) -> None:
        """Close the state."""
        self._store.close()

    def _keep(self, submission: Submission) -> None:
        known = self._store.newest(submission.origin)
        if known is not None:
            self._store.keep_contradiction(
                FoundContradiction(
                    submission.origin, submission.checkpoint.size, self._clock(), known.note, submission.note()
                )
            )
