"""The API served: each route of the table, with who may use it, limits, and one shape of error."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from msgspec import Struct

from holdfast.faces.api.faults import BROKEN_BODY, Faults
from holdfast.faces.api.leading import FROM, Leader
from holdfast.faces.api.openapi import openapi
from holdfast.faces.api.reading import BODY_BYTES, read_arguments
from holdfast.faces.api.refusals import (
    BROKEN,
    Refusal,
    bad_request,
    json_response,
    of_answer,
    to_response,
)
from holdfast.faces.api.routes import ROUTES, Route
from holdfast.faces.api.shapes import Health
from holdfast.faces.api.streams import Streams
from holdfast.facts.roles import Caller, Role
from holdfast.ports.answers import LeaderElsewhere, Unanswerable

ANSWER_LIMIT_S = 30.0
_FAULTS = Faults()
_UNDER_WAY: set[asyncio.Task[Any]] = set()
Ask = Callable[[str, dict[str, Any], Caller], Coroutine[Any, Any, Any]]
Identify = Callable[[web.Request], Caller]
Denied = Callable[[str, dict[str, Any], Caller, str], Awaitable[None]]


class Served(Struct, frozen=True, kw_only=True):
    """What an application needs of the controller. `identify` says who asks, or raises Refusal;
    `denied` writes down who tried to change what they may not."""

    ask: Ask
    denied: Denied
    identify: Identify
    streams: Streams
    leader: Leader | None = None  # Whom changes are passed on to that are not ours to make.
    limit_s: float = ANSWER_LIMIT_S


def make_app(served: Served) -> web.Application:
    app = web.Application(middlewares=[_in_one_shape], client_max_size=BODY_BYTES)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _handler(route, served))
    app.on_shutdown.append(served.streams.end)
    return app


def _handler(route: Route, served: Served) -> Handler:
    if not route.question:
        return _own_answer(route)
    return _stream(route, served) if route.is_stream else _answer(route, served)


def _own_answer(route: Route) -> Handler:
    """What needs no controller, and no word on who asks."""
    data: Any = openapi() if route.path.endswith("openapi.json") else Health()

    async def handle(_request: web.Request) -> web.StreamResponse:
        return json_response(data)

    return handle


def _stream(route: Route, served: Served) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        def who_may() -> None:
            _check_role(served.identify(request), route.role, route)

        who_may()
        args, _ = await read_arguments(request, route)
        return await served.streams.serve(request, str(args.get("after", "")), who_may)

    return handle


def _answer(route: Route, served: Served) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        caller = served.identify(request)
        args: dict[str, Any] = dict(request.match_info)
        try:
            _check_role(caller, route.role, route)
            args, page = await read_arguments(request, route)
            for name, role in route.stronger.items():
                if args.get(name):
                    _check_role(caller, role, route)
        except Refusal as refusal:
            if refusal.status == 403 and route.is_change:
                await served.denied(route.question, args, caller, str(refusal))
            raise
        try:
            async with asyncio.timeout(served.limit_s):
                data = await _to_its_end(served.ask(route.question, args, caller))
        except LeaderElsewhere as elsewhere:
            if served.leader is None or FROM in request.headers:
                raise of_answer(elsewhere) from None
            return await served.leader.ask(elsewhere.leader, route, args, caller)
        except Unanswerable as failure:
            raise of_answer(failure) from None
        except TimeoutError:
            text = f"there was no answer within {served.limit_s:g} s"
            raise Refusal(504, text, "what was done is not known: holdfast status", 3) from None
        return json_response(page.of(data, route) if page else data)

    return handle


async def _to_its_end(work: Coroutine[Any, Any, Any]) -> Any:
    """A change that was begun is done, whoever still waits for its answer: half of one would be
    what nobody asked for."""
    task = asyncio.create_task(work)
    _UNDER_WAY.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


def _ended(task: asyncio.Task[Any]) -> None:
    _UNDER_WAY.discard(task)
    if not task.cancelled():
        task.exception()  # It was told to whoever waited, and to the audit.


def _check_role(caller: Caller, needed: Role | None, route: Route) -> None:
    if needed is not None and not caller.role.may(needed):
        raise Refusal(
            403,
            f"{caller.name} has the role {caller.role}, and this needs {needed}:"
            f" {route.method} {route.path}",
            "ask somebody who has that role; root has it on a controller",
        )


@web.middleware
async def _in_one_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return to_response(refusal)
    except web.HTTPException as error:
        return to_response(_of_http(request, error))
    except BROKEN_BODY:
        return to_response(bad_request("the request cannot be read"))
    except Exception as error:  # noqa: BLE001  It is logged, sparingly.
        _FAULTS.note(f"{request.method} {request.path} failed", error)
        return to_response(
            Refusal(500, "this is a fault of Holdfast itself", "see the controller's log", BROKEN)
        )


def _of_http(request: web.Request, error: web.HTTPException) -> Refusal:
    if error.status == 405:
        return bad_request(f"{request.method} is not for {request.path}", status=405)
    if error.status == 404:
        return bad_request(f"there is no {request.path}", status=404)
    return bad_request(error.reason, status=error.status)
