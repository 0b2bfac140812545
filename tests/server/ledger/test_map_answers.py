"""Several keys of the map asked at once: one tree, in order, each leaf under each key."""

from pathlib import Path
from typing import Any

import pytest

from paraph.protocol import entry as protocol
from paraph.protocol.base64 import b64url, unb64url
from paraph.protocol.map_key import public_map_key
from paraph.server.ledger import label_map as label_maps
from paraph.server.ledger.errors import TooManyLeaves
from paraph.server.ledger.map_follower import MapFollower
from paraph.server.ledger.service import Ledger
from paraph.server.storage import Database
from paraph.tlog import map_proof
from paraph.tlog.merkle import Frontier, leaf_hash
from tests.server.ledger.support import verify_log
from tests.server.ledger.test_http import client
from tests.server.ledger.test_label_map import MISSING, grown, key, opened


def fold(hashes: list[bytes]) -> bytes:
    """RFC 6962 root of leaf hashes."""
    frontier = Frontier()
    for hashed in hashes:
        frontier.append(hashed)
    return frontier.root()


async def publish(database: Database, ledger: Ledger, document: dict[str, Any]) -> None:
    """A notice about the partner, in the log when this returns."""
    made = await database.write(lambda tx: ledger.record_public(tx, "notice", "marquee", document))
    leaf = protocol.public_leaf("notice", "marquee", made["ts"], document)
    assert await ledger.integrated(leaf_hash(leaf), 5_000)


async def test_several_keys_are_answered_under_one_tree(tmp_path: Path) -> None:
    """The leaf hashes alone give count and root of what the proof shows; a key without leaves is proven absent."""
    keys = [public_map_key("platform"), MISSING, public_map_key("marquee")]
    async with client(tmp_path) as (http, database, ledger):
        for number in range(3):
            await publish(database, ledger, {"n": number})
        body = {"keys": [asked.hex() for asked in keys]}
        answer = (await http.post("/_paraph/v1/log/map", json=body)).json()
        again = (await http.post("/_paraph/v1/log/map", json={**body, "size": answer["size"]})).json()
        one = (await http.get(f"/_paraph/v1/log/map/{keys[2].hex()}")).json()
        leaves = verify_log(tmp_path / "log", ledger.vkey)
    assert again == answer
    assert protocol.epoch_leaf(**answer["epoch"]) == leaves[answer["size"] - 1]
    root = unb64url(answer["epoch"]["map_root"], 32)
    assert [bytes.fromhex(found["key"]) for found in answer["answers"]] == keys
    for asked, found in zip(keys, answer["answers"], strict=True):
        assert found["leaves"] == [b64url(leaf_hash(leaves[index])) for index in found["leaf_indexes"]]
        assert found["count"] == len(found["leaves"])
        proof = map_proof.parse(unb64url(found["proof"]))
        if isinstance(proof, map_proof.PresenceProof):
            subtree = fold([unb64url(text, 32) for text in found["leaves"]])
            map_proof.verify_presence(root, asked, found["count"], subtree, proof)
        else:
            map_proof.verify_absence(root, asked, proof)
    assert [found["count"] for found in answer["answers"]] == [0, 0, 3]
    assert one["leaves"] == answer["answers"][2]["leaves"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"keys": []},
        {"keys": ["0" * 64] * 65},
        {"keys": ["0" * 63]},
        {"keys": ["A" * 64]},
        {"keys": ["0" * 64 + "\n"]},
        {"keys": [1]},
        {"keys": ["0" * 64], "size": 0},
        {"keys": ["0" * 64], "size": "1"},
        {"keys": ["0" * 64], "more": 1},
    ],
)
async def test_a_question_in_another_shape_is_refused(tmp_path: Path, body: dict[str, object]) -> None:
    """1 to 64 keys in their one spelling, and perhaps a size."""
    async with client(tmp_path) as (http, _, _ledger):
        assert (await http.post("/_paraph/v1/log/map", json=body)).status_code == 400


async def test_an_unknown_size_is_refused_for_all_keys(tmp_path: Path) -> None:
    """The reader asks again under the newest checkpoint."""
    async with client(tmp_path) as (http, _, ledger):
        body = {"keys": [MISSING.hex()], "size": ledger.size + 1}
        answer = await http.post("/_paraph/v1/log/map", json=body)
        assert (answer.status_code, answer.json()["errcode"]) == (404, "ORG_PARAPH_MAP_NOT_KEPT")


def test_answers_are_bounded_unless_one_key_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So no question makes the server render the whole log, and yet each key can be asked; with or without the lead."""
    monkeypatch.setattr(label_maps, "MAX_LEAVES", 150)
    sizes = grown(tmp_path)
    with opened(tmp_path) as log:
        follower = MapFollower(tmp_path / "map.db", lambda path: (tmp_path / "log" / path).read_bytes())
        counts = [answer.count for answer in log.label_map.answers([key(2), MISSING], sizes[-1])]
        assert counts == [100, 0]
        monkeypatch.setattr(label_maps, "MAX_LEAVES", 50)
        assert log.label_map.answers([key(2)], sizes[-1])[0].count == 100
        with pytest.raises(TooManyLeaves):
            log.label_map.answers([key(2), MISSING], sizes[-1])
        with pytest.raises(TooManyLeaves):
            follower.answers([key(2), MISSING], sizes[-1], sizes[-1])
        follower.close()


async def test_too_many_leaves_are_said_so_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says what to do."""
    async with client(tmp_path) as (http, database, ledger):
        await publish(database, ledger, {})
        monkeypatch.setattr(label_maps, "MAX_LEAVES", 0)
        keys = [public_map_key("marquee").hex(), MISSING.hex()]
        answer = await http.post("/_paraph/v1/log/map", json={"keys": keys})
        assert (answer.status_code, answer.json()["errcode"]) == (413, "M_TOO_LARGE")
        assert "fewer keys" in answer.json()["error"]
        assert (await http.post("/_paraph/v1/log/map", json={"keys": keys[:1]})).status_code == 200
