"""Connections taken up to a limit, counted from the moment they are opened, before any TLS.

Whoever comes beyond it is told so, or over TLS let go: a flood takes no files from the controller.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web, web_protocol

from holdfast.faces.api.faults import Faults
from holdfast.faces.api.refusals import Refusal, bad_request, to_response

log = logging.getLogger(__name__)
_ACCESS = logging.getLogger("aiohttp.access")
_ACCESS.setLevel(logging.WARNING)  # The audit says who changed what; reading leaves no trace.

_FAULTS = Faults()

MOST_CONNECTIONS = 1_000
MOST_FROM_ONE = 300  # From one address: nobody alone keeps all others out.
HANDSHAKE_S = 10.0
RETRY_S = 0.1
TAKEN_AT_ONCE = 100
LINE_BYTES = 8_190


@contextlib.asynccontextmanager
async def accepting(
    runner: web.AppRunner,
    listener: socket.socket,
    context: ssl.SSLContext | None = None,
    *,
    most: int = MOST_CONNECTIONS,
) -> AsyncIterator[None]:
    """Hand what comes in at `listener` to `runner`, for as long as the block lasts."""
    listener.setblocking(False)
    work = asyncio.create_task(_Accepting(runner, listener, context, most).run())
    try:
        yield
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


class _Accepting:
    def __init__(
        self,
        runner: web.AppRunner,
        listener: socket.socket,
        context: ssl.SSLContext | None,
        most: int,
    ) -> None:
        assert runner.server is not None
        self._server, self._listener = runner.server, listener
        self._context, self._most = context, most
        self._retry: asyncio.TimerHandle | None = None
        self._opening: dict[asyncio.Task[None], tuple[socket.socket, str]] = {}

    async def run(self) -> None:
        """Until cancelled. A reader's call takes them whole: a task that is cancelled between the
        accepting and its own next step would lose a connection (`loop.sock_accept` does)."""
        loop = asyncio.get_running_loop()
        self._listen(loop)
        try:
            await loop.create_future()
        finally:
            if self._retry is not None:
                self._retry.cancel()
            loop.remove_reader(self._listener)
            await self._let_go()

    async def _let_go(self) -> None:
        """End what is being opened. A transport closes its own connection, which taken from under
        it would be an error in the loop; what has no transport yet is ours."""
        opening = list(self._opening.items())
        for task, _ in opening:
            task.cancel()
        await asyncio.gather(*(task for task, _ in opening), return_exceptions=True)
        for _, (connection, _) in opening:
            connection.close()

    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        self._retry = None
        loop.add_reader(self._listener, self._take_waiting, loop)

    def _take_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(TAKEN_AT_ONCE):
            try:
                connection, where = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # No files are left: those that end make room.
                log.warning("no connection can be taken: %s", error)
                loop.remove_reader(self._listener)
                self._retry = loop.call_later(RETRY_S, self._listen, loop)
                return
            self._take(connection, str(where[0]) if isinstance(where, tuple) else "")

    def _take(self, connection: socket.socket, address: str) -> None:
        connection.setblocking(False)
        if self._is_full_for(address):
            self._turn_away(connection)
            return
        task = asyncio.create_task(self._open(connection))
        self._opening[task] = connection, address
        task.add_done_callback(self._opening.pop)

    def _is_full_for(self, address: str) -> bool:
        """On the Unix socket, which root alone can open, nobody has an address."""
        count = len(self._server.connections) + len(self._opening)
        if count >= self._most or not address or count < MOST_FROM_ONE:
            return count >= self._most
        opening = sum(one == address for _, one in self._opening.values())
        served = sum(_address(one.transport) == address for one in self._server.connections)
        return opening + served >= MOST_FROM_ONE

    async def _open(self, connection: socket.socket) -> None:
        limit_s = HANDSHAKE_S if self._context else None
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                self._make, connection, ssl=self._context, ssl_handshake_timeout=limit_s
            )
        except (OSError, TimeoutError) as error:
            log.debug("a connection came to nothing: %s", error)
            connection.close()

    def _make(self) -> web_protocol.RequestHandler:
        return _InOneShape(
            self._server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=30.0,
            access_log=_ACCESS,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
        )

    def _turn_away(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            if self._context is None:
                connection.setblocking(False)
                connection.send(_full(self._most))


class _InOneShape(web_protocol.RequestHandler):
    """What is no HTTP at all is answered in the same shape as every other mistake."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500 or self.transport is None:
            return super().handle_error(request, status, exc, message)
        first = (message or "this is not HTTP").splitlines()[0].rstrip(":")
        response = to_response(bad_request(first, status=status))
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Also what is found only after the answer: a rest of the body that cannot be read."""
        _FAULTS.note(str(args[0]) % args[1:], kw.get("exc_info"))


def _address(transport: asyncio.BaseTransport | None) -> str:
    where = transport.get_extra_info("peername") if transport else None
    return str(where[0]) if isinstance(where, tuple) else ""


def _full(most: int) -> bytes:
    text = f"{most} connections are open, and no more are served"
    body = to_response(Refusal(503, text, "try again in a moment", 3)).body
    assert isinstance(body, bytes)
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"
    )
    return head.encode() + body
