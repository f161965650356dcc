"""A running emulated host: QEMU with a whole kernel, its monitor, and a channel for commands.

It has no network but its own loopback: the programs in it are all of a host that is alone.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from holdfast.lab.commands import LabError, system_environment
from holdfast.lab.emulated.channel import Channel
from holdfast.lab.emulated.image import HostImage
from holdfast.lab.emulated.qmp import Monitor
from holdfast.lab.hosts import make_lab_folder
from holdfast.lab.namespaces import HOST_VARIABLE, LAB_VARIABLE

CPUS, MEMORY_MIB = 2, 1_024
# A processor whose machine checks the kernel knows as banks of Intel's.
CPU = "max,vendor=GenuineIntel,family=6,model=85,stepping=4"
WORDS = (
    "console=ttyS0 rw quiet loglevel=4 mitigations=off random.trust_cpu=on no_timer_check"
    " tsc=reliable panic=0 init_on_free=1"  # What is free is empty, and in no snapshot.
)
LISTENS_LIMIT_S = 30.0
BOOT_LIMIT_S = 240.0
RESTORE_LIMIT_S = 60.0
SAVE_LIMIT_S = 60.0
POLL_S = 0.02
PORTS = ("channel", "inbox")


class Machine:
    """One QEMU, from its start to its end. `folder` holds its sockets and its console."""

    def __init__(
        self, image: HostImage, lab: str, *, snapshot: Path | None = None, more: Sequence[str] = ()
    ) -> None:
        """Boot it, or go on from a snapshot that was taken with the same `more` of QEMU's words.

        Raises LabError when it does not come up.
        """
        place = make_lab_folder(lab)  # Where `holdfast lab down` finds what a crash left.
        self.folder = Path(tempfile.mkdtemp(prefix="emulated-", dir=place))
        self._words = (self.folder / "qemu.log").open("wb")
        marks = {LAB_VARIABLE: lab, HOST_VARIABLE: "emulated"}
        self._process = subprocess.Popen(
            [*_command(image, self.folder, snapshot), *more],
            stdin=subprocess.DEVNULL,
            stdout=self._words,
            stderr=self._words,
            env={**system_environment(), **marks},
            start_new_session=True,
        )
        try:
            self.monitor = Monitor(self.folder / "monitor", LISTENS_LIMIT_S)
            self.channel = Channel(self.folder / "channel", LISTENS_LIMIT_S)
            if snapshot is None:
                self.channel.wait_hello(BOOT_LIMIT_S)
            else:
                self._wait_running(RESTORE_LIMIT_S)
                self._set_clock()
        except BaseException as error:
            said = self.read_words()
            self.stop()
            if isinstance(error, LabError):
                raise LabError(f"{error}\n{said}") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """QEMU's."""
        return self._process.pid

    def save(self, path: Path) -> None:
        """Write what the machine is now to a file, and let it go on. Raises LabError."""
        self.channel.run(["sh", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches"])
        self.monitor.command("stop")
        part = path.with_suffix(f".{os.getpid()}")
        try:
            self.monitor.command("migrate", uri=f"exec:cat > {part}")
            deadline = time.monotonic() + SAVE_LIMIT_S
            while (state := self.monitor.command("query-migrate").get("status")) != "completed":
                if state == "failed" or time.monotonic() > deadline:
                    raise LabError(f"the machine cannot be saved: {state}")
                time.sleep(POLL_S)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        self.monitor.command("cont")

    def read_words(self) -> str:
        """The last that QEMU and the machine's console said."""
        found = []
        for name in ("qemu.log", "console"):
            with suppress(OSError):
                found.append((self.folder / name).read_text(errors="replace")[-2_000:])
        return "\n".join(found).strip()

    def stop(self) -> None:
        """Take its power, and all that it left."""
        for opened in (getattr(self, "channel", None), getattr(self, "monitor", None)):
            if opened is not None:
                opened.close()
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._words.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait_running(self, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while self.monitor.command("query-status")["status"] == "inmigrate":
            if time.monotonic() > deadline:
                raise LabError("the machine's snapshot is not read in time")
            time.sleep(POLL_S)
        self.monitor.command("cont")  # It was saved while it stood still.

    def _set_clock(self) -> None:
        """It went on with the wall clock of its snapshot."""
        self.channel.run(["date", "-u", "-s", f"@{time.time():.3f}"])


def _command(image: HostImage, folder: Path, snapshot: Path | None) -> list[str]:
    ports = []
    for name in PORTS:
        ports += ["-chardev", f"socket,id={name},path={folder}/{name},server=on,wait=off"]
        ports += ["-device", f"virtserialport,bus=ports.0,chardev={name},name=holdfast.{name}"]
    return [
        *("qemu-system-x86_64", "-name", "holdfast-emulated", "-nodefaults", "-no-user-config"),
        *("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", CPU),
        *("-smp", str(CPUS), "-m", str(MEMORY_MIB), "-display", "none"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", WORDS),
        *("-chardev", f"file,id=console,path={folder}/console", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=monitor,path={folder}/monitor,server=on,wait=off"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-device", "virtio-serial-pci,id=ports", *ports),
        *("-device", "virtio-rng-pci", "-device", "pvpanic-pci"),
        *("-drive", f"file={image.disk},format=raw,if=none,id=root,readonly=on,cache=unsafe"),
        *("-device", "virtio-blk-pci,drive=root"),
        *(("-incoming", f"exec:cat {snapshot}") if snapshot is not None else ()),
    ]
