"""What a request says: path, query and body become the arguments that its route takes."""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from holdfast.faces.api.faults import BROKEN_BODY
from holdfast.faces.api.refusals import bad_request
from holdfast.faces.api.routes import Route

BODY_BYTES = 64 << 10
BODY_LIMIT_S = 10.0
ROWS = 1_000
MOST_ROWS = 10_000


class Page:
    """Which rows of a list are wanted: so many, after the one with this key."""

    def __init__(self, raw: dict[str, Any]) -> None:
        """Takes `limit` and `after` out of `raw`. Raises Refusal."""
        self.after = str(raw.pop("after", ""))
        self.limit = _number(raw.pop("limit", ROWS))

    def of(self, rows: list[Any], route: Route) -> dict[str, Any]:
        """The rows, and under `next` where the next page begins, or null. Raises Refusal."""
        keys = [_key(row, route.key) for row in rows]
        begin = 0
        if self.after:
            if self.after not in keys:
                error = f"{self.after!r} is not in the list any more"
                raise bad_request(error, "begin anew, without after", 410)
            begin = keys.index(self.after) + 1
        end = begin + self.limit
        return {
            route.rows: rows[begin:end],
            "next": keys[end - 1] if end < len(rows) else None,
        }


async def read_arguments(request: web.Request, route: Route) -> tuple[dict[str, Any], Page | None]:
    """Raises Refusal, in words that say what was wrong."""
    has_query = request.method in ("GET", "HEAD")
    raw = _query(request) if has_query else {**_query(request), **await read_object(request)}
    page = Page(raw) if route.rows else None
    twice = sorted(set(raw) & set(request.match_info))
    if twice:
        raise bad_request(f"{twice[0]} is said in the path already")
    try:
        taken = msgspec.convert({**raw, **request.match_info}, route.takes, strict=not has_query)
    except msgspec.ValidationError as error:
        raise bad_request(f"{request.method} {route.path}: {_plainly(error)}") from None
    args: dict[str, Any] = msgspec.to_builtins(taken)
    return args, page


def _query(request: web.Request) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in request.query.items():
        if name in found:
            raise bad_request(f"{name} is given twice")
        found[name] = value
    return found


async def read_object(request: web.Request) -> dict[str, Any]:
    """The body, which is one JSON object, or nothing. Raises Refusal."""
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            raw = await request.read()
    except TimeoutError:
        text = f"the body did not come within {BODY_LIMIT_S:g} s"
        raise bad_request(text, "send it at once", 408) from None
    except web.HTTPRequestEntityTooLarge:
        raise bad_request(f"the body is longer than {BODY_BYTES} bytes", status=413) from None
    except BROKEN_BODY:
        hint = "is it as its Content-Encoding, Transfer-Encoding and Content-Length say?"
        raise bad_request("the body cannot be read", hint) from None
    if not raw.strip():
        return {}
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise bad_request(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise bad_request("the body must be one JSON object")
    return found


def _number(value: Any) -> int:
    text = str(value)
    if (
        not (text.isascii() and text.isdigit() and len(text) < 10)
        or not 1 <= int(text) <= MOST_ROWS
    ):
        raise bad_request(f"limit must be from 1 to {MOST_ROWS}")
    return int(text)


def _key(row: Any, path: str) -> str:
    for name in path.split("."):
        row = row[name]
    return str(row)


def _plainly(error: msgspec.ValidationError) -> str:
    """The words of msgspec, without its marks for where in an object something is."""
    text = str(error)
    return text[:1].lower() + text[1:].replace(" - at `$`", "").replace("`$.", "`")
