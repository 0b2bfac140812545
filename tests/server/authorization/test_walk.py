"""Every endpoint for partners, with every kind of token, under every fate of a grant: the answer is the table's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from paraph.server.app import build
from paraph.server.config import Settings
from paraph.server.http import Access
from tests.sdk.stage import stage
from tests.server.authorization.table import TABLE, About, State, Token, exists, expected, shows
from tests.server.authorization.world import Case, Clock, World

CHANGES = "GET /inbox/v1/changes"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A platform with grants of every fate."""
    clock = Clock()
    async with stage(tmp_path / "data", clock=clock) as here:
        made = await World(here, clock).build()
        for _ in range(300):  # time was turned: until the log has a tree of now nothing is read
            if (await made.call(CHANGES, made.cases[State.LIVE], Token.WHOLE)).status_code != 503:
                break
            await asyncio.sleep(0.1)
        yield made


def _said(answer: httpx.Response) -> tuple[int, str | None]:
    """Status, and which refusal it is."""
    if answer.status_code < 300:
        return answer.status_code, None
    body = answer.json()
    return answer.status_code, str(body.get("type", body.get("error"))).removeprefix("urn:paraph:problem:")


def _sign(endpoint: str, case: Case) -> str:
    """What a list has in it if it shows what is under the grant."""
    names = {"grants": "grant_id", "rooms": "room_id", "changes": "event_id"}
    return case.ids[names[endpoint.rpartition("/")[2]]]


@pytest.mark.slow
async def test_every_call_is_answered_as_the_table_says(world: World) -> None:
    """Status and kind of refusal, and in the lists exactly what the caller may know of."""
    wrong, calls = [], 0
    for endpoint, row in TABLE.items():
        for state, case in world.cases.items():
            for token in (token for token in Token if exists(token, state)):
                answer = await world.call(endpoint, case, token)
                calls += 1
                said, right = _said(answer), expected(endpoint, token, state)
                if said != right:
                    wrong.append(f"{endpoint} | {token.value} | {state.value}: {said}, expected {right}")
                elif row.about is About.LISTS and said[1] is None:
                    shown = _sign(endpoint, case) in answer.text
                    if shown != shows(endpoint, token, state):
                        wrong.append(f"{endpoint} | {token.value} | {state.value}: shows {shown}")
    assert wrong == [], "\n".join(wrong)
    assert calls == len(TABLE) * (len(Token) * len(State) - 2)


def test_no_endpoint_is_missing_in_the_table(tmp_path: Path) -> None:
    """What is for partners is in the table, and the table names nothing that there is not."""
    endpoints = build(Settings(data=tmp_path)).application.endpoints
    assert {f"{one.method} {one.path}" for one in endpoints if one.access is Access.PARTNER} == set(TABLE)
