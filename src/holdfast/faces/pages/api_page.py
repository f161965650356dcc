"""The tables of docs/api.md: each route, who may use it, what it takes, and examples."""

import json
from collections.abc import Iterator

from holdfast.faces.api.openapi import fields
from holdfast.faces.api.routes import ROUTES, Route
from holdfast.facts.events import EventKind

BEGIN, END = "<!-- made from the table of routes: begin -->", "<!-- end -->"


def api_page(page: str) -> str:
    """The page with what is between its marks made anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    kinds = ", ".join(f"`{kind}`" for kind in EventKind)
    parts = [BEGIN, f"Kinds of events: {kinds}.", "", "## Routes", "", *_table(), ""]
    parts += ["## What they take", "", *_taken(), END]
    return before + "\n".join(parts) + after


def _table() -> Iterator[str]:
    yield "| route | role | what |"
    yield "|---|---|---|"
    for route in ROUTES:
        more = "".join(f"; `{name}` needs {role}" for name, role in route.stronger.items())
        yield (
            f"| `{route.method} {route.path}` | {route.role or 'anybody'} | {route.summary}{more} |"
        )


def _taken() -> Iterator[str]:
    yield "Reading routes take these in the query, the others in a JSON body."
    yield ""
    yield "| route | takes (needed ones in bold) |"
    yield "|---|---|"
    for route in ROUTES:
        said = [
            _field(name, *one)
            for name, one in fields(route.takes).items()
            if name not in route.parameters
        ]
        if said:
            yield f"| `{route.method} {route.path}` | {', '.join(said)} |"
    yield ""
    yield "Examples:"
    yield ""
    for route in ROUTES:
        if route.example:
            yield f"    {_curl(route)}"


def _field(name: str, schema: dict[str, object], is_required: bool) -> str:
    told = f"**`{name}`**" if is_required else f"`{name}`"
    enum = schema.get("enum")
    return f"{told} ({' / '.join(map(str, enum))})" if isinstance(enum, list) else told


def _curl(route: Route) -> str:
    path = route.path.replace("{vm}", "web-1").replace("{name}", "gateways")
    body = json.dumps(dict(route.example))
    return f"curl --cacert ca.crt -H \"$AUTH\" -X {route.method} --json '{body}' $API{path}"
