"""Runs a program that does something and returns, to its end or its limit.

What it leaves running on purpose, a daemon that it started, lives on: whoever must be sure that
nothing is left uses held_program. Its output is a file in memory, so that no daemon holds a pipe.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from holdfast.adapters.drivers.held_program import memory_file

MOST_SAID_BYTES = 64 << 10
WORDS_KEPT = 300
KILLED_WITHIN_S = 1.0  # What hangs in the kernel cannot even be killed: it is left behind.
ENVIRONMENT = ("PATH", "LANG", "HOME")


class Ran(NamedTuple):
    """Its code (minus the signal that killed it), or None for one that ran too long; its words."""

    code: int | None
    said: str

    @property
    def last_words(self) -> str:
        return self.said.strip()[-WORDS_KEPT:]


async def run_short(
    command: Sequence[str], limit_s: float, extra: Mapping[str, str] | None = None
) -> Ran:
    """Raises OSError where it cannot be started. Cancelled, it ends the program."""
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    with memory_file(bytes(MOST_SAID_BYTES)) as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env={**environment, **(extra or {})},
            cwd="/",
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(limit_s):
                await process.wait()
        except TimeoutError:
            pass
        finally:
            has_ended = process.returncode is not None
            if not has_ended:
                await _kill(process)
        said = os.pread(out, MOST_SAID_BYTES, 0).rstrip(b"\0").decode(errors="replace")
        return Ran(process.returncode if has_ended else None, said)


async def _kill(process: asyncio.subprocess.Process) -> None:
    """With all of its session that did not leave it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KILLED_WITHIN_S):
            await process.wait()
