"""A partner's limits: counted for all it does and for each grant, told with each answer, the same for everybody."""

import json
import re
from typing import Any

import httpx
import pytest

from paraph.server.http import Access, ApiError, Endpoint, PartnerPrincipal, Reply, Request
from paraph.server.http.asgi import Application
from paraph.server.http.endpoint import Presented
from paraph.server.http.limits import LIMITS, PER_GRANT, Bound, Limiter, published
from paraph.server.http.told_limits import grant_in_body, grant_in_query, policy_header

ALL, ONE = LIMITS["default"], LIMITS[PER_GRANT]


class Clock:
    """Seconds, as a test sets them."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Door:
    """A token is a slug, or a slug and a grant with a slash between them."""

    async def authenticate(self, presented: Presented) -> PartnerPrincipal:
        """The partner that the token names."""
        if not presented.token:
            raise ApiError(401, "M_MISSING_TOKEN", "an access token is required")
        slug, _, grant_id = presented.token.partition("/")
        return PartnerPrincipal(slug, grant_id or None, "")

    def headers(self, _path: str) -> tuple[tuple[bytes, bytes], ...]:
        """Nothing besides."""
        return ()


class Nothing:
    """Nothing starts or stops."""

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""


class Api:
    """An application with one endpoint of each kind."""

    def __init__(self, *, enabled: bool = True) -> None:
        self.clock = Clock()

        async def answer(request: Request) -> Reply:
            if request.query().get("fail"):
                raise ApiError(500, "M_UNKNOWN", "failed")
            return Reply.json({})

        in_body = grant_in_body("a", "grant_id")
        rows = [
            Endpoint("GET", "/inbox/v1/all", Access.PARTNER, answer, "All"),
            Endpoint("GET", "/inbox/v1/one", Access.PARTNER, answer, "One", grant=grant_in_query),
            Endpoint("POST", "/inbox/v1/one", Access.PARTNER, answer, "One", "keys", grant=in_body),
            Endpoint("GET", "/oauth/grants/{grant_id}", Access.PARTNER, answer, "One"),
            Endpoint("GET", "/inbox/v1/public", Access.PUBLIC, answer, "Public"),
            Endpoint("GET", "/_paraph/v1/public", Access.PUBLIC, answer, "Public"),
        ]
        limiter = Limiter(self.clock, enabled=enabled)
        self.application: Any = Application(rows, {}, limiter, Nothing(), partners=Door())

    async def call(self, token: str, path: str, method: str = "GET", body: Any = None) -> httpx.Response:
        """One request."""
        headers = {"authorization": f"DPoP {token}"} if token else {}
        content = None if body is None else json.dumps(body)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.application), base_url="http://here") as http:
            return await http.request(method, path, headers=headers, content=content)

    def spend(self, name: str, key: str, leave: int = 0) -> None:
        """Use a bucket up but for so many requests."""
        for _ in range(LIMITS[name].burst - leave):
            self.application._limiter.check(name, key)


def standing(answer: httpx.Response) -> dict[str, tuple[int, int]]:
    """`RateLimit` of an answer: (left, seconds) by row."""
    found = re.findall(r'"([a-z]+)";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert ", ".join(f'"{name}";r={left};t={seconds}' for name, left, seconds in found) == answer.headers["ratelimit"]
    return {name: (int(left), int(seconds)) for name, left, seconds in found}


async def test_each_answer_says_how_the_limits_stand() -> None:
    """What is left goes down by one with each request and is full again after the seconds that are named."""
    api = Api()
    first = await api.call("tempo", "/inbox/v1/all")
    assert standing(first) == {"default": (ALL.burst - 1, 1)}
    assert standing(await api.call("tempo", "/inbox/v1/all")) == {"default": (ALL.burst - 2, 1)}
    api.spend("default", "tempo", leave=100)
    told = standing(await api.call("tempo", "/inbox/v1/all"))["default"]
    assert told[0] < 100
    api.clock.now += told[1]
    assert standing(await api.call("tempo", "/inbox/v1/all"))["default"][0] == ALL.burst - 1
    expected = f'"default";q={ALL.burst};w={ALL.window}, "grant";q={ONE.burst};w={ONE.window}'
    assert first.headers["ratelimit-policy"] == expected


async def test_a_limit_that_is_used_up_is_a_problem_that_names_it() -> None:
    """429, its name, and when to come back: then the next request is let in, and one more is not."""
    api = Api()
    api.spend("keys", "tempo")
    refused = await api.call("tempo", "/inbox/v1/one", "POST", {})
    problem = refused.json()
    assert (refused.status_code, problem["type"]) == (429, "urn:paraph:problem:limit-exceeded")
    assert problem["violated-policies"] == ["keys"]
    assert standing(refused) == {"keys": (0, int(refused.headers["retry-after"]))}
    api.clock.now += problem["retry_after_ms"] / 1000
    assert (await api.call("tempo", "/inbox/v1/one", "POST", {})).status_code == 200
    assert (await api.call("tempo", "/inbox/v1/one", "POST", {})).status_code == 429


@pytest.mark.parametrize(
    ("token", "method", "path", "body"),
    [
        ("tempo/gr_a", "GET", "/inbox/v1/all", None),
        ("tempo/gr_a", "POST", "/inbox/v1/one", {"a": {"grant_id": "gr_other"}}),
        ("tempo", "GET", "/inbox/v1/one?grant_id=gr_a", None),
        ("tempo", "POST", "/inbox/v1/one", {"a": {"grant_id": "gr_a"}}),
        ("tempo", "GET", "/oauth/grants/gr_a", None),
    ],
)
async def test_a_grant_has_a_limit_of_its_own(token: str, method: str, path: str, body: Any) -> None:
    """However it is named: by the token, the query, the body or the path; other grants of the partner go on."""
    api = Api()
    api.spend(PER_GRANT, "tempo/gr_a", leave=1)
    assert standing(await api.call(token, path, method, body))[PER_GRANT][0] == 0
    refused = await api.call(token, path, method, body)
    assert refused.status_code == 429
    assert standing(refused)[PER_GRANT][0] == 0
    assert (await api.call("tempo/gr_b", "/inbox/v1/all")).status_code == 200
    assert (await api.call("tempo", "/inbox/v1/all")).status_code == 200


async def test_no_partner_uses_up_anything_of_anothers() -> None:
    """Not even by naming a grant that is the other's."""
    api = Api()
    api.spend("default", "marquee", leave=10)
    for _ in range(9):
        await api.call("marquee", "/inbox/v1/one?grant_id=gr_tempo")
    assert standing(await api.call("tempo/gr_tempo", "/inbox/v1/all")) == {
        "default": (ALL.burst - 1, 1),
        PER_GRANT: (ONE.burst - 1, 1),
    }


