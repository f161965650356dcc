"""A trace buffer of our own in the kernel, so that no other tracer sees or loses anything by it.

Source: Documentation/trace/ftrace.rst (instances). Without tracefs, or rights, there is none.
"""

import contextlib
import os
from pathlib import Path

FOLDERS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
READ_BYTES = 64 << 10
MOST_LINE_BYTES = 8 << 10
BUFFER_KIB = 256  # For each CPU: hundreds of events, while nobody reads.


class NoTracing(Exception):
    """Why there is no trace buffer, as a sentence."""


class TraceInstance:
    """`events` are names of events, whatever subsystem of the kernel has them; `on` those that are.

    Raises NoTracing where there is none. It never blocks: `fd` can be polled, and `lines` takes
    what is there.
    """

    def __init__(
        self, name: str, events: tuple[str, ...], folders: tuple[Path, ...] = FOLDERS
    ) -> None:
        root = next((one for one in folders if (one / "instances").is_dir()), None)
        if root is None:
            raise NoTracing("the kernel's trace files are not mounted (tracefs)")
        self.folder = root / "instances" / name
        self._rest = b""
        self.fd = -1
        try:
            self.folder.mkdir(exist_ok=True)  # One of an agent that was killed is taken over.
            self._write("trace_clock", "mono")
            self.on = frozenset(event for event in events if self._switch_on(event))
            if not self.on:
                raise NoTracing("this kernel has none of the trace events on hardware")
            self._write("buffer_size_kb", str(BUFFER_KIB))
            # Else a reader sleeps until the buffer is half full: a lone machine check never told.
            self._write("buffer_percent", "0")
            self.fd = os.open(self.folder / "trace_pipe", os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            self.close()
            raise NoTracing(f"the kernel's trace files cannot be used: {error}") from None
        except NoTracing:
            self.close()
            raise

    def lines(self) -> list[str]:
        """What came since the last time, whole lines only."""
        try:
            self._rest += os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return []
        *whole, rest = self._rest.split(b"\n")
        self._rest = rest[-MOST_LINE_BYTES:]
        return [line.decode(errors="replace") for line in whole if line]

    def lost(self) -> int:
        """Events that the kernel could not keep, over all CPUs."""
        total = 0
        for path in self.folder.glob("per_cpu/cpu*/stats"):
            with contextlib.suppress(OSError):
                for line in path.read_text().splitlines():
                    key, _, value = line.partition(": ")
                    if key in ("overrun", "dropped events") and value.strip().isdigit():
                        total += int(value)
        return total

    def close(self) -> None:
        """Take the buffer away. What cannot be taken away is the next agent's."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _switch_on(self, event: str) -> bool:
        for path in self.folder.glob(f"events/*/{event}/enable"):
            with contextlib.suppress(OSError):
                path.write_text("1")
                return True
        return False

    def _write(self, name: str, value: str) -> None:
        with contextlib.suppress(FileNotFoundError):  # Kernels before 5.0 lack buffer_percent.
            (self.folder / name).write_text(value)
