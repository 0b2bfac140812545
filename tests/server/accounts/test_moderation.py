"""The operator suspends and locks accounts; whois."""

from __future__ import annotations

import pytest

from tests.server.accounts.house import (
    OPERATOR,
    PASSWORD,
    House,
    bearer,
    refused,
)

V3 = "/_matrix/client/v3"


def path(what: str, user_id: str = "@author:test") -> str:
    return f"/_matrix/client/v1/admin/{what}/{user_id}"


async def put(home: House, what: str, value: bool) -> None:
    name = {"suspend": "suspended", "lock": "locked"}[what]
    answer = await home.client.put(path(what), json={name: value}, headers=OPERATOR)
    assert (answer.status_code, answer.json()) == (200, {name: value})
    assert (await home.client.get(path(what), headers=OPERATOR)).json() == {name: value}


async def test_a_suspended_person_reads_and_leaves(home: House) -> None:
    """What is not reading, leaving or withdrawing is refused, at once and by name; lifted, all is as before."""
    made = await home.sign_up("author")
    assert (await home.who(made["access_token"])).status_code == 200  # it is remembered
    await put(home, "suspend", True)
    openid = f"{V3}/user/@author:test/openid/request_token"
    refused(await home.client.post(openid, json={}, headers=bearer(made["access_token"])), 403, "M_USER_SUSPENDED")
    assert (await home.who(made["access_token"])).status_code == 200
    assert (await home.log_in("author")).status_code == 200
    await put(home, "suspend", False)
    assert (await home.client.post(openid, json={}, headers=bearer(made["access_token"]))).status_code == 200
    await put(home, "suspend", True)
    assert (await home.client.post(f"{V3}/logout", headers=bearer(made["access_token"]))).status_code == 200


async def test_a_locked_person_is_let_in_nowhere_and_loses_nothing(home: House) -> None:
    """Each request and each login is a soft logout; logging out works; after the lock the old token goes on."""
    made = await home.sign_up("author")
    await put(home, "lock", True)
    for answer in (await home.who(made["access_token"]), await home.log_in("author")):
        refused(answer, 401, "M_USER_LOCKED")
        assert answer.json()["soft_logout"] is True
    refused(await home.log_in("author", "wrong password"), 403, "M_FORBIDDEN")
    await put(home, "lock", False)
    assert (await home.who(made["access_token"])).status_code == 200
    await put(home, "lock", True)
    assert (await home.client.post(f"{V3}/logout", headers=bearer(made["access_token"]))).status_code == 200


@pytest.mark.parametrize("what", ["suspend", "lock"])
async def test_only_the_operator_moderates(home: House, what: str) -> None:
    """A person is refused before anything is looked up, so that she learns of no account."""
    made = await home.sign_up("author")
    name = {"suspend": "suspended", "lock": "locked"}[what]
    for user_id in ("@author:test", "@nobody:test", "@author:elsewhere", "nonsense"):
        for method, body in (("GET", None), ("PUT", {name: True})):
            answer = await home.client.request(
                method, path(what, user_id), json=body, headers=bearer(made["access_token"])
            )
            refused(answer, 403, "M_FORBIDDEN")
    assert (await home.who(made["access_token"])).status_code == 200


@pytest.mark.parametrize("what", ["suspend", "lock"])
@pytest.mark.parametrize(
    ("user_id", "status", "errcode"),
    [
        ("@nobody:test", 404, "M_NOT_FOUND"),
        ("@gone:test", 404, "M_NOT_FOUND"),
        ("@author:elsewhere", 400, "M_INVALID_PARAM"),
        ("@app-films:test", 400, "M_INVALID_PARAM"),
        ("nonsense", 400, "M_INVALID_PARAM"),
    ],
)
async def test_whom_the_operator_cannot_moderate(
    home: House, what: str, user_id: str, status: int, errcode: str
) -> None:
    """Nobody, an ended account, somebody of another server, a partner: each with its error."""
    made = await home.sign_up("gone")
    auth = {"type": "m.login.password", "user": "gone", "password": PASSWORD}
    await home.client.post(f"{V3}/account/deactivate", json={"auth": auth}, headers=bearer(made["access_token"]))
    refused(await home.client.get(path(what, user_id), headers=OPERATOR), status, errcode)
    body = {"suspended": True, "locked": True}
    refused(await home.client.put(path(what, user_id), json=body, headers=OPERATOR), status, errcode)


async def test_the_body_says_what_is_to_be(home: House) -> None:
    """Without the member, or with another type, nothing happens."""
    made = await home.sign_up("author")
    for body in ({}, {"locked": "true"}, {"locked": None}):
        refused(await home.client.put(path("lock"), json=body, headers=OPERATOR), 400, "M_BAD_JSON")
    assert (await home.who(made["access_token"])).status_code == 200


async def test_acts_of_the_operator_are_told_once(home: House) -> None:
    """Each change, each reset and each end is told within its write; doing again what is done is no act."""
    await home.sign_up("author")
    acts: list[str] = []
    home.accounts.moderation.on_act.append(lambda tx, act: acts.append(act))
    for what in ("suspend", "lock"):
        for value in (True, True, False):
            await put(home, what, value)
    await home.accounts.reset_password("@author:test", "another pass phrase", logout_devices=True)
    for _ in range(2):
        await home.accounts.deactivate("@author:test")
    acts = list(dict.fromkeys(acts))  # a write may be run twice
    assert acts == ["suspended", "suspended-lifted", "locked", "locked-lifted", "password-reset", "deactivated"]


async def test_an_act_that_cannot_be_told_does_not_happen(home: House) -> None:
    """No record, no act."""
    made = await home.sign_up("author")

    def fail(tx: object, act: str) -> None:
        raise RuntimeError("the log is full")

    home.accounts.moderation.on_act.append(fail)
    with pytest.raises(RuntimeError):
        await home.accounts.moderation.lock("@author:test", True)
    assert (await home.who(made["access_token"])).status_code == 200


async def test_whois_shows_ones_own_sessions(home: House) -> None:
    """Devices and when they were last seen; no address, for none is kept. The operator sees anybody's."""
    made, stranger = await home.sign_up("author"), await home.sign_up("stranger")
    shown = {
        "user_id": "@author:test",
        "devices": {made["device_id"]: {"sessions": [{"connections": [{"last_seen": home.clock.now}]}]}},
    }
    whois = f"{V3}/admin/whois/@author:test"
    assert (await home.client.get(whois, headers=bearer(made["access_token"]))).json() == shown
    assert (await home.client.get(whois, headers=OPERATOR)).json() == shown
    refused(await home.client.get(whois, headers=bearer(stranger["access_token"])), 403, "M_FORBIDDEN")
    refused(await home.client.get(f"{V3}/admin/whois/@nobody:test", headers=OPERATOR), 404, "M_NOT_FOUND")
