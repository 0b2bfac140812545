"""What a running platform answers is what its OpenAPI document says, in every story the SDK plays and in made-up calls.

schemathesis makes the calls and holds the answers against the document. Answers are held to it strictly: a member that
the document does not name counts as a violation.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import re
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import strategies as st
from schemathesis import checks

from paraph.sdk import TransportError
from paraph.server.http import Access
from tests.sdk.stage import DAY, PURPOSE, VERBS, Stage, stage
from tests.server.inbox.hooks import Call, hook

pytestmark = pytest.mark.slow

T = TypeVar("T")
CALLBACK = "https://marquee.example/callback"
EXAMPLES = 10
"""Made-up calls of each operation, and as many with ids that there are."""
OPEN_ENDED = ("Problem", "OAuthError", "Metadata")
"""Types that may have members which the document does not name."""
checks.load_all_checks()
CHECKS = [
    checks.CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every answer's type closed to members that it does not name."""
    closed = copy.deepcopy(document)
    for name, schema in closed["components"]["schemas"].items():
        if schema.get("type") == "object" and "properties" in schema and name not in OPEN_ENDED:
            schema.setdefault("additionalProperties", False)
    return closed


class Platform:
    """A platform with people and a partner, in a thread of its own, and its document."""

    def __init__(self, loop: asyncio.AbstractEventLoop, here: Stage) -> None:
        self._loop = loop
        self.here = here
        self.answered: Counter[tuple[str, int]] = Counter()
        self.ids: dict[str, str] = {}
        document = strict(json.loads(here.server.published.openapi))
        self.schema: Any = schemathesis.openapi.from_dict(document)
        self._patterns = {
            path: re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path))) for path in document["paths"]
        }
        here.http.event_hooks["response"].append(self._check)
        self.violations: list[str] = []

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something that happens in the platform's thread."""
        made: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return made.result(60)

    async def _check(self, response: httpx.Response) -> None:
        """Hold an answer of the partners' APIs against the document."""
        path = response.request.url.raw_path.decode().partition("?")[0]
        # A fixed path wins over one with variables, as in the platform's own router.
        found = sorted((name for name, form in self._patterns.items() if form.fullmatch(path)), key=lambda n: "{" in n)
        if not found:
            return
        await response.aread()
        operation = self.schema[found[0]][response.request.method]
        self.answered[operation.label, response.status_code] += 1
        why = violation(operation, response)
        if why is not None:  # told at the end: here it would only stop the story
            self.violations.append(f"{operation.label}: {response.status_code} {response.text[:500]}\n{why}")


def violation(operation: Any, response: httpx.Response) -> str | None:
    """What an answer has that the document does not, or lacks."""
    case = operation.Case(path_parameters=dict.fromkeys(re.findall(r"{(\w+)}", operation.path), "x"))
    try:
        case.validate_response(response, checks=CHECKS)
    except (checks.Failure, checks.FailureGroup) as error:
        return str(error)
    return None


def _serve(data: Path, ready: Future[Platform], stop: threading.Event) -> None:
    async def serve() -> None:
        async with stage(data) as here:
            loop = asyncio.get_running_loop()
            ready.set_result(Platform(loop, here))
            await loop.run_in_executor(None, stop.wait)

    try:
        asyncio.run(serve())
    except BaseException as error:
        if ready.done():
            raise
        ready.set_exception(error)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform, after a story in which a partner does all that it may."""
    ready: Future[Platform] = Future()
    stop = threading.Event()
    thread = threading.Thread(target=_serve, args=(tmp_path_factory.mktemp("calls"), ready, stop))
    thread.start()
    try:
        made = ready.result(60)
        made.run(story(made))
        yield made
    finally:
        stop.set()
        thread.join(30)


def disposal(here: Stage, grant_id: str) -> dict[str, Any]:
    """A confirmation of the partner's."""
    partner, now = here.partner, here.now()
    by = {"partner": partner.slug, "device_id": partner.device_id, "grant_id": grant_id}
    counts = {"accesses": 1, "messages": 1, "keys": 0}
    made: dict[str, Any] = partner.engine.account.signed(
        {"type": "org.paraph.disposal", **by, "opened_before": now, **counts, "created": now}
    )
    return made


