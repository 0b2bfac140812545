"""What processes have to agree upon about proofs: nonces by a shared key, and which proofs were used."""

from pathlib import Path

import pytest

from paraph.server.consent.oauth.dpop import NONCE_LIFETIME_MS, REMEMBERED_MS, Nonces, Proof, UsedProofs, normal
from tests.server.consent.support import NOW, World, world


def proof(jti: str, jkt: str = "key") -> Proof:
    """A proof that verified."""
    return Proof(jkt, jti, NOW + 60_000)


async def test_a_proof_used_at_one_process_is_used_at_all(tmp_path: Path) -> None:
    """Where several serve; another key's proof of the same id, and another id, are other proofs."""
    async with world(tmp_path) as here:
        first, second = [UsedProofs(here.database, here.clock, alone=False) for _ in range(2)]
        assert await first.use(proof("a"))
        for process in (first, second, UsedProofs(here.database, here.clock, alone=False)):
            assert not await process.use(proof("a"))
        assert await second.use(proof("a", "other key"))
        assert await second.use(proof("b"))


async def test_a_proof_is_remembered_while_it_can_be_used(tmp_path: Path) -> None:
    """At least as long as its time allows it anywhere between two turns of the memory, and not for ever."""
    async with world(tmp_path) as here:
        for begin in (0, 1, REMEMBERED_MS // 2, REMEMBERED_MS - 1):
            used = UsedProofs(here.database, here.clock, alone=True)
            here.clock.now += begin
            assert await used.use(proof("a"))
            for _ in range(REMEMBERED_MS // 20_000):
                here.clock.now += 20_000
                assert not await used.use(proof("a"))
            here.clock.now += 2 * REMEMBERED_MS
            assert await used.use(proof("a"))


async def made(here: World, *, alone: bool) -> Nonces:
    """The nonces of a process that starts now."""
    nonces = Nonces(here.clock, alone=alone)
    await here.database.write(nonces.load)
    return nonces


async def test_every_process_takes_every_others_nonce(tmp_path: Path) -> None:
    """By one key in the database; one that is alone takes none from before its start, when it remembered nothing."""
    async with world(tmp_path) as here:
        first = await made(here, alone=False)
        nonce = first.current()
        here.clock.now += 40_000
        second, lonely = await made(here, alone=False), await made(here, alone=True)
        assert second.accepts(nonce)
        assert not lonely.accepts(nonce)
        assert first.accepts(second.current())
        assert lonely.accepts(lonely.current())
        here.clock.now += NONCE_LIFETIME_MS
        assert not first.accepts(nonce)
        for other in ("", "x", nonce[:-1], nonce + "A", "A" * 32):
            assert not first.accepts(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://a.example", "http://a.example/"),
        ("HTTPS://A.example:443/x", "https://a.example/x"),
        ("http://a.example:80/x?q#f", "http://a.example/x"),
        ("http://a.example/%7ex/%3a", "http://a.example/~x/:"),
    ],
)
def test_one_url_written_in_two_ways(one: str, other: str) -> None:
    """Case of scheme and host, default ports, escapes; query and fragment do not count."""
    assert normal(one) == normal(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://a.example/x", "https://a.example/x"),
        ("http://a.example/x", "http://a.example:8080/x"),
        ("http://a.example/x", "http://a.example/X"),
        ("http://a.example/x", "http://a.example/x/"),
        ("http://a.example/a/b", "http://a.example/a%2fb"),
        ("http://a.example/x", "http://a.example.org/x"),
    ],
)
def test_two_urls_are_two(one: str, other: str) -> None:
    """Scheme, host, port, path; an escaped slash is none of the path's own."""
    assert normal(one) != normal(other)
