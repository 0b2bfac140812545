"""Questions to the verifiable map (docs/protocol.md §9), and answers that are verified before anybody sees them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paraph.audit.errors import BadStatement
from paraph.audit.statement import KeyStatement, ProvenTree, TreeProof
from paraph.sdk.errors import MatrixError
from paraph.sdk.transport import PARAPH, Transport

MAX_KEYS = 64
"""Keys that one request may name."""
TOO_LARGE = 413


@dataclass(frozen=True)
class Statements:
    """What a tree holds under some keys of the map: `found` by key, verified under `tree`; `proof` is the tree's."""

    tree: ProvenTree
    proof: TreeProof
    found: Mapping[bytes, KeyStatement]

    def leaves(self, key: bytes) -> tuple[bytes, ...]:
        """The hashes of all leaves under a key that was asked for, in log order; none: it is proven empty."""
        return self.found[key].leaves


async def ask(transport: Transport, tree: ProvenTree, keys: Sequence[bytes]) -> dict[bytes, KeyStatement]:
    """What lies under each key in this tree. Raises SdkError, and audit.errors.LogError for what does not check."""
    found: dict[bytes, KeyStatement] = {}
    wanted = list(dict.fromkeys(keys))
    step = MAX_KEYS
    while wanted:
        some = wanted[:step]
        try:
            answers = await _answers(transport, tree.size, some)
        except MatrixError as error:
            if error.status != TOO_LARGE or len(some) == 1:
                raise
            step = len(some) // 2
            continue
        for key, answer in zip(some, answers, strict=True):
            found[key] = _verified(key, answer, tree.map_root)
        wanted = wanted[len(some) :]
    return found


async def _answers(transport: Transport, size: int, keys: Sequence[bytes]) -> list[Any]:
    body = {"keys": [key.hex() for key in keys], "size": size}
    answer = await transport.json("POST", f"{PARAPH}/log/map", body, idempotent=True)
    answers = answer.get("answers")
    if not isinstance(answers, list) or len(answers) != len(keys):
        raise BadStatement("the map's answer", f"{len(keys)} statements", "another number of them")
    return answers


def _verified(key: bytes, answer: Any, map_root: bytes) -> KeyStatement:
    if not isinstance(answer, dict):
        raise BadStatement("the map's answer", "an object for each key", type(answer).__name__)
    statement = KeyStatement.parse({name: answer.get(name) for name in ("key", "leaves", "proof")})
    if statement.key != key:
        raise BadStatement("the map's answer", f"a statement about {key.hex()}", f"one about {statement.key.hex()}")
    statement.verify(map_root)
    return statement
