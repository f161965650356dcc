"""The route table as an OpenAPI document, with the types that routes take and give."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import Struct

from holdfast import __version__
from holdfast.faces.api.routes import ROUTES, Route
from holdfast.faces.api.shapes import Anything, Error

OPENAPI = "3.1.0"
PAGE: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 1_000},
    "after": {"type": "string", "description": "`next` of the page before"},
}
ERRORS = {
    "400": "Not understood",
    "401": "Nobody is known by this token",
    "403": "Known, and not permitted",
    "404": "There is nothing of this name",
    "409": "Refused; the error says why",
    "410": "The row at which the page would begin is gone",
    "429": "Too many wrong tokens came from there",
    "503": "Whoever must be asked is away",
}


@cache
def openapi() -> dict[str, Any]:
    (schemas, components) = msgspec.json.schema_components(
        _types(), ref_template="#/components/schemas/{name}"
    )
    by_type = dict(zip(_types(), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "Holdfast",
            "version": __version__,
            "description": "Keys are only added, never renamed. Times that end in _utc_ms are"
            " milliseconds since 1970 in UTC; durations end in their unit.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "certificate": {"type": "mutualTLS"},
            },
        },
    }


def _types() -> tuple[Any, ...]:
    found = [Error, *(route.takes for route in ROUTES), *(route.gives for route in ROUTES)]
    return tuple(dict.fromkeys(found))


def _operation(route: Route, by_type: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.summary,
        "responses": {
            "200": {"description": "Done", "content": _content(route, by_type)},
            **{status: _error(text, by_type) for status, text in ERRORS.items()},
        },
    }
    if route.role is not None:
        operation["security"] = [{"token": []}, {"certificate": []}]
        operation["x-role"] = str(route.role)
        if route.stronger:
            operation["x-stronger-roles"] = {k: str(v) for k, v in route.stronger.items()}
    else:
        operation["security"] = []
    parameters = list(_parameters(route))
    if parameters:
        operation["parameters"] = parameters
    body = _body(route)
    if body is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}}
        if route.example:
            operation["requestBody"]["content"]["application/json"]["example"] = route.example
        operation["requestBody"]["required"] = bool(body.get("required"))
    return operation


def _name(route: Route) -> str:
    words = [word.strip("{}") for word in route.path.split("/")[2:]]
    return "-".join([route.method.lower(), *words]).replace(".", "-")


def _content(route: Route, by_type: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    schema: dict[str, Any] = by_type[route.gives]
    if route.is_stream:
        return {"text/event-stream": {"schema": {"type": "string"}, "x-data": schema}}
    if route.rows:
        rows = {"type": "array", "items": schema}
        parts: dict[str, Any] = {route.rows: rows, "next": {"type": ["string", "null"]}}
        schema = {"type": "object", "properties": parts, "required": [route.rows, "next"]}
    elif route.gives is Anything:
        schema = {"type": "object"}
    return {"application/json": {"schema": schema}}


def _error(text: str, by_type: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": by_type[Error]}}}


def fields(kind: type[Struct]) -> dict[str, tuple[dict[str, Any], bool]]:
    """Of each field its schema, and whether it must be said."""
    schema = msgspec.json.schema(kind)
    own = schema["$defs"][kind.__name__] if "$defs" in schema else schema
    required = own.get("required", [])
    return {
        name: (_inlined(field, schema.get("$defs", {})), name in required)
        for name, field in own.get("properties", {}).items()
    }


def _inlined(field: Any, known: dict[str, Any]) -> Any:
    """References are put in place: what routes take is flat and small."""
    if isinstance(field, dict):
        if "$ref" in field:
            return _inlined(known[field["$ref"].rpartition("/")[2]], known)
        return {key: _inlined(value, known) for key, value in field.items()}
    return [_inlined(value, known) for value in field] if isinstance(field, list) else field


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    taken = fields(route.takes)
    for name in route.parameters:
        yield {"name": name, "in": "path", "required": True, "schema": taken[name][0]}
    if route.is_change:
        return
    for name, (schema, is_required) in taken.items():
        if name not in route.parameters:
            yield {"name": name, "in": "query", "required": is_required, "schema": schema}
    if route.rows:
        for name, schema in PAGE.items():
            yield {"name": name, "in": "query", "required": False, "schema": schema}


def _body(route: Route) -> dict[str, Any] | None:
    if not route.is_change:
        return None
    taken = {n: f for n, f in fields(route.takes).items() if n not in route.parameters}
    if not taken:
        return None
    return {
        "type": "object",
        "properties": {name: schema for name, (schema, _) in taken.items()},
        "required": [name for name, (_, is_required) in taken.items() if is_required],
        "additionalProperties": False,
    }
