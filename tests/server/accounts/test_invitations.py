"""Registration tokens from the operator's side: made, listed, used, expired, revoked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from paraph.server.accounts.invitations import MAX_LIFETIME_MS
from tests.server.accounts.house import (
    ADMIN,
    OPERATOR,
    PASSWORD,
    REGISTER,
    House,
    count,
    house,
    refused,
)

TOKENS = f"{ADMIN}/registration-tokens"
VALIDITY = "/_matrix/client/v1/register/m.login.registration_token/validity"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[House]:
    """A platform where a registration token is needed."""
    async with house(tmp_path / "paraph.db", registration="token") as built:
        yield built


async def make(home: House, **body: Any) -> dict[str, Any]:
    answer = await home.client.post(TOKENS, json=body, headers=OPERATOR)
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def listed(home: House) -> list[dict[str, Any]]:
    answer = await home.client.get(TOKENS, headers=OPERATOR)
    found: list[dict[str, Any]] = answer.json()["tokens"]
    return found


async def revoke(home: House, id_: str) -> httpx.Response:
    return await home.client.post(f"{TOKENS}/{id_}/revoke", headers=OPERATOR)


async def register(home: House, token: str, name: str = "author") -> httpx.Response:
    auth = {"type": "m.login.registration_token", "token": token}
    return await home.client.post(REGISTER, json={"username": name, "password": PASSWORD, "auth": auth})


async def valid(home: House, token: str) -> bool:
    return bool((await home.client.get(VALIDITY, params={"token": token})).json()["valid"])


async def test_a_token_is_shown_once_and_listed_without_itself(home: House) -> None:
    """The list has an id, the uses left and made, and times; the token itself is nowhere in it."""
    expires = home.clock.now + 1000
    made = await make(home, uses=3, expires=expires)
    assert made["token"].startswith("pphr_")
    assert (await register(home, made["token"])).status_code == 200
    (entry,) = await listed(home)
    expected = {"id": made["id"], "uses_left": 2, "used": 1, "created": home.clock.now, "expires": expires}
    assert entry == expected
    assert made["token"] not in str(await listed(home))


async def test_left_out_a_token_is_good_once_and_for_ever(home: House) -> None:
    """One use, no end."""
    made = await make(home)
    assert (made["uses_left"], made["expires"]) == (1, None)
    home.clock.now += 10 * MAX_LIFETIME_MS
    assert await valid(home, made["token"])
    assert (await register(home, made["token"])).status_code == 200
    assert not await valid(home, made["token"])
    refused(await register(home, made["token"], "late"), 401, "M_FORBIDDEN")


async def test_a_token_expires(home: House) -> None:
    """Good until its last millisecond, and from then on for nobody, however many uses are left."""
    made = await make(home, uses=5, expires=home.clock.now + 1000)
    home.clock.now += 999
    assert await valid(home, made["token"])
    assert (await register(home, made["token"])).status_code == 200
    home.clock.now += 1
    assert not await valid(home, made["token"])
    refused(await register(home, made["token"], "late"), 401, "M_FORBIDDEN")
    assert (await listed(home))[0]["uses_left"] == 4


async def test_a_revoked_token_lets_nobody_in(home: House) -> None:
    """It is gone from the list, another one is not, and revoking it again says that there is none."""
    made, other = await make(home, uses=5), await make(home)
    assert (await revoke(home, made["id"])).json() == {}
    assert not await valid(home, made["token"])
    refused(await register(home, made["token"]), 401, "M_FORBIDDEN")
    assert [entry["id"] for entry in await listed(home)] == [other["id"]]
    refused(await revoke(home, made["id"]), 404, "M_NOT_FOUND")
    assert (await register(home, other["token"])).status_code == 200


@pytest.mark.parametrize("how", ["revoked", "expired", "used up"])
async def test_a_token_that_ends_during_a_registration_makes_no_account(home: House, how: str) -> None:
    """Between the check of the token and the write that makes the account, the end of the token wins."""
    made = await make(home, expires=home.clock.now + 1000)
    real = home.database.write

    async def slow(fn: Any) -> Any:
        home.database.write = real  # type: ignore[method-assign]
        if how == "revoked":
            await home.accounts.invitations.revoke(made["id"])
        elif how == "expired":
            home.clock.now += 1000
        else:
            assert (await register(home, made["token"], "quicker")).status_code == 200
        return await real(fn)

    home.database.write = slow  # type: ignore[method-assign]
    refused(await register(home, made["token"]), 401, "M_FORBIDDEN")
    assert await count(home.database, "accounts") == (1 if how == "used up" else 0)


async def test_revocation_against_many_registrations(home: House) -> None:
    """Whoever was answered 200 has an account; after the revocation nobody gets one."""
    made = await make(home, uses=100)
    asks = [register(home, made["token"], f"author{n}") for n in range(10)]
    *answers, _ = await asyncio.gather(*asks, revoke(home, made["id"]))
    passed = [answer for answer in answers if answer.status_code == 200]
    assert await count(home.database, "accounts") == len(passed)
    refused(await register(home, made["token"], "late"), 401, "M_FORBIDDEN")


async def test_the_list_comes_in_pages(home: House) -> None:
    """It goes on from `next` until that is null; each token is there once."""
    made = sorted([(await make(home))["id"] for _ in range(5)])
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await home.client.get(f"{TOKENS}?limit=2&from={after}", headers=OPERATOR)).json()
        seen += [entry["id"] for entry in page["tokens"]]
        after = page["next"]
    assert seen == made
    refused(await home.client.get(f"{TOKENS}?from=%00", headers=OPERATOR), 400, "M_INVALID_PARAM")
    refused(await home.client.get(f"{TOKENS}?limit=x", headers=OPERATOR), 400, "M_INVALID_PARAM")


@pytest.mark.parametrize("expires", [0, -1, 1_700_000_000_000, 1_700_000_000_001 + MAX_LIFETIME_MS, 2**70, "x", 1.5])
async def test_bad_ends_are_refused(home: House, expires: Any) -> None:
    """A token ends later than now and within ten years."""
    answer = await home.client.post(TOKENS, json={"expires": expires}, headers=OPERATOR)
    refused(answer, 400, "M_INVALID_PARAM" if isinstance(expires, int) else "M_BAD_JSON")
    assert await count(home.database, "accounts_registration_tokens") == 0


async def test_the_list_is_the_operators_alone(home: House) -> None:
    """A person can neither see nor revoke registration tokens."""
    made = await make(home, uses=2)
    token = (await register(home, made["token"])).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    refused(await home.client.get(TOKENS, headers=headers), 401, "M_UNKNOWN_TOKEN")
    refused(await home.client.post(f"{TOKENS}/{made['id']}/revoke", headers=headers), 401, "M_UNKNOWN_TOKEN")
    assert len(await listed(home)) == 1


async def test_tokens_outlive_a_restart(tmp_path: Path) -> None:
    """Uses made and revocations are on disk once answered."""
    path = tmp_path / "other.db"
    async with house(path, registration="token") as home:
        made, gone = await make(home, uses=2), await make(home)
        await register(home, made["token"])
        await revoke(home, gone["id"])
    async with house(path, registration="token") as home:
        assert [(entry["id"], entry["uses_left"]) for entry in await listed(home)] == [(made["id"], 1)]
        assert (await register(home, made["token"], "second")).status_code == 200
        refused(await register(home, gone["token"], "third"), 401, "M_FORBIDDEN")
