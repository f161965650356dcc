"""The OpenAPI document says what the table says, and hangs together."""

import json
from collections.abc import Iterator
from typing import Any

from holdfast.faces.api.openapi import openapi
from holdfast.faces.api.routes import ROUTES


def all_of(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from all_of(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from all_of(value)


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_every_route_is_in_it_with_its_role_and_parameters() -> None:
    found = {(method, path): operation for method, path, operation in operations()}
    assert set(found) == {(route.method, route.path) for route in ROUTES}
    for route in ROUTES:
        operation = found[route.method, route.path]
        assert operation.get("x-role") == (route.role and str(route.role))
        assert bool(operation["security"]) == (route.role is not None)
        in_path = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert in_path == set(route.parameters)
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        named = set(body.get("schema", {}).get("properties", {}))
        in_query = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"}
        taken = set(route.takes.__struct_fields__) - set(route.parameters)
        assert (named if route.is_change else in_query - {"limit", "after"}) | (
            taken & {"limit", "after"}
        ) == taken
        assert set(route.example) <= named


def test_it_is_plain_json_whose_references_lead_somewhere() -> None:
    document = json.loads(json.dumps(openapi()))
    assert document["openapi"].startswith("3.1")
    for node in all_of(document):
        if "$ref" in node:
            folder, _, name = str(node["$ref"]).rpartition("/")
            assert folder == "#/components/schemas"
            assert name in document["components"]["schemas"]
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    for _, _, operation in operations():
        assert {"200", "400", "401", "403", "404", "410", "503"} <= set(operation["responses"])
        assert operation["summary"]
