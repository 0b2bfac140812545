"""From a raw path to an endpoint.

Matrix identifiers hold slashes and colons, so the *raw* path is split first and each segment decoded afterwards; a
router that sees the decoded path cannot tell `a%2Fb` from `a/b`.

Matrix clients from before version 1.1 of the specification say `r0` where it is `v3` now; they mean the same endpoints.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from paraph.server.http.endpoint import Endpoint


@dataclass(slots=True)
class _Node:
    fixed: dict[str, "_Node"] = field(default_factory=dict)
    variable: "_Node | None" = None
    endpoints: dict[str, tuple[Endpoint, tuple[str, ...]]] = field(default_factory=dict)


class DuplicateEndpoint(Exception):
    """Two rooms claim the same method and path."""


OLDER_NAMES = (("/_matrix/client/v3", "r0"), ("/_matrix/media/v3", "r0"))
"""Prefixes and what older clients write in place of their last segment: the same endpoints under another name."""


class Router:
    """A tree of path segments; fixed segments win over variables."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._root = _Node()
        for endpoint in endpoints:
            self._add(endpoint)
        for prefix, older in OLDER_NAMES:
            self._also(prefix.split("/")[1:], older)

    def _also(self, segments: list[str], older: str) -> None:
        node: _Node | None = self._root
        for segment in segments[:-1]:
            node = None if node is None else node.fixed.get(segment)
        if node is not None and segments[-1] in node.fixed:
            node.fixed[older] = node.fixed[segments[-1]]

    def _add(self, endpoint: Endpoint) -> None:
        node, names = self._root, []
        for segment in endpoint.path.split("/")[1:]:
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.fixed.setdefault(segment, _Node())
        if endpoint.method in node.endpoints:
            raise DuplicateEndpoint(f"{endpoint.method} {endpoint.path}")
        node.endpoints[endpoint.method] = (endpoint, tuple(names))

    def match(self, method: str, raw_path: str) -> tuple[Endpoint, dict[str, str]] | frozenset[str]:
        """The endpoint and its decoded variables, or the methods that the path would answer to (none: no path)."""
        values: list[str] = []
        node = self._find(self._root, raw_path.split("/"), 1, values)
        if node is None:
            return frozenset()
        found = node.endpoints.get(method)
        if found is None:
            return frozenset(node.endpoints)
        endpoint, names = found
        return endpoint, dict(zip(names, values, strict=True))

    def _find(self, node: _Node, segments: list[str], at: int, values: list[str]) -> _Node | None:
        if at == len(segments):
            return node if node.endpoints else None
        segment = segments[at]
        fixed = node.fixed.get(segment)
        if fixed is not None:
            found = self._find(fixed, segments, at + 1, values)
            if found is not None:
                return found
        if node.variable is None:
            return None
        values.append(unquote(segment) if "%" in segment else segment)
        found = self._find(node.variable, segments, at + 1, values)
        if found is None:
            values.pop()
        return found
