"""Every structure of the corpus, by what it belongs to."""

from tests.corpus.structure import Structure
from tests.corpus.structures import (
    bundles,
    documents,
    evidence,
    files,
    leaves,
    maps,
    merkle,
    notes,
    texts,
    tiles,
    witnesses,
)

ALL: tuple[Structure, ...] = tuple(
    structure
    for module in (texts, notes, merkle, tiles, bundles, witnesses, maps, leaves, documents, evidence, files)
    for structure in module.STRUCTURES
)
