"""Carries a datagram to a host's answer port, and brings back what came: a sign of life, or none.

Beside it a TCP connection is tried to the same port, where nobody listens: that a connection is
refused is the kernel's own word, also where every process of the host is frozen.
"""

import asyncio
import contextlib
import socket

from holdfast.adapters.drivers.plane_sockets import family_of, open_plane_socket

LONGEST_BYTES = 512


async def carry(
    address: str, port: int, data: bytes, limit_ms: float, own: str = ""
) -> tuple[bytes, bool]:
    """What was answered (or nothing), and whether the host's kernel showed itself.

    `own` is the address to ask from; empty: as the route says.
    """
    asked = asyncio.create_task(_ask(address, port, data, own))
    touched = asyncio.create_task(_touch(address, port, own))
    try:
        async with asyncio.timeout(limit_ms / 1_000):
            answer, is_refused = await asked
            if answer or is_refused:
                return answer, is_refused
            return b"", await touched
    except TimeoutError:
        is_kernel = touched.done() and not touched.cancelled() and touched.result()
        return b"", is_kernel
    finally:
        for task in (asked, touched):
            task.cancel()
        await asyncio.gather(asked, touched, return_exceptions=True)


async def _ask(address: str, port: int, data: bytes, own: str) -> tuple[bytes, bool]:
    """The answer, and whether the kernel said that nobody listens."""
    loop = asyncio.get_running_loop()
    try:
        with _open(address, own) as opened:
            await loop.sock_connect(opened, (address, port))
            await loop.sock_sendall(opened, data)
            return await loop.sock_recv(opened, LONGEST_BYTES), False
    except ConnectionRefusedError:
        return b"", True
    except OSError:
        return b"", False


async def _touch(address: str, port: int, own: str) -> bool:
    local = (own, 0) if own else None
    try:
        _, writer = await asyncio.open_connection(address, port, local_addr=local)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


def _open(address: str, own: str) -> socket.socket:
    if own:
        return open_plane_socket(own, 0)
    return socket.socket(family_of(address), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
