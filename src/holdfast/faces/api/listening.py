"""Where the API listens: a Unix socket for root, and TLS for everybody who may."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web

from holdfast.controller.assembly import Controller
from holdfast.faces.api.callers import Remote, who_is_local
from holdfast.faces.api.membership import add_membership
from holdfast.faces.api.refusals import Refusal, to_response
from holdfast.faces.api.server import Identify, Served, make_app
from holdfast.faces.api.streams import Streams
from holdfast.facts.settings import Settings

SOCKET = "api.sock"
KEEPALIVE_S = 30.0
HANDSHAKE_S = 10.0
SHUTDOWN_S = 1.0
MOST_CONNECTIONS = 1_000


@contextlib.asynccontextmanager
async def serving(controller: Controller, settings: Settings) -> AsyncIterator[None]:
    """Serve until the block ends. Raises OSError where it cannot listen."""
    streams = Streams(controller.events)

    def app(identify: Identify) -> web.Application:
        served = Served(
            ask=controller.questions.ask,
            denied=controller.audit.not_permitted,
            identify=identify,
            streams=streams,
        )
        return make_app(served)

    async with contextlib.AsyncExitStack() as stack:
        here = await stack.enter_async_context(running(app(who_is_local)))
        await stack.enter_async_context(on_socket(here, Path(settings.run_dir) / SOCKET))
        if controller.certificates is not None and controller.joining is not None:
            remote = Remote(controller.tokens, controller.certificates)
            made = app(remote.identify)
            add_membership(made, controller.joining, controller.certificates)
            there = await stack.enter_async_context(running(made))
            context = controller.certificates.server_context(required=False)
            loop = asyncio.get_running_loop()
            listener = await loop.create_server(
                _factory(there),
                port=settings.api_port,
                ssl=context,
                ssl_handshake_timeout=HANDSHAKE_S,
                backlog=512,
            )
            stack.callback(listener.close)
        yield


@contextlib.asynccontextmanager
async def running(app: web.Application) -> AsyncIterator[web.AppRunner]:
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=KEEPALIVE_S,
        shutdown_timeout=SHUTDOWN_S,
        handler_cancellation=True,
    )
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def on_socket(runner: web.AppRunner, path: Path) -> AsyncIterator[None]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        loop = asyncio.get_running_loop()
        listener = await loop.create_unix_server(_factory(runner), str(path), backlog=512)
    finally:
        os.umask(mask)
    try:
        yield
    finally:
        listener.close()
        path.unlink(missing_ok=True)


def _factory(runner: web.AppRunner) -> Callable[[], asyncio.Protocol]:
    server = runner.server
    assert server is not None

    def make() -> asyncio.Protocol:
        if len(server.connections) >= MOST_CONNECTIONS:
            return _Full()
        return server()

    return make


class _Full(asyncio.Protocol):
    """So many connections are open that this one is told to come again."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        text = f"{MOST_CONNECTIONS} connections are open, and no more are served"
        body = to_response(Refusal(503, text, "try again in a moment", 3)).body
        assert isinstance(body, bytes)
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"
        )
        transport.write(head.encode() + body)
        transport.close()