async def story(made: Platform) -> None:
    """Publish a device, ask and be granted, read, look around, propose, delete, give up."""
    here, partner = made.here, made.here.partner
    body = {"slug": partner.slug, "name": "Marquee", "master_key": partner.master_key}
    registered = {**body, "client_jwk": partner.client_jwk, "redirect_uris": [CALLBACK]}
    await here.http.post("/_paraph/v1/admin/partners", json=registered, headers=here.operator)
    grant_id = await here.grant(*VERBS)
    details = {"verbs": ["read"], "purposes": [PURPOSE], "until": here.now() + 10 * DAY}
    asking = await partner.ask(details, CALLBACK)
    await here.http.get(asking.url)
    done = await here.author.answer(await here.author.consents(asking.url), agree=lambda _text: True)
    granted = await partner.redeem(asking, done.redirect)
    await partner.auth.form("/oauth/token", {"grant_type": "refresh_token", "refresh_token": granted.refresh_token})
    first = await here.author.send_text(here.room_id, "the first")
    second = await here.author.send_text(here.room_id, "the second")
    await here.author.send_file(here.room_id, b"a picture", name="picture.png")
    await partner.poll()
    page = await partner.messages(here.room_id, PURPOSE)
    await partner.download(page.messages[-1], PURPOSE)
    async for _change in partner.changes(PURPOSE, timeout_ms=0):
        pass
    await partner.metadata(grant_id, PURPOSE)
    await partner.friends(grant_id, PURPOSE)
    await partner.rooms()
    draft_id = await partner.draft(grant_id, here.room_id, "Friday?")
    await here.author.drafts.seal(draft_id)
    await partner.draft_status(draft_id)
    await partner.withdraw(await partner.draft(grant_id, here.room_id, "Saturday?"))
    await partner.delete(here.room_id, second, PURPOSE, reason="withdrawn")
    await partner.auth.call("POST", "/inbox/v1/disposals", {"disposal": disposal(here, grant_id)})
    for about in ("introspect", "revoke"):
        with contextlib.suppress(TransportError):  # RFC 7009 answers with no body
            await partner.auth.form(f"/oauth/{about}", {"token": partner.auth.token or ""})
    partner.auth.forget()
    await partner.auth.call("GET", f"/oauth/grants/{granted.grant_id}")
    await partner.auth.delete(f"/oauth/grants/{granted.grant_id}")
    device = {"grant_id": grant_id, "devices": [here.author.device_id]}
    await partner.auth.call("POST", "/inbox/v1/claim-keys", device)
    await be_called(here)
    tempo = await here.add_partner("tempo")
    await tempo.end_device("moved to another one")
    for path in ("/.well-known/oauth-authorization-server", "/.well-known/paraph/limits", "/oauth/jwks"):
        await here.http.get(path)
    for path in ("openapi.json", "problems", "problems/not-granted"):
        await here.http.get(f"/inbox/v1/{path}")
    made.ids = {
        "room_id": here.room_id,
        "event_id": first,
        "device_id": partner.device_id,
        "draft_id": draft_id,
        "grant_id": grant_id,
        "person": here.author.user_id,
        "purpose": PURPOSE,
        "slug": "not-granted",
    }


async def be_called(here: Stage) -> None:
    """Register an endpoint on this machine, and remove it. Only here may the platform call one that is not public."""
    webhooks, loop, sender = here.partner.webhooks, asyncio.get_running_loop(), here.server.webhooks._sender

    def answer(call: Call) -> tuple[int, bytes]:
        receiving = webhooks.receive(endpoint.url, call.headers, call.body)
        return 200, asyncio.run_coroutine_threadsafe(receiving, loop).result(10)[1]

    sender.anywhere = True
    async with hook() as endpoint:
        endpoint.answering = answer
        made = await webhooks.add(endpoint.url)
        await webhooks.all()
        await webhooks.remove(made["webhook_id"])
    sender.anywhere = False


