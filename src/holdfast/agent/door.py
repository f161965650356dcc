"""The agent's own socket, so that the host can be asked when no controller answers."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from holdfast.adapters.drivers.private_socket import private_socket
from holdfast.facts import wire

MESSAGE_BYTES = 1 << 20


@contextlib.asynccontextmanager
async def open_door(
    path: Path, answer: Callable[[wire.Question], Awaitable[wire.Reply]]
) -> AsyncIterator[None]:
    """Answer questions on a Unix socket that only its owner may open."""

    async def serve(link: ServerConnection) -> None:
        try:
            async for raw in link:
                await link.send(wire.encode(await _reply(raw, answer)), text=True)
        except ConnectionClosed:
            return

    async with private_socket(path, serve, MESSAGE_BYTES):
        yield


async def _reply(
    raw: str | bytes, answer: Callable[[wire.Question], Awaitable[wire.Reply]]
) -> wire.Reply:
    try:
        question = wire.decode(raw)
    except wire.MalformedFrame as error:
        return wire.Reply(id=0, error=f"that is no question: {error}", code=2)
    if not isinstance(question, wire.Question):
        return wire.Reply(id=0, error="only questions are answered here", code=2)
    return await answer(question)
