"""A real QEMU that runs no guest: paused, without devices, known to us by its uuid and name."""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

LIMIT_S = 20.0


class QemuStandIn:
    """Its threads are named as libvirt names them. `run_dir` gets a pid file as libvirt's does."""

    def __init__(
        self,
        name: str,
        run_dir: Path | None = None,
        *,
        vcpus: int = 2,
        memory_mib: int = 16,
        core_dir: Path | None = None,
    ) -> None:
        self.name = name
        self.vm = str(uuid.uuid4())
        self._pid_file = run_dir / f"{name}.pid" if run_dir else None
        argv = [
            *("qemu-system-x86_64", "-S", "-accel", "tcg,thread=multi", "-nodefaults"),
            *("-display", "none", "-uuid", self.vm, "-name", f"guest={name},debug-threads=on"),
            *("-m", f"{memory_mib}M", "-smp", str(vcpus), "-msg", "timestamp=on"),
        ]
        if memory_mib >= 512:
            memory = f"memory-backend-ram,id=m,size={memory_mib}M,prealloc=on"
            argv += ["-object", memory, "-machine", "q35,memory-backend=m"]
        if core_dir:
            argv = ["sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh", *argv]
        self.process = subprocess.Popen(
            argv,
            cwd=core_dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if self._pid_file:
            self._pid_file.write_text(f"{self.pid}\n")

    @property
    def pid(self) -> int:
        return self.process.pid

    def threads(self) -> dict[int, str]:
        found = {}
        for tid in os.listdir(f"/proc/{self.pid}/task"):
            with suppress(FileNotFoundError, ProcessLookupError):  # Threads come and go.
                found[int(tid)] = Path(f"/proc/{self.pid}/task/{tid}/comm").read_text().strip()
        return found

    def wait_threads(self) -> None:
        """Return when its vCPUs are there, and it would end cleanly if told to by SIGTERM."""
        deadline = time.monotonic() + LIMIT_S
        while not (self._has_vcpus() and self._catches(signal.SIGTERM)):
            assert time.monotonic() < deadline, "QEMU did not start its vCPUs"
            time.sleep(0.01)

    def _has_vcpus(self) -> bool:
        return any(name.startswith("CPU ") for name in self.threads().values())

    def _catches(self, number: int) -> bool:
        status = Path(f"/proc/{self.pid}/status").read_text()
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return bool(caught >> (number - 1) & 1)

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal; returns the monotonic ns just before."""
        before = time.monotonic_ns()
        os.kill(self.pid, number)
        return before

    def reap(self) -> int:
        return self.process.wait(LIMIT_S)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT_S)
        if self._pid_file:
            self._pid_file.unlink(missing_ok=True)


@contextmanager
def qemu(name: str, run_dir: Path | None = None, **choices: Any) -> Iterator[QemuStandIn]:
    """One that is ready, and is ended with the block."""
    made = QemuStandIn(name, run_dir, **choices)
    try:
        made.wait_threads()
        yield made
    finally:
        made.end()
