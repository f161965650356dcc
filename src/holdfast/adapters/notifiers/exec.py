"""A program that gets each alarm as JSON on its standard input: mail, SMS, a ticket.

Documented for those who write one in docs/operate/exec.md.
"""

import asyncio
import os
import signal
import time
from collections.abc import Sequence

from holdfast.adapters.drivers.held_program import memory_file
from holdfast.adapters.drivers.notice_json import render
from holdfast.facts.instants import NS_PER_MS
from holdfast.ports.notifier import Notice, NotifyFailed, NotifyRefused
from holdfast.ports.priority import fall_back

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
        with memory_file(body + b"\n") as given, memory_file(bytes(ERROR_BYTES)) as errors:
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


def _spoken(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"


PLUGIN = Exec
