"""Runs a foreign program to its end or its limit, with all that it begins: program_holder does.

Its input and output are files in memory that cannot grow, not pipes: so that neither side ever
waits for the other, whoever else holds them open.
"""

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from holdfast.adapters.drivers import program_holder

MOST_SAID_BYTES = 256 << 10  # More of its output cannot be written.
MOST_COMPLAINED_BYTES = 64 << 10
# The end of the limit is kept for an end in order, and then for one that is not.
LAST_SHARE, LONGEST_LAST_S = 0.2, 2.0
SHORTEST_S = 0.3  # What it takes to begin.


@dataclass(frozen=True)
class Ended:
    """How it ended: its code (minus the signal that killed it), or None for one that ran too
    long; and what it said on each of its outputs."""

    code: int | None
    said: str
    complained: str


async def run_program(
    command: Sequence[str], given: bytes, limit_s: float, environment: Mapping[str, str]
) -> Ended:
    """`command` begins with a path; `given` is its standard input, and it sees `environment` only.

    Ends within the limit, and then nothing of it is left. Raises OSError where no process can be
    made.
    """
    last_s = min(LONGEST_LAST_S, limit_s * LAST_SHARE)
    with (
        memory_file(given) as stdin,
        memory_file(bytes(MOST_SAID_BYTES)) as out,
        memory_file(bytes(MOST_COMPLAINED_BYTES)) as err,
    ):
        making = asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", program_holder.__file__),
            *(str(os.getpid()), str(out), str(limit_s - last_s), str(last_s / 3), *command),
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=err,
            pass_fds=[out],
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        )
        process = await _made(asyncio.ensure_future(making))
        told = await _wait(process, limit_s)
        code = int(told.removeprefix("code ")) if told.startswith("code ") else None
        return Ended(code, _written(out, MOST_SAID_BYTES), _written(err, MOST_COMPLAINED_BYTES))


async def _made(making: asyncio.Future[asyncio.subprocess.Process]) -> asyncio.subprocess.Process:
    """Cancelled while it is being made, it is made and ended: half of one would be left behind."""
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        process = await making
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await _bury(process)
        raise


async def _wait(process: asyncio.subprocess.Process, limit_s: float) -> str:
    """The one line of the holder; empty when even that came too late."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(limit_s):
            told = await process.stdout.read()
            await process.wait()
            return told.decode().strip()
    except TimeoutError:
        return ""
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        raise
    finally:
        await _bury(process)


async def _bury(process: asyncio.subprocess.Process) -> None:
    """The holder is ending what it holds: without it, a child of a child would live on. So on a
    machine that is far too busy this takes a little more than the limit, rather than that."""
    try:
        async with asyncio.timeout(LONGEST_LAST_S):
            await process.wait()  # At once, where it has ended.
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    finally:
        if process.returncode is not None:
            # asyncio does so in a later turn of the loop: for who was cancelled it may not come.
            process._transport.close()  # type: ignore[attr-defined]  # noqa: SLF001


@contextlib.contextmanager
def memory_file(content: bytes) -> Iterator[int]:
    """A file in memory that cannot grow, to be read or written over from its beginning."""
    fd = os.memfd_create("holdfast", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, content)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def _written(fd: int, size: int) -> str:
    return os.pread(fd, size, 0).rstrip(b"\0").decode(errors="replace")
