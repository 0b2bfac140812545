"""The OpenAPI 3.1 document, made from the endpoint table: each endpoint that has a `doc` is in it, and nothing else.

What holds for every endpoint of a kind (tokens and proofs, limits, sizes, the failures of the platform) is added here,
so that no endpoint can leave it out.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import msgspec

from paraph.server.http.doc import JSON, PATH_VARIABLES, Answer, Doc, Parameter, Shape
from paraph.server.http.endpoint import Access, Endpoint
from paraph.server.http.errors import INBOX
from paraph.server.http.problems import OAUTH_ERRORS, PROBLEMS
from paraph.server.http.told_limits import is_told, limit_name

_REF = "#/components/schemas/{name}"
_PROBLEM_JSON = "application/problem+json"
Table = Mapping[tuple[str, str], Doc]

_ALWAYS = ("limit-exceeded", "internal")
_PARTNER = ("token-missing", "token-invalid", "use-dpop-nonce", "invalid-dpop-proof", "overloaded")
_ANY_TEXT = ("bad-parameter",)
_BODY = ("not-json", "bad-json", "too-large")
_OAUTH_ALWAYS = {400: ("invalid_request",), 429: ("temporarily_unavailable",), 500: ("server_error",)}
_OAUTH_FORM = {
    401: ("invalid_client",),
    413: ("invalid_request",),
    503: ("temporarily_unavailable",),
}
_OAUTH_TOKEN = {
    401: ("invalid_token", "use_dpop_nonce", "invalid_dpop_proof"),
    503: ("temporarily_unavailable",),
}
_HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "RateLimit-Policy": (
        "The rows of the published limits that bound this endpoint: `q` requests in `w` seconds"
        " (draft-ietf-httpapi-ratelimit-headers-10)",
        {"type": "string"},
    ),
    "RateLimit": (
        "How they stand: `r` requests left; the next one in `t` seconds where none is, else all of them",
        {"type": "string"},
    ),
    "DPoP-Nonce": ("The nonce for the next proof (RFC 9449 section 8)", {"type": "string"}),
    "Retry-After": ("Seconds to wait", {"type": "string", "pattern": "^[0-9]+$"}),
    "WWW-Authenticate": ("What is missing, and the algorithms of proofs (RFC 9449 section 7.1)", {"type": "string"}),
}
_ERROR_SCHEMAS: dict[str, Any] = {
    "Problem": {
        "title": "Problem",
        "description": "RFC 9457. Further members are named by the problem type.",
        "type": "object",
        "required": ["type", "title", "status", "detail", "about"],
        "properties": {
            "type": {"type": "string", "description": "The problem type: what programs switch on"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "What happened this time, for a person"},
            "about": {"type": "string", "format": "uri-reference", "description": "What the type means"},
            "retry_after_ms": {"type": "integer", "minimum": 0},
            "violated-policies": {"type": "array", "items": {"type": "string"}},
        },
    },
    "OAuthError": {
        "title": "OAuthError",
        "description": "RFC 6749 section 5.2.",
        "type": "object",
        "required": ["error", "error_description"],
        "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
    },
}


class StaleDoc(ValueError):
    """A description is of an endpoint that is not there, or of one that has one already."""


def documented(endpoints: Iterable[Endpoint], table: Table) -> list[Endpoint]:
    """The endpoints, with descriptions that are kept apart from them, by method and path. Raises StaleDoc."""
    left, result = dict(table), []
    for endpoint in endpoints:
        doc = left.pop((endpoint.method, endpoint.path), None)
        if doc is not None and endpoint.doc is not None:
            raise StaleDoc(f"{endpoint.method} {endpoint.path} is described twice")
        result.append(endpoint if doc is None else replace(endpoint, doc=doc))
    if left:
        raise StaleDoc("described, but not in the table: " + ", ".join(" ".join(key) for key in left))
    return result


def document(endpoints: Iterable[Endpoint], *, base_url: str, version: str, about: str) -> dict[str, Any]:
    """The document for these endpoints; `about` is what it says of itself (Markdown)."""
    shown = sorted((one for one in endpoints if one.doc is not None), key=lambda one: (one.path, one.method))
    schemas = _Schemas(shown)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in shown:
        if endpoint.doc is not None:
            paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, endpoint.doc, schemas)
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {"title": "Paraph: the Inbox API", "version": version, "description": about},
        "servers": [{"url": base_url}],
        "paths": paths,
        "x-problem-types": [asdict(kind) for kind in PROBLEMS.values()],
        "x-oauth-errors": OAUTH_ERRORS,
        "components": {
            "schemas": schemas.components,
            "headers": {name: {"description": text, "schema": schema} for name, (text, schema) in _HEADERS.items()},
            "securitySchemes": {
                "dpop": {
                    "type": "http",
                    "scheme": "DPoP",
                    "description": "`Authorization: DPoP <token>`, and a proof in `DPoP` (RFC 9449): each request has"
                    " one of its own, with the nonce that the newest answer brought",
                }
            },
        },
    }


class _Schemas:
    """JSON Schemas of all shapes: types by reference, fragments as they are."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        types: list[Any] = []
        for shape in _shapes(endpoints):
            if not isinstance(shape, Mapping) and shape not in types:
                types.append(shape)
        found, components = msgspec.json.schema_components(types, ref_template=_REF)
        self._of = dict(zip(types, (_plain(schema) for schema in found), strict=True))
        self.components: dict[str, Any] = dict(sorted((_plain(components) | _ERROR_SCHEMAS).items()))

    def of(self, shape: Shape) -> Any:
        """The schema of a shape."""
        return dict(shape) if isinstance(shape, Mapping) else self._of[shape]


