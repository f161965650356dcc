"""How to run Open vSwitch's own tools, each within a time limit.

They begin no programs themselves, so they need no holder (held_program), whose start would take
longer than they do; and a bridge may have more flows than a holder lets a program say.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence

LIMIT_S = 5.0
VERSIONS = ("-O", "OpenFlow10,OpenFlow13,OpenFlow14")  # A bridge may refuse any of them.


class ToolFailed(OSError):
    """It ended badly, or not in time; the text says which and why."""


async def run_tool(argv: Sequence[str], *, text: str = "", limit_s: float = LIMIT_S) -> str:
    """Run a program to its end, with `text` as its input; returns its output. Raises ToolFailed."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as trouble:
        raise ToolFailed(f"{argv[0]} cannot be run: {trouble.strerror}") from None
    try:
        async with asyncio.timeout(limit_s):
            out, words = await process.communicate(text.encode())
    except TimeoutError:
        raise ToolFailed(f"{argv[0]} took longer than {limit_s:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode != 0:
        said = words.decode(errors="replace").strip().splitlines()
        raise ToolFailed(f"{argv[0]} failed: {said[-1] if said else process.returncode}")
    return out.decode(errors="replace")


async def vsctl(*words: str, limit_s: float = LIMIT_S) -> str:
    """Change or read the switch's database; its daemon is not waited for. Raises ToolFailed."""
    argv = ("ovs-vsctl", f"--timeout={max(1, int(limit_s))}", "--no-wait", *words)
    return await run_tool(argv, limit_s=limit_s + 1)


async def ofctl(*words: str, text: str = "", limit_s: float = LIMIT_S) -> str:
    """Read or change a bridge's flows. Raises ToolFailed."""
    argv = ("ovs-ofctl", f"--timeout={max(1, int(limit_s))}", *VERSIONS, *words)
    return await run_tool(argv, text=text, limit_s=limit_s + 1)
