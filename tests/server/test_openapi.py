"""The OpenAPI document and what else the platform publishes about its API (promise P9)."""

import ast
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

import paraph.server
from paraph.protocol.identifiers import PLATFORM
from paraph.server.app import Server, build
from paraph.server.config import Settings
from paraph.server.http import Access, Endpoint, Reply, Request
from paraph.server.http.doc import PATH_VARIABLES, Answer, Doc
from paraph.server.http.openapi import StaleDoc, document, documented, operation_id
from paraph.server.http.problems import OAUTH_ERRORS, PROBLEMS, slug_of
from paraph.server.ledger import public

PARTNERS = ("/inbox/", "/oauth/", "/.well-known/oauth", "/.well-known/paraph/")
ROOT = Path(paraph.server.__file__).parent
HOW = "add it to inbox/docs.py (or consent/oauth/docs.py), with types for its answers from shapes.py"
# What rooms raise for people and operators alone; no partner's request reaches it.
FOR_PEOPLE = {
    "stale-grants", "not-enrolled", "draft-settled", "missing-param", "busy", "not-integrated", "map-not-kept",
    "grant-over", "no-agreement", "out-of-scope", "draft-not-claimed", "wrong-room-keys-version",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A platform that is built and not started."""
    return build(Settings(data=tmp_path_factory.mktemp("openapi")))


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running platform."""
    running = build(Settings(data=tmp_path))
    await running.start()
    transport: Any = httpx.ASGITransport(app=running.application)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    await running.stop()


def partners(server: Server) -> list[Endpoint]:
    """The endpoints of the partners' APIs."""
    return [endpoint for endpoint in server.application.endpoints if endpoint.path.startswith(PARTNERS)]


def test_every_endpoint_of_partners_is_documented(server: Server) -> None:
    """An endpoint without a description fails here; how to write one is said with it."""
    missing = [f"{endpoint.method} {endpoint.path}" for endpoint in partners(server) if endpoint.doc is None]
    assert not missing, f"not documented: {', '.join(missing)}: {HOW}"
    made = json.loads(server.published.openapi)
    shown = {(method.upper(), path) for path, operations in made["paths"].items() for method in operations}
    assert shown == {(endpoint.method, endpoint.path) for endpoint in partners(server)}


def test_every_operation_says_what_it_answers(server: Server) -> None:
    """A success, the limit, the failure; with a token 401; names of parameters; each under an id of its own."""
    made = json.loads(server.published.openapi)
    ids = [operation["operationId"] for _, _, operation in operations(made)]
    assert len(ids) == len(set(ids))
    for path, method, operation in operations(made):
        statuses = set(operation["responses"])
        assert {"429", "500"} <= statuses, path
        assert any(status.startswith("2") for status in statuses), path
        assert ("401" in statuses) >= bool(operation["security"]), path
        assert ("413" in statuses) == ("requestBody" in operation), (method, path)
        assert all(parameter["description"] for parameter in operation["parameters"]), (method, path)


def operations(made: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of each."""
    for path, by_method in made["paths"].items():
        for method, operation in by_method.items():
            yield path, method, operation


def test_schemas_are_good_json_schema(server: Server) -> None:
    """Each is one of the dialect that the document names, and every reference leads somewhere."""
    made = json.loads(server.published.openapi)
    for schema in made["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    text = server.published.openapi.decode()
    for kind, name in set(re.findall(r'"#/components/(\w+)/([^"]+)"', text)):
        assert name in made["components"][kind], name
    assert r"\Z" not in text


def codes_raised() -> set[tuple[str, int, str]]:
    """(file, status, code) of every error that the rooms which partners reach make, as it stands in the code."""
    found = set()
    for room in ("inbox", "consent", "devices", "ledger", "http"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and len(node.args) > 1:
                    status, code = (getattr(argument, "value", None) for argument in node.args[:2])
                    if isinstance(status, int) and isinstance(code, str):
                        found.add((f"{room}/{path.name}", status, code))
    return found


def test_every_problem_is_in_the_registry() -> None:
    """What the code raises has a row there with the same status, and every row is raised somewhere."""
    used = set()
    for where, status, code in codes_raised():
        if re.fullmatch(r"[a-z]+(_[a-z]+)+", code):
            assert code in OAUTH_ERRORS, f"{where} raises {code}: add it to OAUTH_ERRORS in http/problems.py"
        elif re.fullmatch(r"M_[A-Z_]+|ORG_PARAPH_[A-Z_]+|[a-z]+(-[a-z]+)+", code):
            slug = slug_of(code, status)
            known = slug in PROBLEMS or slug in FOR_PEOPLE
            assert known, f"{where} raises {code}: add {slug!r} to http/problems.py, or here to FOR_PEOPLE"
            assert slug in FOR_PEOPLE or PROBLEMS[slug].status == status, (where, code)
            used.add(slug)
    # Made otherwise: by the door, from OAuth's words; by the pages of the log.
    assert PROBLEMS.keys() - used == {"use-dpop-nonce", "invalid-dpop-proof", "log-not-readable"}


def test_every_problem_is_of_some_endpoint(server: Server) -> None:
    """No row of the registry is left that no endpoint of partners names."""
    made = json.loads(server.published.openapi)
    named = set(re.findall(r"urn:paraph:problem:([a-z-]+)", json.dumps(made["paths"])))
    # Errors of no endpoint, and of the pages of the log.
    assert PROBLEMS.keys() - named == {"no-such-endpoint", "method-not-allowed", "log-not-readable"}
    codes = set(re.findall(r'"([a-z_]+)"', json.dumps([one for _, _, op in operations(made) for one in enums(op)])))
    assert OAUTH_ERRORS.keys() <= codes


def enums(operation: dict[str, Any]) -> Iterator[Any]:
    """Every list of allowed values in an operation's answers."""
    for answer in operation["responses"].values():
        for content in answer.get("content", {}).values():
            for part in content["schema"].get("allOf", []):
                yield [shape.get("enum") for shape in part.get("properties", {}).values()]


async def test_the_platforms_record_names_what_is_served(http: httpx.AsyncClient) -> None:
    """The hashes in the newest record are those of the bytes that anybody gets."""
    record = (await http.get("/_paraph/v1/platform")).json()["record"]["document"]
    for name, path in (("openapi", "/inbox/v1/openapi.json"), ("limits", "/.well-known/paraph/limits")):
        served = await http.get(path)
        assert served.status_code == 200
        assert served.headers["content-type"] == "application/json"
        assert record[name] == hashlib.sha256(served.content).hexdigest()
    assert (await http.get("/inbox/v1/openapi.json")).json()["openapi"] == "3.1.0"


async def test_another_api_is_another_record(tmp_path: Path) -> None:
    """The same platform started again records nothing new; one with other limits or another endpoint does."""

    async def start(**changes: Any) -> list[dict[str, Any]]:
        made = build(replace(Settings(data=tmp_path), **changes))
        await made.start()
        listed = await made.database.read(lambda tx: public.records_about(tx, PLATFORM, ["platform"], 10))
        await made.stop()
        return [one.record["document"] for one in listed]

    assert len(await start()) == 1
    assert len(await start()) == 1
    other = await start(rate_limits=False)
    assert len(other) == 2
    assert other[0]["limits"] != other[1]["limits"]
    assert other[0]["openapi"] == other[1]["openapi"]


async def test_about_leads_to_what_a_problem_means(http: httpx.AsyncClient) -> None:
    """From the error of a partner that has no token to the row of the registry."""
    problem = (await http.get("/inbox/v1/rooms")).json()
    assert problem["title"] == PROBLEMS["token-missing"].title
    about = (await http.get(problem["about"])).json()
    assert (about["type"], about["status"], about["title"]) == (problem["type"], 401, problem["title"])
    assert about["meaning"]
    listed = (await http.get("/inbox/v1/problems")).json()["problems"]
    assert [one["slug"] for one in listed] == list(PROBLEMS)
    assert (await http.get("/inbox/v1/problems/nonsense")).json()["type"] == "urn:paraph:problem:not-found"


async def test_limits_are_published_with_their_bounds(http: httpx.AsyncClient) -> None:
    """Rows and bounds, and that they are applied."""
    limits = (await http.get("/.well-known/paraph/limits")).json()
    assert limits["enforced"] is True
    assert limits["requests"]["grant"]["per"] == ["grant"]
    assert limits["bounds"]["messages"] == {
        "value": 500,
        "unit": "count",
        "meaning": "messages or changes in one answer",
    }


async def _nothing(_request: Request) -> Reply:
    return Reply.json({})


def test_a_description_of_no_endpoint_is_noticed() -> None:
    """A stale one, and a second one of the same endpoint, stop the start."""
    doc = Doc("Tag", {200: Answer("It worked")})
    row = Endpoint("GET", "/inbox/v1/thing", Access.PARTNER, _nothing, "A thing")
    with pytest.raises(StaleDoc, match="not in the table: GET /inbox/v1/gone"):
        documented([row], {("GET", "/inbox/v1/gone"): doc})
    with pytest.raises(StaleDoc, match="twice"):
        documented([replace(row, doc=doc)], {("GET", "/inbox/v1/thing"): doc})
    (made,) = documented([row], {("GET", "/inbox/v1/thing"): doc})
    assert operation_id(made) == "get_thing"


def test_what_every_endpoint_may_answer_cannot_be_left_out() -> None:
    """The document adds the errors of tokens, bodies, limits and the platform by itself."""
    doc = Doc("Tag", {200: Answer("It worked")}, body={"type": "object"}, errors=("not-granted",))
    row = Endpoint("POST", "/inbox/v1/rooms/{room_id}/x", Access.PARTNER, _nothing, "X", max_body=77, doc=doc)
    made = document([row], base_url="http://here", version="1", about="")
    operation = made["paths"]["/inbox/v1/rooms/{room_id}/x"]["post"]
    assert set(operation["responses"]) == {"200", "400", "401", "403", "413", "429", "500", "503"}
    assert operation["x-max-body"] == 77
    assert operation["parameters"][0]["description"] == PATH_VARIABLES["room_id"]
    assert {"RateLimit", "RateLimit-Policy", "DPoP-Nonce"} <= set(operation["responses"]["200"]["headers"])
