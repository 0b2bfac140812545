"""Tokens that expire and are refreshed (Client-Server API, "Refreshing access tokens")."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from paraph.server.accounts.sessions import ACCESS_LIFETIME_MS, MAX_OFFERS
from paraph.server.accounts.tokens import digest
from paraph.server.http import PersonPrincipal
from paraph.server.storage import StorageError, Transaction, migrate
from paraph.server.storage.migrations import load
from tests.server.accounts.house import PASSWORD, House, bearer, cheap, count, house, refused
from tests.support.databases import databases

REFRESH = "/_matrix/client/v3/refresh"
OUT = "/_matrix/client/v3/logout"

Pair = dict[str, Any]


async def sign_up(home: House, **extra: Any) -> Pair:
    """A person whose client refreshes its tokens."""
    return await home.sign_up("author", refresh_token=True, **extra)


async def refresh(home: House, pair: Pair) -> httpx.Response:
    return await home.client.post(REFRESH, json={"refresh_token": pair["refresh_token"]})


async def refreshed(home: House, pair: Pair) -> Pair:
    """The next pair."""
    answer = await refresh(home, pair)
    assert answer.status_code == 200, answer.text
    found: Pair = answer.json()
    return found


async def works(home: House, pair: Pair) -> bool:
    """Whether the access token is good; using it is what this does."""
    answer = await home.who(pair["access_token"])
    if answer.status_code != 200:
        refused(answer, 401, "M_UNKNOWN_TOKEN")
    return answer.status_code == 200


def unknown(answer: httpx.Response) -> None:
    """The refresh token is no longer good: the client has to log in."""
    refused(answer, 401, "M_UNKNOWN_TOKEN")
    assert answer.json()["soft_logout"] is False


async def test_registration_and_login_give_a_pair_to_whom_asks(home: House) -> None:
    """With `refresh_token: true` there are two tokens and a lifetime; without it the token does not expire."""
    for made in (await sign_up(home), (await home.log_in("author", refresh_token=True)).json()):
        assert made["expires_in_ms"] == ACCESS_LIFETIME_MS
        assert made["refresh_token"] != made["access_token"]
        assert await works(home, made)
    plain = (await home.log_in("author")).json()
    assert set(plain) == {"user_id", "home_server", "access_token", "device_id"}
    home.clock.now += 1000 * ACCESS_LIFETIME_MS
    assert await works(home, plain)


async def test_no_login_no_pair(home: House) -> None:
    """`inhibit_login` wins over `refresh_token`."""
    assert await sign_up(home, inhibit_login=True) == {"user_id": "@author:test", "home_server": "test"}


async def test_an_expired_token_is_a_soft_logout(home: House) -> None:
    """At its last millisecond the token is dead, remembered or not, and the client learns that its session goes on."""
    made = await sign_up(home)
    home.clock.now += ACCESS_LIFETIME_MS - 1
    assert await works(home, made)
    home.clock.now += 1
    for _ in range(2):
        answer = await home.who(made["access_token"])
        refused(answer, 401, "M_UNKNOWN_TOKEN")
        assert answer.json()["soft_logout"] is True
        assert "invalid_token" in answer.headers["www-authenticate"]
        home.accounts.sessions._recent.forget(next(iter(home.accounts.sessions._recent._values)))
    following = await refreshed(home, made)
    assert (await home.who(following["access_token"])).json()["device_id"] == made["device_id"]


async def test_an_unknown_token_is_no_soft_logout(home: House) -> None:
    """Only a session that goes on is worth a refresh."""
    answer = await home.who("pph_unknown")
    refused(answer, 401, "M_UNKNOWN_TOKEN")
    assert answer.json()["soft_logout"] is False


async def test_the_old_pair_lives_until_the_new_one_is_used(home: House) -> None:
    """An answer that got lost locks nobody out; the first use of the new access token ends the old pair."""
    first = await sign_up(home)
    second = await refreshed(home, first)
    assert second["expires_in_ms"] == ACCESS_LIFETIME_MS
    assert await works(home, first)
    third = await refreshed(home, first)
    assert await works(home, third)
    for dead in (first, second):
        assert not await works(home, dead)
        unknown(await refresh(home, dead))
    assert await works(home, third)
    assert await works(home, await refreshed(home, third))


async def test_refreshing_the_new_pair_uses_it(home: House) -> None:
    """The new refresh token ends the old pair as well, though its access token was never used."""
    first = await sign_up(home)
    second = await refreshed(home, first)
    third = await refreshed(home, second)
    assert not await works(home, first)
    unknown(await refresh(home, first))
    assert await works(home, second)
    assert await works(home, third)
    assert not await works(home, second)


async def test_an_offer_expires_like_any_token(home: House) -> None:
    """A new access token that was used too late is a soft logout; both refresh tokens still lead on."""
    first = await sign_up(home)
    second = await refreshed(home, first)
    home.clock.now += ACCESS_LIFETIME_MS
    for pair in (first, second):
        answer = await home.who(pair["access_token"])
        refused(answer, 401, "M_UNKNOWN_TOKEN")
        assert answer.json()["soft_logout"] is True
    assert (await refresh(home, first)).status_code == 200
    assert await works(home, await refreshed(home, second))


async def test_many_refreshes_at_once(home: House) -> None:
    """Of many refreshes at once each is answered, the first new token used wins, and all other pairs are dead."""
    first = await sign_up(home)
    pairs = [answer.json() for answer in await asyncio.gather(*(refresh(home, first) for _ in range(MAX_OFFERS)))]
    assert len({pair["access_token"] for pair in pairs}) == MAX_OFFERS
    answers = await asyncio.gather(*(home.who(pair["access_token"]) for pair in pairs))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * (MAX_OFFERS - 1)
    for answer, pair in zip(answers, pairs, strict=True):
        assert (await refresh(home, pair)).status_code == answer.status_code


async def test_one_new_token_used_by_many_requests_at_once(home: House) -> None:
    """A client that starts its requests together with the new token sees every one succeed."""
    following = await refreshed(home, await sign_up(home))
    answers = await asyncio.gather(*(home.who(following["access_token"]) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}


async def test_unused_pairs_are_few(home: House) -> None:
    """A client that refreshes and refreshes fills nothing: only the newest unused pairs are kept, and they work."""
    first = await sign_up(home)
    pairs = [await refreshed(home, first) for _ in range(MAX_OFFERS + 3)]
    assert await count(home.database, "accounts_offers") == MAX_OFFERS
    assert [await home.accounts.authenticate(pair["access_token"]) is None for pair in pairs[:3]] == [True] * 3
    assert await works(home, pairs[-1])
    assert await count(home.database, "accounts_offers") == 0


@pytest.mark.parametrize("how", ["logout", "logout all", "login"])
async def test_the_end_of_a_session_ends_its_pairs(home: House, how: str) -> None:
    """Logout, logout of all, and another login of the device kill every token it was ever given."""
    first = await sign_up(home, device_id="PHONE")
    second = await refreshed(home, first)
    other = (await home.log_in("author", refresh_token=True)).json()
    if how == "login":
        await home.log_in("author", device_id="PHONE")
    else:
        path = OUT if how == "logout" else f"{OUT}/all"
        assert (await home.client.post(path, headers=bearer(first["access_token"]))).json() == {}
    for pair in (first, second):
        answer = await home.who(pair["access_token"])
        refused(answer, 401, "M_UNKNOWN_TOKEN")
        assert answer.json()["soft_logout"] is False
        unknown(await refresh(home, pair))
    assert await count(home.database, "accounts_offers") == 0
    assert await works(home, other) is (how != "logout all")


async def test_a_logout_while_a_token_is_first_used_wins(home: House) -> None:
    """A pair that was about to be used for the first time when its session ended is dead, and not remembered."""
    first = await sign_up(home)
    second = await refreshed(home, first)
    real, principal = home.database.write, PersonPrincipal("@author:test", first["device_id"])

    async def slow(fn: Any) -> Any:
        home.database.write = real  # type: ignore[method-assign]
        await home.accounts.logout(principal)
        return await real(fn)

    home.database.write = slow  # type: ignore[method-assign]
    assert await home.accounts.authenticate(second["access_token"]) is None
    assert await home.accounts.authenticate(second["access_token"]) is None
    assert len(home.accounts.sessions._recent) == 0


async def test_a_refresh_that_meets_a_logout(home: House) -> None:
    """A session that ends between the check and the write gives out nothing."""
    first = await sign_up(home)
    real, principal = home.database.write, PersonPrincipal("@author:test", first["device_id"])

    async def slow(fn: Any) -> Any:
        home.database.write = real  # type: ignore[method-assign]
        await home.accounts.logout(principal)
        return await real(fn)

    home.database.write = slow  # type: ignore[method-assign]
    unknown(await refresh(home, first))
    assert await count(home.database, "accounts_offers") == 0


async def test_the_two_tokens_do_not_stand_for_each_other(home: House) -> None:
    """A refresh token opens no endpoint, and an access token refreshes nothing."""
    made = await sign_up(home)
    following = await refreshed(home, made)
    for pair in (made, following):
        refused(await home.who(pair["refresh_token"]), 401, "M_UNKNOWN_TOKEN")
        unknown(await home.client.post(REFRESH, json={"refresh_token": pair["access_token"]}))


@pytest.mark.parametrize(
    ("content", "status", "errcode"),
    [
        (b"", 400, "M_MISSING_PARAM"),
        (b"{}", 400, "M_MISSING_PARAM"),
        (b'{"refresh_token": null}', 400, "M_MISSING_PARAM"),
        (b'{"refresh_token": 7}', 400, "M_BAD_JSON"),
        (b'{"refresh_token": ["pphf_"]}', 400, "M_BAD_JSON"),
        (b'{"refresh_token": ""}', 401, "M_UNKNOWN_TOKEN"),
        (b'{"refresh_token": "\\u0000"}', 400, "M_INVALID_PARAM"),
        (b'{"refresh_token": "\\ud800"}', 400, "M_NOT_JSON"),
        (b'{"refresh_token": "' + b"x" * 9000 + b'"}', 401, "M_UNKNOWN_TOKEN"),
        (b"[]", 400, "M_BAD_JSON"),
        (b"{", 400, "M_NOT_JSON"),
        (b" " * 20_000, 413, "M_TOO_LARGE"),
    ],
)
async def test_bad_refreshes_are_refused(home: House, content: bytes, status: int, errcode: str) -> None:
    """Each bad input has its error, and nothing is given out or written."""
    await sign_up(home)
    asked: list[Any] = []
    home.database.write = asked.append  # type: ignore[assignment,method-assign]
    refused(await home.client.post(REFRESH, content=content), status, errcode)
    assert asked == []


@pytest.mark.parametrize("value", [1, "yes", []])
async def test_the_wish_for_a_pair_is_a_boolean(home: House, value: Any) -> None:
    """Anything else is refused, at both doors."""
    body = {"username": "author", "password": PASSWORD, "auth": {"type": "m.login.dummy"}, "refresh_token": value}
    refused(await home.client.post("/_matrix/client/v3/register", json=body), 400, "M_BAD_JSON")
    refused(await home.log_in("author", refresh_token=value), 400, "M_BAD_JSON")


async def test_refreshes_are_limited_per_device(limited: House) -> None:
    """A device that refreshes all the time is told to slow down; others are not affected."""
    made, other = await sign_up(limited), (await limited.log_in("author", refresh_token=True)).json()
    for _ in range(20):
        made = await refreshed(limited, made)
    refused(await refresh(limited, made), 429, "M_LIMIT_EXCEEDED")
    assert (await refresh(limited, other)).status_code == 200
    limited.clock.now += 500
    assert (await refresh(limited, made)).status_code == 200


async def test_pairs_outlive_a_restart(tmp_path: Path) -> None:
    """What was answered is on disk: pairs in use, unused ones, and the end of those that were replaced."""
    path = tmp_path / "paraph.db"
    async with house(path) as home:
        first = await sign_up(home)
        second = await refreshed(home, first)
    async with house(path) as home:
        assert await works(home, first)
        assert await works(home, second)
        unknown(await refresh(home, first))
        third = await refreshed(home, second)
    async with house(path) as home:
        assert not await works(home, first)
        assert await works(home, third)
        assert not await works(home, second)


async def test_at_each_answer_its_effect_is_already_on_disk(tmp_path: Path) -> None:
    """A copy of the files made the moment an answer arrived, as after a power cut, holds what was answered."""
    if databases().dialect != "sqlite":
        pytest.skip("PostgreSQL's files cannot be copied while it runs")
    path, copies = tmp_path / "paraph.db", 0

    async def after_a_power_cut(home: House, live: list[Pair], dead: list[Pair]) -> None:
        nonlocal copies
        copies += 1
        copy = tmp_path / f"copy{copies}.db"
        for suffix in ("", "-wal"):
            Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
        async with house(copy) as found:
            for pair in dead:
                assert not await works(found, pair)
                unknown(await refresh(found, pair))
            for pair in live:
                assert await works(found, pair)

    async with house(path) as home:
        first = await sign_up(home)
        await after_a_power_cut(home, [first], [])
        second = await refreshed(home, first)
        await after_a_power_cut(home, [first, second], [])
        assert await works(home, second)
        await after_a_power_cut(home, [second], [first])
        third = await refreshed(home, second)
        await home.client.post(OUT, headers=bearer(third["access_token"]))
        await after_a_power_cut(home, [], [first, second, third])


async def test_no_token_is_on_disk(tmp_path: Path) -> None:
    """No token of a pair, used or not, can be found in the database's bytes."""
    path = tmp_path / "paraph.db"
    async with house(path) as home:
        first = await sign_up(home)
        second = await refreshed(home, first)
        during = databases().stored(path)
        assert await works(home, second)
    for stored in (during, databases().stored(path)):
        for pair in (first, second):
            for secret in (pair["access_token"][4:], pair["refresh_token"][5:]):
                assert secret.encode() not in stored


