"""aics-tlog, a C2SP verifier that shares no code with ours, reads our notes, checkpoints, proofs and whole logs.

It needs Python 3.12, so these tests run where the gate tries the other Pythons.
"""

from pathlib import Path
from typing import Any

import pytest

from paraph.tlog import checkpoint, note
from paraph.tlog.tiles import Tile
from tests.audit.logs import KEY, LogWriter, flip, private
from tests.corpus.honest import CHECKPOINT, COSIGNERS, LOG, NOW, WITNESSES, cosigned
from tests.corpus.structure import Structure
from tests.corpus.structures import ALL
from tests.tlog.strategies import HASHES, TREE

aics = pytest.importorskip("aics_tlog", reason="aics-tlog needs Python 3.12: the gate runs it there")

CORPUS = {structure.name: structure for structure in ALL}


def takes(signed: bytes, quorum: int = 0, now: int = NOW) -> bool:
    """Whether aics-tlog takes a checkpoint by our log, with so many fresh cosignatures."""
    witnesses = [aics.parse_vkey(witness.verifier.vkey) for witness in (*WITNESSES, COSIGNERS[2])]
    try:
        found = aics.verify_checkpoint(
            aics.parse_note(signed),
            aics.parse_vkey(LOG.vkey),
            witnesses,
            quorum,
            expected_origin=LOG.name,
            max_age_seconds=600 if quorum else None,
            now=now,
        )
    except ValueError:
        return False
    return bool(found.ok)


def test_checkpoints_and_cosignatures() -> None:
    """Ours are taken, with the cosignatures counted and their age asked."""
    assert takes(checkpoint.sign(CHECKPOINT, LOG))
    assert takes(cosigned(), 3)
    assert not takes(cosigned(), 4)
    assert not takes(cosigned(at=NOW - 601), 3)
    assert not takes(checkpoint.sign(CHECKPOINT, note.Signer(LOG.name, bytes(32))))


def test_cosignatures_of_theirs_are_read_here() -> None:
    """What aics-tlog cosigns is what our witness would have written."""
    witness = WITNESSES[0]
    _, line = aics.sign_cosignature(
        _private_key(witness.seed), witness.name, NOW, CHECKPOINT.origin, CHECKPOINT.size, CHECKPOINT.root
    )
    ours = witness.cosign(CHECKPOINT.text, NOW)
    assert (line.name, line.key_id, line.signature) == (ours.name, ours.key_id, ours.signature)


def _private_key(seed: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def test_proofs() -> None:
    """Every position of some sizes: theirs are ours, ours are taken there."""
    for size in (1, 2, 7, 64, 257, 700):
        for index in sorted({0, size // 3, size - 1}):
            proof = TREE.inclusion_proof(index, size)
            assert aics.verify_inclusion(HASHES[index], index, size, proof, TREE.root(size))
        for old in sorted({1, size // 2 or 1, size}):
            assert aics.verify_consistency(
                old, size, TREE.root(old), TREE.root(size), TREE.consistency_proof(old, size)
            )


def test_a_whole_log(tmp_path: Path) -> None:
    """Every tile and every entry bundle is taken; one turned bit of any of them is not."""
    writer = LogWriter(tmp_path).epoch([private(n) for n in range(300)]).epoch([private(n) for n in range(300, 700)])
    tree = checkpoint.open((tmp_path / "checkpoint").read_bytes(), KEY.verifier)
    reader = aics.FileSystemTileReader(tmp_path)
    found = aics.audit_tiles(reader, tree.size, tree.root)
    assert (found.size, found.bundles) == (len(writer.leaves), 3)
    for tile in (Tile(0, 1), Tile(0, 2, tree.size % 256), Tile(1, 0, 2), Tile(-1, 0), Tile(-1, 2, tree.size % 256)):
        flip(tmp_path / tile.path, 77)
        with pytest.raises((aics.TileVerificationError, ValueError)):
            aics.audit_tiles(aics.FileSystemTileReader(tmp_path), tree.size, tree.root)
        flip(tmp_path / tile.path, 77)


def _only_theirs(structure: Structure, accept: Any) -> list[str]:
    """Mutants that aics-tlog takes and our reader refuses."""
    found = []
    for mutant in structure.cases():
        if not accept(mutant.data):
            continue
        try:
            structure.read(mutant.data)
        except structure.errors:
            found.append(mutant.mutation)
    return found


@pytest.mark.parametrize("name", [name for name in CORPUS if name.startswith("inclusion proof")])
def test_inclusion_proofs_of_the_corpus(name: str) -> None:
    """aics-tlog takes none that we refuse."""

    def accept(values: dict[str, Any]) -> bool:
        return bool(
            aics.verify_inclusion(
                values["hash_of_leaf"], values["index"], values["size"], values["proof"], values["root"]
            )
        )

    assert _only_theirs(CORPUS[name], accept) == []


@pytest.mark.parametrize("name", [name for name in CORPUS if name.startswith("consistency proof")])
def test_consistency_proofs_of_the_corpus(name: str) -> None:
    """aics-tlog takes none that we refuse."""
    assert _only_theirs(CORPUS[name], lambda values: bool(aics.verify_consistency(**values))) == []


BOTH = {
    "forged: extension line": "C2SP lets a checkpoint have more lines; nobody audits them, so ours has none",
    "forged: size 2^63": "it reads numbers of any length",
    "forged: size 0 with a root": "it leaves this to its check of consistency",
}
"""What aics-tlog takes and we refuse in any checkpoint, and why."""


def test_checkpoints_of_the_corpus() -> None:
    """aics-tlog takes what the specification leaves open, a note without its last newline, and any three witnesses."""
    signed, several = CORPUS["signed checkpoint"], CORPUS["cosigned checkpoint under a policy"]
    assert set(_only_theirs(signed, takes)) == {*BOTH, f"whole: cut at {len(signed.honest) - 1}"}
    assert set(_only_theirs(several, lambda data: takes(data, 3))) == {
        *BOTH,
        f"whole: cut at {len(several.honest) - 1}",
        "forged: all witnesses, no auditor",  # it counts, and knows no groups
    }
