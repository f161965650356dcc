"""How the API says no: one shape of error, with the status that the sort of mistake has in HTTP."""

from typing import Any

import msgspec
from aiohttp import web

from holdfast.faces.api.shapes import Error
from holdfast.ports.answers import AWAY, REFUSED, USAGE, Unanswerable, Unknown

BROKEN = 5
STATUS = {USAGE: 400, AWAY: 503, REFUSED: 409}


class Refusal(Exception):
    """`status` is that of HTTP; `code` the exit code of the command line."""

    def __init__(
        self,
        status: int,
        error: str,
        hint: str = "",
        code: int = REFUSED,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(error)
        self.status, self.hint, self.code, self.headers = status, hint, code, headers or {}


def of_answer(failure: Unanswerable) -> Refusal:
    status = 404 if isinstance(failure, Unknown) else STATUS.get(failure.code, 409)
    return Refusal(status, str(failure), failure.hint, failure.code)


def bad_request(error: str, hint: str = "see /v1/openapi.json", status: int = 400) -> Refusal:
    return Refusal(status, error, hint, USAGE)


def to_response(refusal: Refusal) -> web.Response:
    error = Error(error=printable(str(refusal)), hint=printable(refusal.hint), code=refusal.code)
    return json_response(error, refusal.status, refusal.headers)


def json_response(
    data: Any, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(data),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def printable(text: str) -> str:
    """What came from outside may hold halves of characters, which no answer can carry."""
    return text.encode("utf-8", "replace").decode()[:2_000]
