"""Opaque strings: they open for whom and what they were made for, and show nothing else."""

from pathlib import Path

import pytest

from paraph.protocol.base64 import b64url, unb64url
from paraph.server.http import Problem
from paraph.server.inbox.opaque import Opaque
from tests.server.consent.support import world


async def test_a_string_opens_for_its_partner_and_its_kind_alone(tmp_path: Path) -> None:
    """Another partner, another kind, one bit changed, something else altogether: `bad-state`."""
    async with world(tmp_path) as here:
        opaque, members = here.inbox.opaque, {"position": f"{17:016x}", "room": "!r:example.org"}
        text = opaque.seal("state", "marquee", members)
        assert opaque.open("state", "marquee", text) == members
        data = bytearray(unb64url(text))
        data[-1] ^= 1
        wrong = [("state", "tempo", text), ("cursor", "marquee", text), ("state", "marquee", b64url(bytes(data)))]
        wrong += [("state", "marquee", other) for other in ("", "p17", text + "=", text[:-4], "é", "A" * 2000)]
        for kind, slug, other in wrong:
            with pytest.raises(Problem) as refused:
                opaque.open(kind, slug, other)
            assert (refused.value.status, refused.value.code) == (400, "bad-state")


async def test_strings_say_nothing_of_the_numbers_in_them(tmp_path: Path) -> None:
    """Equal lengths for small and large positions, nothing in common, and equal strings for equal contents."""
    async with world(tmp_path) as here:
        opaque = here.inbox.opaque
        made = [opaque.seal("state", "marquee", {"position": f"{n:016x}"}) for n in (1, 2, 10**6, 10**14)]
        assert len({len(text) for text in made}) == 1
        assert len({text[:8] for text in made}) == len(made)
        assert opaque.seal("state", "marquee", {"position": f"{1:016x}"}) == made[0]


async def test_every_process_opens_what_another_sealed(tmp_path: Path) -> None:
    """The key is in the database, made once."""
    async with world(tmp_path) as here:
        other = Opaque(here.database)
        await other.start()
        text = here.inbox.opaque.seal("state", "marquee", {"position": "1"})
        assert other.open("state", "marquee", text) == {"position": "1"}
        assert other.key("handles") == here.inbox.opaque.key("handles") != other.key("siv")
