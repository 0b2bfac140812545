"""A person's year, as a stranger checks it: five partners, two grants each, accesses and a key share a day and partner.

Timed is everything that `paraph log check` does with the file: parsing, the cosigned tree, each statement of the map,
each record's commitment, all signatures. The map holds 200,000 other keys.
"""

from __future__ import annotations

import random
import time
from hashlib import sha256
from statistics import median
from typing import Any

from paraph.audit import evidence
from paraph.audit.history import History, labels_wanted
from paraph.audit.statement import KeyStatement
from paraph.protocol.base64 import b64url
from paraph.protocol.entry import account_key, epoch_leaf, grant_key
from paraph.protocol.limits import DAY_MS
from paraph.protocol.map_key import map_key_of_bytes
from paraph.tlog.map_proof import map_value
from paraph.tlog.merkle import Tree, leaf_hash
from paraph.tlog.prefix_map import PrefixMap
from tests.audit.author import START, Author, grant_id, leaf_of
from tests.audit.witnessed import POLICY
from tests.protocol.examples import AUTHOR, LOG_KEY

PARTNERS = ("film-club", "book-club", "news-club", "song-club", "game-club")
DAYS, HALF, MESSAGES, OTHERS = 364, 182, 10, 200_000
RUNS = 9


def lived(accesses: int) -> Author:
    """A person's year."""
    author = Author()
    author.enrol()
    for half in range(2):
        for at, partner in enumerate(PARTNERS):
            author.grant(1 + at + 5 * half, START + half * HALF * DAY_MS + at, partner)
    for day in range(DAYS):
        for at, partner in enumerate(PARTNERS):
            number, ts = 1 + at + (5 if day >= HALF else 0), START + day * DAY_MS
            author.share(number, ts + 7000, f"session {day}", partner)
            for access in range(accesses):
                read = [f"${sha256(b'%d %d %d' % (day, access, n)).hexdigest()[:43]}" for n in range(MESSAGES)]
                author.access(number, ts + 8000 + 1000 * access, read, partner)
    return author


def proven(author: Author) -> History:
    """Her history in a log whose map holds much else."""
    leaves, under = [leaf_of(one) for one in author.records], dict[bytes, list[bytes]]()
    for leaf in leaves:
        under.setdefault(map_key_of_bytes(leaf) or b"", []).append(leaf_hash(leaf))
    source = random.Random(1)
    values = {source.randbytes(32): source.randbytes(32) for _ in range(OTHERS)}
    values |= {key: map_value(len(found), Tree(found).root()) for key, found in under.items()}
    label_map, end = PrefixMap(values.items()), START + DAYS * DAY_MS
    author.log.leaves = [*leaves, epoch_leaf(0, 0, b64url(label_map.root), end)]
    author.log.epochs = [(len(author.log.leaves), end)]
    keys = {grant_id(number): grant_key(LOG_KEY, grant_id(number)) for number in range(1, 11)}
    wanted = [place.key for place in labels_wanted(author.records, account_key(LOG_KEY), keys, end)]
    shown = tuple(KeyStatement(key, tuple(under.get(key, ())), label_map.prove(key).encode()) for key in wanted)
    return History(AUTHOR, author.log.tree_proof(), account_key(LOG_KEY), keys, tuple(author.records), shown)


def measure(accesses: int, runs: int = RUNS) -> dict[str, Any]:
    """Own seconds of a check (median), and what the file holds."""
    history = proven(lived(accesses))
    data, now = history.evidence, (START + DAYS * DAY_MS) // 1000
    times = []
    for _ in range(runs):
        before = time.process_time()
        verdict = evidence.check(data, POLICY, now)
        times.append(time.process_time() - before)
        assert verdict.holds, verdict.summary
    found = {"records": len(history.entries), "statements": len(history.statements), "mb": len(data) / 1e6}
    return found | {"check_s": median(times)}
