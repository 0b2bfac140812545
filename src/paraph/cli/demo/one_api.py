"""One API for all (P9): both partners are shown the same, the log has its hashes, and there is nothing beside it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from paraph.cli.demo.evidence import Count, Findings, Opened
from paraph.cli.demo.knocking import Knocking
from paraph.cli.demo.outsider import Outside
from paraph.sdk import Partner

DOCUMENTS = {"openapi": "/inbox/v1/openapi.json", "limits": "/.well-known/paraph/limits"}
"""Where each is served, by its name in the platform's record."""
NOT_FOUND = 404
PLACES = (
    "/inbox/v1",
    "/inbox/v2",
    "/inbox/v1/{slug}",
    "/inbox/internal",
    "/_paraph/v1",
    "/_paraph/private",
    "/api",
    "/{slug}",
)
THINGS = (
    "everything",
    "messages",
    "messages/all",
    "threads",
    "conversations",
    "people/@mira:localhost/messages",
    "contacts",
    "friends/all",
    "search",
    "export",
    "plaintext",
    "decrypt",
    "sessions",
    "room-keys",
    "send",
    "impersonate",
    "audience",
    "analytics",
    "graphql",
    "firehose",
    "debug",
    "internal",
)


@dataclass
class OneApi:
    """The act, with two partners on the platform at `url`; `outside` is what the log has."""

    partners: tuple[Partner, Partner]
    url: str
    outside: Outside
    found: Findings = field(default_factory=Findings)

    async def play(self) -> Findings:
        """Both ask for the documents, and for whatever might be there beside them."""
        one, other = self.partners
        async with Knocking(one, self.url) as first, Knocking(other, self.url) as second:
            shown = [await self._documents(knocking) for knocking in (first, second)]
            self._compare(shown)
            await self._probe(first, second, shown[0]["openapi"].json())
        return self.found

    async def _documents(self, knocking: Knocking) -> dict[str, Any]:
        return {name: await knocking.ask("GET", place) for name, place in DOCUMENTS.items()}

    def _compare(self, shown: list[dict[str, Any]]) -> None:
        different = sum(shown[0][name].content != shown[1][name].content for name in DOCUMENTS)
        sizes = ", ".join(f"{name} {len(shown[0][name].content)} bytes" for name in DOCUMENTS)
        self.found.counts.append(Count("documents that the two are shown differently", different, 2, 0, sizes))
        records = self.outside.documents("platform")
        recorded = records[-1] if records else {}
        hashes = [(name, hashlib.sha256(each[name].content).hexdigest()) for each in shown for name in DOCUMENTS]
        strange = sum(recorded.get(name) != digest for name, digest in hashes)
        said = f"SHA-256 of openapi: {recorded.get('openapi', 'none')}"
        what = "documents whose hash is not in the platform's record in the log"
        self.found.counts.append(Count(what, strange, len(hashes), 0, said))

    async def _probe(self, first: Knocking, second: Knocking, openapi: dict[str, Any]) -> None:
        """One partner reads and the other writes at each path that might be there, with their tokens."""
        listed = [path for path, methods in openapi["paths"].items() if "{" not in path and "get" in methods]
        answers = [await first.ask("GET", path) for path in listed]
        control = Opened(sum(answer.status_code != NOT_FOUND for answer in answers), len(listed))
        paths = [path for path in _paths(first.partner.slug) if path not in openapi["paths"]]
        answers = [await first.ask("GET", path) for path in paths]
        answers += [await second.ask("POST", path, {}) for path in paths]
        there = [answer.request.url.path for answer in answers if answer.status_code != NOT_FOUND]
        what = "requests beside the documented API that are answered"
        beside = there[0] if there else "documented ones"
        self.found.counts.append(Count(what, len(there), len(answers), 0, beside, control))


def _paths(slug: str) -> Iterator[str]:
    """Paths that an API for one partner might have."""
    return (f"{place.format(slug=slug)}/{thing}" for place in PLACES for thing in THINGS)