async def test_a_database_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    """Sessions and registration tokens from before live on: the tokens never expire, the list names each by an id."""
    path, token = tmp_path / "paraph.db", "pph_from-before"
    before = databases().open(path)
    await migrate(before, load(("paraph.server.accounts",), before.dialect)[:1])

    def fill(tx: Transaction) -> None:
        tx.run("INSERT INTO accounts VALUES ('@author:test', :hash, 1)", {"hash": cheap().hash(PASSWORD)})
        session = {"hash": digest(token), "now": 1_700_000_000_000}
        tx.run("INSERT INTO accounts_sessions VALUES (:hash, '@author:test', 'PHONE', :now, :now)", session)
        tx.run("INSERT INTO accounts_registration_tokens VALUES (:hash, 2, 1)", {"hash": digest("one")})
        tx.run("INSERT INTO accounts_registration_tokens VALUES (:hash, 3, 1)", {"hash": digest("two")})

    await before.write(fill)
    await before.close()
    async with house(path, registration="token") as home:
        home.clock.now += 1000 * ACCESS_LIFETIME_MS
        assert await works(home, {"access_token": token})
        assert (await home.log_in("author", refresh_token=True)).status_code == 200
        kept = await home.accounts.invitations.listed("", 10)
        expected = {(digest("one").hex()[:12], 2, 0, None), (digest("two").hex()[:12], 3, 0, None)}
        assert {(entry.id, entry.uses_left, entry.used, entry.expires) for entry in kept} == expected
        assert await home.accounts.invitations.is_valid("one")


