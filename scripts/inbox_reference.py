"""docs/reference/inbox-api.md, made from the OpenAPI document alone: so the page says what the document says."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

Json = Mapping[str, Any]
_INTRO = """\
# The Inbox API

Made from the document that the platform serves at `/inbox/v1/openapi.json`. How documents are signed, proofs and
receipts checked, and what the platform promises beyond these shapes is in [protocol.md](../protocol.md).

"""
_ERRORS_NOTE = """\
*Errors* of an endpoint are listed with it by their names; what they mean is under [Problem types](#problem-types) and
[OAuth errors](#oauth-errors). Left out there, since they may come from any endpoint: {common}.
"""
_COMMON = ("401", "429", "500", "503")
_SPECIAL = ("invalid_client", "too-many-drafts", "too-many-claims", "log-not-fresh")
_ERROR_TYPES = ("Problem", "OAuthError")


def inbox_page(document: Json) -> str:
    """The page for an OpenAPI document."""
    by_tag: dict[str, list[tuple[str, str, Json]]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            by_tag.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    common = _common(operation for group in by_tag.values() for _, _, operation in group)
    note = _ERRORS_NOTE.format(common=", ".join(f"`{code}`" for code in sorted(common)))
    parts = [_INTRO + document["info"]["description"], note]
    for tag, operations in by_tag.items():
        parts.append(f"## {tag}\n")
        parts += [_operation(*operation, common) for operation in operations]
    shown = {name: schema for name, schema in document["components"]["schemas"].items() if name not in _ERROR_TYPES}
    parts.append("## Types\n")
    parts += [_type(name, schema) for name, schema in shown.items()]
    return "\n".join([*parts, *_errors(document)])


def _errors(document: Json) -> list[str]:
    kinds = [
        (f"`{kind['slug']}`", str(kind["status"]), kind["title"], kind["meaning"])
        for kind in document["x-problem-types"]
    ]
    codes = [(f"`{code}`", meaning) for code, meaning in document["x-oauth-errors"].items()]
    return [
        "## Problem types\n",
        "`type` is `urn:paraph:problem:` and one of these; `GET /inbox/v1/problems` serves the table.\n",
        _table(("slug", "status", "title", "meaning"), kinds),
        "## OAuth errors\n",
        _table(("error", "meaning"), codes),
    ]


def _operation(method: str, path: str, operation: Json, common: Set[str]) -> str:
    token = "DPoP" if operation["security"] else "none"
    lines = [f"### {method} {path}\n", f"{operation['summary']}."]
    if operation["description"]:
        lines[-1] += f" {operation['description']}"
    facts = f"\nToken: {token}. Limit: `{operation['x-limit']}`."
    if "x-max-body" in operation:
        facts += f" Body: at most {operation['x-max-body']:,} bytes."
    lines.append(facts)
    if operation["parameters"]:
        lines += ["", _parameters(operation["parameters"])]
    body = operation.get("requestBody")
    if body is not None:
        (kind, content), *_ = body["content"].items()
        lines += ["", f"Takes {words(content['schema'])} (`{kind}`).\n"]
    lines += ["", _answers(operation["responses"]), _refusals(operation["responses"], common), ""]
    return "\n".join(line for at, line in enumerate(lines) if line or not lines[at - 1].endswith("\n"))


def _parameters(parameters: Sequence[Json]) -> str:
    rows = [
        (
            f"`{one['name']}`" + ("" if one.get("required") else " (optional)"),
            one["in"],
            words(one["schema"]),
            one.get("description", ""),
        )
        for one in parameters
    ]
    return _table(("parameter", "in", "form", "meaning"), rows)


def _answers(responses: Json) -> str:
    rows = []
    for status, answer in responses.items():
        kinds = answer.get("content", {})
        shapes = [words(content["schema"]) for content in kinds.values() if not errors_in(content["schema"])]
        if shapes or not kinds:
            rows.append((status, "; ".join(shapes) or "(empty)", answer["description"].partition("; or")[0]))
    return _table(("status", "body", "meaning"), rows)


def _refusals(responses: Json, common: Set[str]) -> str:
    by_status = {
        status: [f"`{code}`" for code in _codes(answer) if code not in common] for status, answer in responses.items()
    }
    listed = [f"{status} {', '.join(codes)}" for status, codes in by_status.items() if codes]
    return f"Errors: {'; '.join(listed)}." if listed else "Errors: only those that any endpoint may answer with."


def _common(operations: Iterable[Json]) -> frozenset[str]:
    """Codes that come from (nearly) any endpoint: those that have to do with tokens, limits and the platform itself."""
    found = {
        (status, code)
        for operation in operations
        for status, answer in operation["responses"].items()
        for code in _codes(answer)
    }
    return frozenset(code for status, code in found if status in _COMMON and code not in _SPECIAL)


def _codes(answer: Json) -> list[str]:
    return [code for content in answer.get("content", {}).values() for code in errors_in(content["schema"])]


def errors_in(schema: Json) -> list[str]:
    """The slugs or OAuth codes that an error's schema allows; none for a schema of something else."""
    parts = schema.get("allOf", [{}])
    if str(parts[0].get("$ref", "")).rpartition("/")[2] not in _ERROR_TYPES:
        return []
    properties = parts[1]["properties"]
    allowed: list[str] = (properties.get("type") or properties["error"])["enum"]
    return [code.rpartition(":")[2] for code in allowed]


def _type(name: str, schema: Json) -> str:
    lines = [f"### {name}\n", " ".join(schema.get("description", "").split()), ""]
    if schema.get("type") != "object" or not schema.get("properties"):
        return "\n".join([*lines, words(schema), ""])
    required = schema.get("required", [])
    rows = [
        (
            f"`{member}`" + ("" if member in required else " (optional)"),
            words(shape),
            " ".join(shape.get("description", "").split()),
        )
        for member, shape in schema["properties"].items()
    ]
    return "\n".join([*lines, _table(("member", "form", "meaning"), rows)])


def words(schema: Json) -> str:
    """A JSON Schema in a few words of Markdown."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(words(one) for one in schema[several])
    if "allOf" in schema:
        return " and ".join(words(one) for one in schema["allOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {words(schema.get('items', {}))}" + _range(schema, "minItems", "maxItems", "")
    if kind == "object" and "properties" in schema:
        members = (name if name in schema.get("required", ()) else f"{name}?" for name in schema["properties"])
        return "`{" + ", ".join(members) + "}`"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {words(schema['additionalProperties'])}"
    if kind == "string":
        pattern = f" `{schema['pattern']}`" if "pattern" in schema else ""
        return "text" + pattern + _range(schema, "minLength", "maxLength", " characters")
    return {"integer": "whole number", "null": "null"}.get(kind, kind) + _range(schema, "minimum", "maximum", "")


def _range(schema: Json, low: str, high: str, unit: str) -> str:
    if low in schema and high in schema:
        return f" ({schema[low]:,} to {schema[high]:,}{unit})"
    if high in schema:
        return f" (at most {schema[high]:,}{unit})"
    return f" (at least {schema[low]:,}{unit})" if low in schema else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([_escaped(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _escaped(cell: str) -> str:
    return re.sub(r"<(?!br>)", "\\<", cell.replace("|", "\\|"))
