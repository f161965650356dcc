"""Where the API listens: a Unix socket for root, and TLS for everybody who may."""

import asyncio
import contextlib
import os
import pwd
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

from holdfast.controller.assembly import Controller
from holdfast.faces.api.refusals import Refusal, printable, to_response
from holdfast.faces.api.server import make_app
from holdfast.facts.roles import Caller, Role
from holdfast.facts.settings import Settings

SOCKET = "api.sock"
KEEPALIVE_S = 30.0
SHUTDOWN_S = 1.0
MOST_CONNECTIONS = 1_000
NAME_LETTERS = 64


@contextlib.asynccontextmanager
async def serving(controller: Controller, settings: Settings) -> AsyncIterator[None]:
    """Serve until the block ends. Raises OSError where it cannot listen."""
    async with contextlib.AsyncExitStack() as stack:
        app = make_app(controller.questions.ask, who_is_local)
        runner = await stack.enter_async_context(_running(app))
        path = Path(settings.run_dir) / SOCKET
        await stack.enter_async_context(_on_socket(runner, path))
        yield


def who_is_local(request: web.Request) -> Caller:
    """Only root can open the socket; who typed is what the command line says of it."""
    uid = _peer_uid(request)
    if uid not in (0, os.geteuid()):
        raise Refusal(403, f"uid {uid} may not ask here", "run it with sudo")
    said = printable(request.headers.get("X-Holdfast-By", ""))[:NAME_LETTERS]
    name = "".join(letter for letter in said if letter.isprintable()).strip()
    return Caller(name=name or _user(uid), role=Role.ADMINISTER, origin="this host")


@contextlib.asynccontextmanager
async def _running(app: web.Application) -> AsyncIterator[web.AppRunner]:
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
async def _on_socket(runner: web.AppRunner, path: Path) -> AsyncIterator[None]:
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


def _factory(runner: web.AppRunner) -> Any:
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


def _peer_uid(request: web.Request) -> int:
    transport = request.transport
    peer = transport.get_extra_info("socket") if transport else None
    if peer is None:
        raise Refusal(403, "nobody knows who asks")
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", raw)
    return int(uid)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