@pytest.mark.parametrize("body", [None, [], "text", {"a": None}, {"a": {"grant_id": 1}}, {"a": {"grant_id": "g" * 65}}])
async def test_what_names_no_grant_counts_under_none(body: Any) -> None:
    """Bodies of another shape are for the endpoint to refuse."""
    answer = await Api().call("tempo", "/inbox/v1/one", "POST", body)
    assert list(standing(answer)) == ["keys"]


async def test_errors_say_it_too() -> None:
    """A failure does, and whoever is not let in learns the policy; other APIs say nothing."""
    api = Api()
    failed = await api.call("tempo", "/inbox/v1/all?fail=1")
    assert failed.status_code == 500
    assert standing(failed)["default"] == (ALL.burst - 1, 1)
    unknown = await api.call("", "/inbox/v1/all")
    assert unknown.status_code == 401
    assert unknown.headers["ratelimit-policy"] == policy_header(("default", PER_GRANT))[1].decode()
    assert "ratelimit" not in unknown.headers
    assert list(standing(await api.call("", "/inbox/v1/public"))) == ["public"]
    assert "ratelimit" not in (await api.call("", "/_paraph/v1/public")).headers


async def test_without_limits_none_are_told() -> None:
    """A platform that applies no limits does not say that it does."""
    api = Api(enabled=False)
    answer = await api.call("tempo/gr_a", "/inbox/v1/all")
    assert answer.status_code == 200
    assert not {"ratelimit", "ratelimit-policy"} & set(answer.headers)
    assert published([], enabled=False)["enforced"] is False


def test_the_published_limits_are_the_ones_applied() -> None:
    """Every row, with what it counts, for whom, and its meaning; and the bounds as they were given."""
    made = published([Bound("wait", 30_000, "milliseconds", "how long")], enabled=True)
    assert made["requests"].keys() == LIMITS.keys()
    for name, limit in LIMITS.items():
        row = made["requests"][name]
        assert (row["requests_at_once"], row["refilled_per_second"]) == (limit.burst, limit.per_second)
        assert row["per"]
        assert row["meaning"]
    assert made["bounds"] == {"wait": {"value": 30_000, "unit": "milliseconds", "meaning": "how long"}}
