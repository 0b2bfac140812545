"""What can be wrong with a published log: each error names the file or leaf, what had to be there, and what was."""


class LogError(Exception):
    """The published log does not hold together."""

    meaning = "The published log does not hold together."
    """What this kind of error says about the log, for whoever reads the diagnostics."""

    def __init__(self, where: str, expected: str, found: str) -> None:
        """Say at which file or leaf (`where`) the log has `found` in place of `expected`."""
        super().__init__(f"{where}: expected {expected}, found {found}")
        self.where = where
        self.expected = expected
        self.found = found

    def diagnostics(self) -> str:
        """The finding and what it means, in sentences that a person can act on."""
        return f"{self}. {self.meaning}"


class BadCheckpoint(LogError):
    """The checkpoint is not a tree that this log's key signed."""

    meaning = "Nothing in these files is vouched for; compare the log's key with the one you were given."


class MissingTile(LogError):
    """A file that the signed tree needs is not there."""

    meaning = "The log withholds a part of itself, or the copy is incomplete: fetch this file again."


class BadTile(LogError):
    """A tile or entry bundle has an impossible length."""

    meaning = "The file is cut, lengthened or of another kind: fetch it again, and keep what you have as evidence."


class TileMismatch(LogError):
    """A tile holds other hashes than the leaves below it give."""

    meaning = "The file was changed after the tree was signed, or what lies below it was: fetch both again."


class BadEntry(LogError):
    """An entry bundle holds another entry than the one that the signed tree has at this place."""

    meaning = "The entry was exchanged after the tree was signed; the hash that it had is proven by the checkpoint."


class RootMismatch(LogError):
    """All files agree with each other, and lead to another root than the signed one."""

    meaning = "These files are not the tree that the log signed: an entry and its hashes were exchanged together."


class ForkedLog(LogError):
    """The log signed two trees of which the newer does not begin with the older."""

    meaning = "The log took back what it had signed. Both signed checkpoints together are proof: keep and publish them."


class BadLeaf(LogError):
    """A leaf under the signed root is not one of the three forms of docs/protocol.md, section 3."""

    meaning = "The log signed a leaf that says nothing anyone can check."


class BadEpoch(LogError):
    """Epoch leaves do not count, meet or close the signed trees as they must."""

    meaning = "The log's own account of its signed trees is wrong."


class BadRecord(LogError):
    """A public record is malformed, not signed by those it binds, or does not follow its predecessor."""

    meaning = "The log published a record that binds nobody, and whoever acted on it acted without one."


class BadMap(LogError):
    """An epoch leaf's map root is not that of the leaves before it, or is missing after an epoch that had one."""

    meaning = "The log proved presence and absence of records from a map that is not its leaves'; keep this copy."


class MalformedEvidence(LogError):
    """Evidence that is not in its only spelling, or beyond its bounds."""

    meaning = "The file is damaged or was made by other software; nothing in it was believed."


class BadTreeProof(LogError):
    """Something other than a tree that the log signed and this epoch leaf closes."""

    meaning = "Nothing that rests on this tree is proven."


class Unwitnessed(BadTreeProof):
    """A tree that no quorum of the policy cosigned."""

    meaning = "The log alone vouches for this tree; it may have shown another one to others."


class StaleTree(BadTreeProof):
    """A tree that a quorum cosigned, but too long ago for what it is to show."""

    meaning = "What the log says now may differ; ask for its newest tree."


class BadStatement(LogError):
    """A statement about a key of the map that does not lead to the map's root."""

    meaning = "What lies under this key, or that nothing does, is not proven."


class BadHistory(LogError):
    """A person's record that says something else than what it stands for."""

    meaning = "This record, though it may be in the log, does not bind the person."