def _shapes(endpoints: Iterable[Endpoint]) -> Iterable[Shape]:
    for endpoint in endpoints:
        if endpoint.doc is not None:
            yield from (parameter.shape for parameter in (*endpoint.doc.query, *endpoint.doc.headers))
            yield from (answer.shape for answer in endpoint.doc.answers.values() if answer.shape is not None)
            if endpoint.doc.body is not None:
                yield endpoint.doc.body


def _plain(schema: Any) -> Any:
    r"""A schema whose patterns JSON Schema knows: `\Z` of Python is `$` there."""
    if isinstance(schema, dict):
        return {
            name: value.replace(r"\Z", "$") if name == "pattern" and isinstance(value, str) else _plain(value)
            for name, value in schema.items()
        }
    return [_plain(item) for item in schema] if isinstance(schema, list) else schema


# -- one endpoint --


def _operation(endpoint: Endpoint, doc: Doc, schemas: _Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": operation_id(endpoint),
        "tags": [doc.tag],
        "summary": endpoint.summary,
        "description": doc.text,
        "security": [{"dpop": []}] if endpoint.access is Access.PARTNER else [],
        "x-limit": limit_name(endpoint),
        "parameters": [
            *_path_parameters(endpoint),
            *_parameters("query", doc.query, schemas),
            *_parameters("header", doc.headers, schemas),
        ],
        "responses": _responses(endpoint, doc, schemas),
    }
    if doc.body is not None:
        made["x-max-body"] = endpoint.max_body
        made["requestBody"] = {"required": True, "content": {doc.body_type: {"schema": schemas.of(doc.body)}}}
    return made