def test_every_answer_of_a_whole_story_is_as_documented(platform: Platform) -> None:
    """Each operation succeeds at least once, and no answer has a status, header or member that is not documented."""
    assert platform.violations == []
    succeeded = {label for label, status in platform.answered if status < 300}
    every = {operation.ok().label for operation in platform.schema.get_all_operations()}
    assert every == succeeded


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    verbosity=Verbosity.quiet,
)
@given(data=st.data())
def call(platform: Platform, operation: Any, *, known: bool, data: st.DataObject) -> None:
    """A made-up call of an operation, with ids that there are if `known`; its answer is as documented."""
    case = data.draw(operation.as_strategy())
    for place in (case.path_parameters or {}), (case.query or {}):
        for name in set(place) & platform.ids.keys() if known else ():
            place[name] = platform.ids[name]
        if known:
            place.pop("since", None), place.pop("state", None)
        if "timeout" in place:
            place["timeout"] = 0
    response = platform.run(send(platform, case))
    case.validate_response(response, checks=CHECKS)


async def send(platform: Platform, case: Any) -> httpx.Response:
    """Make a call as the partner, with a proof for exactly this request."""
    auth, made = platform.here.partner.auth, case.as_transport_kwargs(base_url=platform.here.server.settings.base_url)
    allowed = ("method", "url", "headers", "params", "json", "data", "content")
    request = platform.here.http.build_request(**{name: made[name] for name in allowed if made.get(name) is not None})
    await auth._authenticate()
    auth._nonce = platform.here.server.consent.authorization.proofs.nonces.current()
    request.headers.update(auth.prove(request.method, request.url.raw_path.decode().partition("?")[0]))
    return await platform.here.http.send(request)


def test_made_up_calls_are_answered_as_documented(platform: Platform) -> None:
    """Never a failure of the platform, never a status or shape that the document does not have."""
    made, before = 0, sum(platform.answered.values())
    for found in platform.schema.get_all_operations():
        operation = found.ok()
        for known in (False, True):
            if known and operation.method.upper() == "DELETE":
                continue  # what there is must stay for the others
            call(platform, operation, known=known)
            made += 1
    assert platform.violations == []
    assert sum(platform.answered.values()) - before >= made * 2
    refused = {status for _, status in platform.answered if status >= 400}
    assert {400, 403, 404} <= refused


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "application/json", {"rooms": [], "more": 1}),
        (200, "application/json", {"rooms": [{"room_id": "!a:b", "grants": [1]}]}),
        (200, "application/json", {}),
        (200, "text/plain", {"rooms": []}),
        (418, "application/json", {"rooms": []}),
        (403, "application/problem+json", {"type": "urn:paraph:problem:not-granted"}),
    ],
)
def test_what_is_not_documented_is_noticed(platform: Platform, status: int, content_type: str, body: Any) -> None:
    """The check itself: a member more, one of another type, one less, another type of content, another status."""
    operation = platform.schema["/inbox/v1/rooms"]["GET"]
    right = {"rooms": [{"room_id": "!a:b", "grants": []}]}
    assert violation(operation, answer(200, "application/json", right)) is None
    assert violation(operation, answer(status, content_type, body))


def answer(status: int, content_type: str, body: Any) -> httpx.Response:
    """An answer that nobody gave."""
    request = httpx.Request("GET", "http://localhost/inbox/v1/rooms")
    headers = {"content-type": content_type}
    made = httpx.Response(status, content=json.dumps(body), headers=headers, request=request)
    made.elapsed = timedelta()
    return made


def test_the_walk_knows_who_may_call(platform: Platform) -> None:
    """The document asks for a token exactly where the platform does."""
    for endpoint in platform.here.server.application.endpoints:
        if endpoint.doc is not None:
            operation = platform.schema[endpoint.path][endpoint.method]
            assert bool(operation.definition.raw["security"]) == (endpoint.access is Access.PARTNER), endpoint.path
