"""Asks a guarded process whether it serves: by a program of the site's, or an echo of OVSDB's.

Either ends within its limit: the program is killed, the socket is closed.
"""

import asyncio
import contextlib
import json

from holdfast.adapters.drivers.held_program import SHORTEST_S, run_program
from holdfast.facts.guards import ProcessGuard

LONGEST_ANSWER = 1 << 20


class CannotAsk(Exception):
    """The probe itself cannot be run: that says nothing of the process."""


async def probe(guard: ProcessGuard) -> str:
    """Why it does not serve, or empty. Raises CannotAsk."""
    limit_s = guard.probe_limit_s
    if guard.probe_socket:
        return await _echo(guard.probe_socket, limit_s)
    try:
        limit_s = max(limit_s, SHORTEST_S)
        ended = await run_program(guard.probe, b"", limit_s, {"PATH": "/usr/sbin:/usr/bin:/bin"})
    except OSError as error:
        raise CannotAsk(str(error)) from error
    if ended.code is None:
        return f"its probe was not answered within {limit_s:g} s"
    if ended.code == 126 and "cannot be started" in ended.complained:
        raise CannotAsk(f"{guard.probe[0]}: {ended.complained.strip()}")
    return f"its probe said no (code {ended.code})" if ended.code else ""


async def _echo(path: str, limit_s: float) -> str:
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_ANSWER)
            writer.write(json.dumps({"method": "echo", "params": [], "id": "echo"}).encode())
            await writer.drain()
            heard = b""
            while b'"echo"' not in heard:
                part = await reader.read(4_096)
                if not part:
                    return "it closed the connection without an answer"
                heard = (heard + part)[-LONGEST_ANSWER:]
            return ""
    except TimeoutError:
        return f"an echo was not answered within {limit_s:g} s"
    except OSError as error:
        return f"its socket cannot be reached: {error.strerror or error}"
    finally:
        if writer is not None:
            with contextlib.suppress(OSError):
                writer.transport.abort()