class Model:
    """What a client may rely on, in a few lines: the pair in use, the unused ones that follow it, and the dead."""

    def __init__(self, made: Pair) -> None:
        self.used = made
        self.offers: list[Pair] = []
        self.all = [made]

    def lives(self, pair: Pair) -> bool:
        return pair is self.used or pair in self.offers

    def use(self, pair: Pair) -> None:
        """A token of the pair was used: from an unused one on, everything else is dead."""
        if pair in self.offers:
            self.used, self.offers = pair, []

    def follows(self, given: Pair, following: Pair) -> None:
        """A refresh with `given` gave out `following`."""
        self.use(given)
        self.offers = [*self.offers, following][-MAX_OFFERS:]
        self.all.append(following)


@pytest.mark.parametrize("seed", range(6))
async def test_any_history_of_pairs_goes_as_the_model_says(tmp_path: Path, seed: int) -> None:
    """Whatever pair is used or refreshed in whatever order, over restarts: exactly the pairs of the model live."""
    chance, path = random.Random(seed), tmp_path / "paraph.db"
    async with AsyncExitStack() as stack:
        home = await stack.enter_async_context(house(path))
        model = Model(await sign_up(home))
        for _ in range(40):
            living = [model.used, *model.offers]
            pair = chance.choice(living if chance.random() < 0.7 else model.all)
            what = chance.choices(["use", "refresh", "restart"], [8, 12, 1])[0]
            if what == "restart":
                await stack.aclose()
                home = await stack.enter_async_context(house(path))
            elif what == "use":
                assert await works(home, pair) is model.lives(pair)
                model.use(pair)
            else:
                answer = await refresh(home, pair)
                assert (answer.status_code == 200) is model.lives(pair)
                if answer.status_code == 200:
                    model.follows(pair, answer.json())
    assert len(model.all) > 8


async def test_a_first_use_that_was_not_written_is_not_remembered(home: House) -> None:
    """If the write fails in which a new token becomes the session's own, the token is no better known than before."""
    second = await refreshed(home, await sign_up(home))
    real = home.database.write

    async def failing(fn: Any) -> Any:
        def fail(tx: Transaction) -> None:
            fn(tx)
            raise StorageError("no room left")

        return await real(fail)

    home.database.write = failing  # type: ignore[method-assign]
    with pytest.raises(StorageError):
        await home.accounts.authenticate(second["access_token"])
    assert len(home.accounts.sessions._recent) == 0
    home.database.write = real  # type: ignore[method-assign]
    assert await works(home, second)