def operation_id(endpoint: Endpoint) -> str:
    """A name that programs can call the operation by: method and path, without the version and the braces."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"^/inbox/v1/", "", endpoint.path.lower()))
    return "_".join([endpoint.method.lower(), *words])


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": PATH_VARIABLES.get(name, ""),
            "schema": {"type": "string", "minLength": 1},
        }
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]


def _parameters(place: str, parameters: Iterable[Parameter], schemas: _Schemas) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": place,
            "required": parameter.required,
            "description": parameter.meaning,
            "schema": schemas.of(parameter.shape),
        }
        for parameter in parameters
    ]


def _responses(endpoint: Endpoint, doc: Doc, schemas: _Schemas) -> dict[str, Any]:
    answers = {status: _answer(endpoint, status, answer, schemas) for status, answer in doc.answers.items()}
    refusals = _problems(endpoint, doc) if endpoint.api == INBOX else _oauth_errors(endpoint, doc)
    return {
        str(status): _both(refusals[status], answers[status]) if status in refusals and status in answers else made
        for status, made in sorted((refusals | answers).items())
    }


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Two answers with one status, of different content types."""
    text = f"{other['description']}; or\n\n{one['description']}"
    return one | {"description": text, "content": one["content"] | other["content"]}


def _answer(endpoint: Endpoint, status: int, answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    own = {name: {"description": text, "schema": {"type": "string"}} for name, text in answer.headers.items()}
    made: dict[str, Any] = {"description": answer.meaning, "headers": _headers(endpoint, status) | own}
    if answer.shape is not None:
        made["content"] = {answer.content_type: {"schema": schemas.of(answer.shape)}}
    return made


def errors_of(endpoint: Endpoint, doc: Doc) -> tuple[str, ...]:
    """Slugs of all problems that an endpoint may answer with."""
    common = [*_ALWAYS, *_ANY_TEXT, *(_PARTNER if endpoint.access is Access.PARTNER else ())]
    return tuple(dict.fromkeys([*doc.errors, *common, *(_BODY if doc.body is not None else ())]))


def _problems(endpoint: Endpoint, doc: Doc) -> dict[int, dict[str, Any]]:
    by_status: dict[int, list[str]] = {}
    for slug in errors_of(endpoint, doc):
        by_status.setdefault(PROBLEMS[slug].status, []).append(slug)
    return {status: _refusal(endpoint, status, slugs) for status, slugs in by_status.items()}


def _refusal(endpoint: Endpoint, status: int, slugs: Sequence[str]) -> dict[str, Any]:
    types = {"type": {"enum": [PROBLEMS[slug].type for slug in slugs]}, "status": {"const": status}}
    return {
        "description": "\n".join(f"- `{slug}`: {PROBLEMS[slug].meaning}" for slug in slugs),
        "headers": _headers(endpoint, status),
        "content": {
            _PROBLEM_JSON: {"schema": {"allOf": [{"$ref": _REF.format(name="Problem")}, {"properties": types}]}}
        },
    }


def _oauth_errors(endpoint: Endpoint, doc: Doc) -> dict[int, dict[str, Any]]:
    kinds = [doc.oauth_errors, _OAUTH_ALWAYS]
    if endpoint.access is Access.PARTNER:
        kinds.append(_OAUTH_TOKEN)
    elif doc.body is not None:
        kinds.append(_OAUTH_FORM)
    by_status: dict[int, list[str]] = {}
    for kind in kinds:
        for status, codes in kind.items():
            by_status.setdefault(status, []).extend(code for code in codes if code not in by_status.get(status, ()))
    return {status: _oauth_refusal(endpoint, status, codes) for status, codes in by_status.items()}


def _oauth_refusal(endpoint: Endpoint, status: int, codes: Sequence[str]) -> dict[str, Any]:
    schema = {"allOf": [{"$ref": _REF.format(name="OAuthError")}, {"properties": {"error": {"enum": list(codes)}}}]}
    return {
        "description": "\n".join(f"- `{code}`: {OAUTH_ERRORS[code]}" for code in codes),
        "headers": _headers(endpoint, status),
        "content": {JSON: {"schema": schema}},
    }


def _headers(endpoint: Endpoint, status: int) -> dict[str, Any]:
    names = ["RateLimit-Policy", "RateLimit"] if is_told(endpoint) else []
    names += ["DPoP-Nonce"] if endpoint.path.startswith(("/inbox/", "/oauth/")) else []
    names += ["Retry-After"] if status in (429, 503) else []
    names += ["WWW-Authenticate"] if status == 401 and endpoint.access is Access.PARTNER else []
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
