"""Events as they happen, to any number of readers up to a limit: server-sent events.

A reader has no queue here: it reads the log at its own pace, and is shown a gap when the log has
moved past it. One that reads nothing at all is let go.
"""

import asyncio
import contextlib
from collections.abc import Callable

import msgspec
from aiohttp import web

from holdfast.controller.events import Batch, Events, Position, read_position
from holdfast.faces.api.refusals import Refusal, bad_request

MOST_STREAMS = 200
STILL_HERE_S = 15.0
WRITE_LIMIT_S = 30.0
RETRY_MS = 1_000
AT_ONCE = 200


class Streams:
    def __init__(
        self,
        events: Events,
        *,
        most: int = MOST_STREAMS,
        still_here_s: float = STILL_HERE_S,
        write_limit_s: float = WRITE_LIMIT_S,
    ) -> None:
        self._events, self._most = events, most
        self._still_here_s, self._write_limit_s = still_here_s, write_limit_s
        self._open: set[asyncio.Task[None]] = set()

    async def serve(
        self, request: web.Request, after: str, still_may: Callable[[], object]
    ) -> web.StreamResponse:
        """Until the reader goes, or `still_may` raises Refusal. Raises Refusal."""
        if len(self._open) >= self._most:
            text = f"{self._most} streams are open, and no more are served"
            raise Refusal(503, text, "ask /v1/events instead", 3, {"Retry-After": "5"})
        position = self._begin(request.headers.get("Last-Event-ID") or after)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        # A task of its own, so that the end of the program need not wait for readers.
        work = asyncio.create_task(self._tell(request, response, position, still_may))
        self._open.add(work)
        try:
            await work
        except asyncio.CancelledError:
            work.cancel()
            if not work.done():
                raise
        finally:
            self._open.discard(work)
        return response

    async def end(self, _app: web.Application) -> None:
        """Let all readers go."""
        for work in self._open:
            work.cancel()

    def _begin(self, after: str) -> Position:
        try:
            return read_position(after) if after else self._events.position
        except ValueError as error:
            raise bad_request(str(error), "say what an event said as its id") from None

    async def _tell(
        self,
        request: web.Request,
        response: web.StreamResponse,
        position: Position,
        still_may: Callable[[], object],
    ) -> None:
        await response.prepare(request)
        with contextlib.suppress(Refusal, ConnectionError, TimeoutError):
            await self._write(request, response, f"retry: {RETRY_MS}\n\n".encode())
            while True:
                still_may()
                batch = self._events.after(position, AT_ONCE)
                position = batch.position
                said = rendered(batch, self._events.log)
                if not said:
                    await self._events.wait_news(position.number, self._still_here_s)
                    if self._events.newest > position.number:
                        continue
                    still_may()
                await self._write(request, response, said or b": still here\n\n")

    async def _write(self, request: web.Request, response: web.StreamResponse, data: bytes) -> None:
        try:
            async with asyncio.timeout(self._write_limit_s):
                await response.write(data)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            raise


def rendered(batch: Batch, log: str) -> bytes:
    """A batch as server-sent events; a gap is an event of its own name."""
    parts: list[bytes] = []
    if batch.gap is not None:
        parts.append(b"event: gap\ndata: %b\n\n" % msgspec.json.encode(batch.gap))
    for number, raw in batch.events:
        parts.append(b"id: %b.%d\ndata: %b\n\n" % (log.encode(), number, raw))
    return b"".join(parts)
