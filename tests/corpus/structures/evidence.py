"""Statements that evidence is made of: a cosigned tree, and all that lies under a key of its map."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from paraph.audit.errors import LogError
from paraph.audit.statement import KeyStatement, TreeProof
from paraph.protocol.canonical import CanonicalJsonError, decode_canonical, encode
from paraph.protocol.map_key import private_map_key
from paraph.tlog import note, proof
from paraph.tlog.prefix_map import PrefixMap
from tests.corpus.honest import (
    COSIGNERS,
    EARLIER,
    FORKED,
    HONEST,
    IMPOSTOR,
    LABEL,
    NOW,
    POLICY,
    SIZE,
    STRANGER,
    TREE,
    WEEK,
)
from tests.corpus.layout import layout
from tests.corpus.mutators import of_bytes
from tests.corpus.structure import Structure
from tests.corpus.structures.bundles import pieces
from tests.corpus.structures.notes import EXCHANGED, repeated, signature_lines
from tests.corpus.trees import of_json

HELD = private_map_key(WEEK, LABEL)
MISSING = private_map_key(WEEK + 1, LABEL)
MAP_ROOT = HONEST.tree_proof().verify(POLICY, NOW).map_root
_PROOF = HONEST.tree_proof()
_OPENED = proof.parse(_PROOF.bundle)
_BUNDLE = layout(
    *pieces(
        _OPENED.index,
        _OPENED.hashes,
        signature_lines([(f"signature {n}", item) for n, item in enumerate(note.parse(_OPENED.checkpoint)[1])]),
    )
)


def _tree(shown: TreeProof) -> object:
    found = shown.verify(POLICY, NOW, 600)
    return found.cosigned, found.epoch


def _statement(document: Any) -> KeyStatement:
    statement = KeyStatement.parse(document)
    statement.verify(MAP_ROOT)
    return statement


def _true(statement: KeyStatement, _data: object) -> bool:
    """Whether the honest log says so too: the way to a leaf shows the absence of many keys, each truly absent."""
    return list(statement.leaves) == HONEST.under(statement.key)


def _as_json(read: Callable[[Any], object]) -> Callable[[bytes], object]:
    return lambda data: read(decode_canonical(data))


def _bundle(**changes: Any) -> dict[str, Any]:
    return replace(_PROOF, bundle=replace(_OPENED, **changes).encode()).rendered


def _forged_trees() -> dict[str, dict[str, Any]]:
    first = len(EARLIER.leaves) - 1
    return {
        "an older epoch leaf": {
            **_bundle(index=first, hashes=tuple(TREE.inclusion_proof(first))),
            "epoch_leaf": EARLIER.tree_proof().rendered["epoch_leaf"],
        },
        "the older tree's epoch leaf": {**_PROOF.rendered, "epoch_leaf": EARLIER.tree_proof().rendered["epoch_leaf"]},
        "a fork's epoch leaf": {**_PROOF.rendered, "epoch_leaf": FORKED.tree_proof().rendered["epoch_leaf"]},
        "a fork's bundle": {**FORKED.tree_proof().rendered, "epoch_leaf": _PROOF.rendered["epoch_leaf"]},
        "the older tree, stale": EARLIER.tree_proof(at=NOW - 601).rendered,
        "an impostor's log": HONEST.tree_proof(log=IMPOSTOR).rendered,
        "a stranger's cosignature": HONEST.tree_proof(cosigners=(STRANGER, *COSIGNERS[1:])).rendered,
        "no auditor": HONEST.tree_proof(cosigners=COSIGNERS[:2]).rendered,
        "tomorrow": HONEST.tree_proof(at=NOW + 86_400).rendered,
        "extra": _bundle(extra=b"more"),
        "a leaf that is no epoch": TreeProof(_PROOF.bundle, HONEST.leaves[-2]).rendered,
        "the index before": _bundle(index=SIZE - 2, hashes=tuple(TREE.inclusion_proof(SIZE - 2))),
    }


def _forged_statements(key: bytes) -> dict[str, dict[str, Any]]:
    honest = HONEST.statement(key)
    other = HONEST.statement(MISSING if key == HELD else HELD)
    return {
        "another key's statement": replace(other, key=key).rendered,
        "the leaves of an epoch ago": replace(EARLIER.statement(HELD), key=key).rendered,
        "an older map's proof": replace(honest, proof=EARLIER.statement(HELD).proof).rendered,
        "the other proof": replace(honest, proof=other.proof).rendered,
        "nothing": replace(honest, leaves=()).rendered,
        "the empty map": KeyStatement(key, (), PrefixMap().prove(key).encode()).rendered,
        "another leaf more": replace(honest, leaves=(*honest.leaves, bytes(32))).rendered,
    }


def _documents(forged: dict[str, dict[str, Any]]) -> dict[str, bytes]:
    return {name: encode(document) for name, document in forged.items()}


STRUCTURES = (
    Structure(
        "cosigned tree: bundle",
        _BUNDLE[0],
        lambda data: _tree(TreeProof(data, _PROOF.epoch_leaf)),
        (LogError,),
        of_bytes,
        _BUNDLE[1],
        same=repeated(_BUNDLE[0], 4) | EXCHANGED,
    ),
    Structure(
        "cosigned tree: epoch leaf",
        _PROOF.epoch_leaf,
        lambda data: _tree(TreeProof(_PROOF.bundle, data)),
        (LogError,),
        of_bytes,
    ),
    Structure(
        "cosigned tree: document",
        _PROOF.rendered,
        lambda document: _tree(TreeProof.parse(document)),
        (LogError,),
        of_json,
        forged=_forged_trees(),
    ),
    *(
        Structure(
            f"{name}: document",
            HONEST.statement(key).rendered,
            _statement,
            (LogError,),
            of_json,
            other=_true,
            forged=_forged_statements(key),
        )
        for name, key in (("leaves under a key", HELD), ("no leaves under a key", MISSING))
    ),
    Structure(
        "leaves under a key: JSON",
        encode(HONEST.statement(HELD).rendered),
        _as_json(_statement),
        (LogError, CanonicalJsonError),
        of_bytes,
        forged=_documents(_forged_statements(HELD)),
    ),
)
