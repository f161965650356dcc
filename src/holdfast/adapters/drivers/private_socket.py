"""A Unix socket that only its owner may open, for as long as a block lasts."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from websockets.asyncio.server import ServerConnection, unix_serve

from holdfast.adapters.drivers.private_folder import make_private_folder

CLOSE_LIMIT_S = 1.0


def bind_private(path: Path) -> socket.socket:
    """The file gets the socket's own mode. A umask is the whole program's: another task or thread
    would make its files under it. Raises OSError."""
    make_private_folder(path.parent)
    path.unlink(missing_ok=True)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(made.fileno(), 0o600)
        made.bind(str(path))
    except BaseException:
        made.close()
        raise
    return made


@contextlib.asynccontextmanager
async def private_socket(
    path: Path, serve: Callable[[ServerConnection], Awaitable[None]], message_bytes: int
) -> AsyncIterator[None]:
    """What another program left there is taken away. Raises OSError."""
    bound = bind_private(path)
    try:
        server = await unix_serve(
            serve,
            sock=bound,
            compression=None,
            max_size=message_bytes,
            close_timeout=CLOSE_LIMIT_S,
        )
    except BaseException:  # Ended while it began: nobody else knows of the socket.
        asyncio.get_running_loop().remove_reader(bound)
        bound.close()
        raise
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
        path.unlink(missing_ok=True)
