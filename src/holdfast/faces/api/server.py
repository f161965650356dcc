"""The API served: each route of the table, with who may use it, limits, and one shape of error."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from holdfast.controller.answers import Unanswerable
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
from holdfast.facts.roles import Caller, Role

log = logging.getLogger(__name__)

ANSWER_LIMIT_S = 30.0
Ask = Callable[[str, dict[str, Any], Caller], Awaitable[Any]]
Identify = Callable[[web.Request], Caller]


def make_app(ask: Ask, identify: Identify) -> web.Application:
    """`identify` says who asks, or raises Refusal."""
    app = web.Application(middlewares=[_in_one_shape], client_max_size=BODY_BYTES)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _handler(route, ask, identify))
    return app


def _handler(route: Route, ask: Ask, identify: Identify) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        caller = identify(request)
        _check_role(caller, route.role, route)
        args, page = await read_arguments(request, route)
        for name, role in route.stronger.items():
            if args.get(name):
                _check_role(caller, role, route)
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                data = await ask(route.question, args, caller)
        except Unanswerable as failure:
            raise of_answer(failure) from None
        except TimeoutError:
            text = f"there was no answer within {ANSWER_LIMIT_S:g} s"
            raise Refusal(504, text, "what was done is not known: holdfast status", 3) from None
        return json_response(page.of(data, route) if page else data)

    return handle


def _check_role(caller: Caller, needed: Role | None, route: Route) -> None:
    if needed is not None and not caller.role.may(needed):
        text = f"{caller.name} has the role {caller.role}; {route.summary[0].lower()}"
        raise Refusal(
            403, f"{text}{route.summary[1:]} needs {needed}", "ask somebody who has that role"
        )


@web.middleware
async def _in_one_shape(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refusal as refusal:
        return to_response(refusal)
    except web.HTTPException as error:
        return to_response(_of_http(request, error))
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return to_response(
            Refusal(500, "this is a fault of Holdfast itself", "see the controller's log", BROKEN)
        )


def _of_http(request: web.Request, error: web.HTTPException) -> Refusal:
    if error.status == 405:
        return bad_request(f"{request.method} is not for {request.path}", status=405)
    if error.status == 404:
        return bad_request(f"there is no {request.path}", status=404)
    return bad_request(error.reason, status=error.status)
