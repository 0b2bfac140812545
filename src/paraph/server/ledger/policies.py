"""`log/policies/`: every change of the witness policy since the first one, numbered from 1 and served as it is.

A client that pinned an older policy follows them from there (`tlog.policy_change`).
"""

import re
from pathlib import Path

from paraph.server.ledger.errors import LedgerError
from paraph.server.ledger.files import write_public
from paraph.tlog import note, policy_change
from paraph.tlog.errors import TlogError
from paraph.tlog.policy_change import Chain, policy_hash

FOLDER = "policies"
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")


class PolicyNotPublished(LedgerError):
    """A change that does not follow those published, or that the old quorum has not signed."""


def policy_path(number: int) -> str:
    """Path below `log/` of the change with this number."""
    return f"{FOLDER}/{number}"


def path_of(number: str) -> str | None:
    """Path below `log/` of the change with this number, as it stands in a URL; None if it is none."""
    return f"{FOLDER}/{number}" if _NUMBER.fullmatch(number) else None


class PublishedPolicies:
    """The changes that a log folder holds."""

    def __init__(self, log: Path) -> None:
        self._folder = log / FOLDER

    def all(self) -> list[bytes]:
        """Every change, the first one first."""
        found, number = list[bytes](), 1
        while (path := self._folder / str(number)).is_file():
            found.append(path.read_bytes())
            number += 1
        return found

    def publish(self, signed: bytes, current: bytes, log: note.Verifier, now: int) -> tuple[int, bytes]:
        """Add a change of the policy in force, durably; returns its number and the new policy's text.

        `current` is the text in force, `now` in seconds. Raises PolicyNotPublished.
        """
        published = self.all()
        try:
            steps = [policy_change.parse(one) for one in published]
            if steps and steps[-1].successor != policy_hash(current):
                raise PolicyNotPublished("the policy in force is not the one that was published last")
            chain = Chain(current, log, [step.predecessor for step in steps])
            chain.follow(signed, now)
        except TlogError as error:
            raise PolicyNotPublished(str(error)) from error
        self._folder.mkdir(exist_ok=True)
        write_public(self._folder / str(len(published) + 1), signed)
        return len(published) + 1, chain.text
