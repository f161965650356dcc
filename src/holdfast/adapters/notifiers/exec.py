"""A program that gets each alarm as JSON on its standard input: mail, SMS, a ticket.

Documented for those who write one in docs/operate/exec.md.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator, Sequence

from holdfast.adapters.drivers.notice_json import render
from holdfast.facts.instants import NS_PER_MS
from holdfast.ports.keeper import fall_back
from holdfast.ports.notifier import Notice, NotifyFailed, NotifyRefused

TIMEOUT_S = 30.0
ERROR_BYTES = 64 << 10  # What the program may complain of; more of it cannot be written.
SHOWN_BYTES = 300
REFUSED = 65  # EX_DATAERR of sysexits.h.


class Exec:
    """See ports.notifier.Notifier. No shell; the program leads a process group of its own."""

    def __init__(self, name: str, command: Sequence[str], timeout_s: float = TIMEOUT_S) -> None:
        self.name = name
        self.heartbeat_s = 0.0
        self._command = list(command)
        self._timeout_s = timeout_s

    async def notify(self, notice: Notice) -> None:
        body = render(notice, time.time_ns() // NS_PER_MS)
        with _file(body + b"\n") as given, _file(bytes(ERROR_BYTES)) as errors:
            code = await self._run(given, errors)
            written = os.pread(errors, ERROR_BYTES, 0).rstrip(b"\0")
            said = written[-SHOWN_BYTES:].decode(errors="replace").strip()
        if code != 0:
            failure = NotifyRefused if code == REFUSED else NotifyFailed
            raise failure(f"it ended with {_spoken(code)}{': ' if said else ''}{said}")

    async def _run(self, given: int, errors: int) -> int:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=given,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
        except OSError as error:
            raise NotifyFailed(f"{self._command[0]}: {error.strerror}") from None
        fall_back(process.pid)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await process.wait()
        except TimeoutError:
            raise NotifyFailed(f"it did not end within {self._timeout_s:g} s: killed") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    async def close(self) -> None:
        pass


@contextlib.contextmanager
def _file(content: bytes) -> Iterator[int]:
    """A file in memory that cannot grow: no pipe, so that neither side ever waits for the other."""
    fd = os.memfd_create("holdfast", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(fd, content)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        os.lseek(fd, 0, os.SEEK_SET)
        yield fd
    finally:
        os.close(fd)


def _spoken(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"


PLUGIN = Exec
