"""A worker: a process of ours that may block and can be killed, with a pipe between it and us."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from holdfast.adapters.drivers.worker_frames import HEAD, LONGEST, pack, unpack


class WorkerGone(Exception):
    """The worker ended, or was killed."""


class Worker:
    """Started with `python -m MODULE FD ARGS`; `heard` gets every message it sends.

    `lost` is called when it ended, whoever ended it.
    """

    def __init__(
        self,
        module: str,
        args: list[str],
        heard: Callable[[Any], None],
        lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._module, self._args, self._heard, self._lost = module, args, heard, lost
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",
                    "-m",
                    self._module,
                    str(theirs.fileno()),
                    str(os.getpid()),
                    *self._args,
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    # One heap for all threads: a worker has many, each idle most of the time.
                    env=os.environ | {"MALLOC_ARENA_MAX": "1"},
                )
        except BaseException:
            ours.close()
            raise
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._reading = asyncio.create_task(self._read(reader))

    def send(self, message: Any) -> None:
        """Raises WorkerGone."""
        if self._writer is None or self.gone.is_set():
            raise WorkerGone
        self._writer.write(pack(message))

    async def kill(self) -> None:
        """End it at once, whatever it hangs in, and reap it."""
        self.gone.set()
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                (size,) = HEAD.unpack(await reader.readexactly(HEAD.size))
                if size > LONGEST:
                    return
                self._heard(unpack(await reader.readexactly(size)))
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.gone.set()
            self._lost()
