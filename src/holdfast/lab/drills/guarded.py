"""A small real process on a lab host that stands in for nova-compute, under Holdfast's guard.

It runs as a script that its interpreter runs, as nova-compute does, serves nobody, and is begun by
a program, since lab hosts have no service manager.
"""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from holdfast.lab import vswitch
from holdfast.lab.commands import LabError
from holdfast.lab.drills.stage import RUN_FOLDER
from holdfast.lab.hosts import Host

NAME = "nova-compute"
FOLDER = "/run/holdfast-drill-processes"
END_MARK = f"{FOLDER}-stopped"
PROGRAM, START = f"{FOLDER}/{NAME}", f"{FOLDER}/start"
SCRIPT = """import time
while True:
    time.sleep(0.05)
"""
START_SCRIPT = f"""#!/bin/sh
exec setsid -f python3 {PROGRAM} </dev/null >/dev/null 2>&1
"""
SETTINGS = f"""
[process.nova-compute]
unit = []
program = "{PROGRAM}"
restart = ["{START}"]
end_mark = "{END_MARK}"
repairs_an_hour = {{repairs}}
needs = []

[process.libvirt]
restart = ["/usr/sbin/libvirtd", "--daemon", "--listen"]
repairs_an_hour = {{repairs}}
"""
# First of [vswitch], which the stage's own settings end with.
SWITCH_SETTINGS = f"""repair = true
repairs_an_hour = {{repairs}}

[process.ovs-vswitchd]
unit = []
restart = {[*vswitch.START_SWITCH]}
repairs_an_hour = {{repairs}}

[process.ovsdb-server]
unit = []
restart = {[*vswitch.START_DATABASE]}
repairs_an_hour = {{repairs}}
"""
LIMIT_S = 10.0
POLL_S = 0.005


def settings(repairs: int = 20) -> str:
    """The guards of a drill's stage: that of the stand-in, and that of libvirt."""
    return SETTINGS.format(repairs=repairs)


def switch_settings(repairs: int = 20) -> str:
    """That the virtual switch is mended, and its two daemons are guarded."""
    return SWITCH_SETTINGS.format(repairs=repairs)


def works_on(host: Host, *, is_so: bool) -> None:
    """Whether somebody works on the host's switch: then nobody mends it, nor its daemons."""
    for name in ("vswitch", "ovs-vswitchd", "ovsdb-server"):
        mark = host.path(f"{RUN_FOLDER}/stopped/{name}")
        mark.parent.mkdir(exist_ok=True)
        if is_so:
            mark.touch()
        else:
            mark.unlink(missing_ok=True)


@contextmanager
def mended_vswitch(host: Host) -> Iterator[None]:
    """A virtual switch for the length of a block, which the host mends until it is taken away."""
    works_on(host, is_so=False)
    with ExitStack() as exits:
        exits.enter_context(vswitch.vswitch_on(host))
        exits.callback(works_on, host, is_so=True)
        yield


class StandInProcess:
    """The stand-in on one host, for the length of a `with` block."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def __enter__(self) -> Self:
        folder = self._host.path(FOLDER)
        folder.mkdir(parents=True, exist_ok=True)
        self._host.path(END_MARK).unlink(missing_ok=True)
        (folder / NAME).write_text(SCRIPT)
        start = folder / "start"
        start.write_text(START_SCRIPT)
        start.chmod(0o755)
        self._host.run([START])
        self.wait_pid()
        return self

    def __exit__(self, *_: object) -> None:
        self._host.path(END_MARK).touch()  # Nothing begins it again, and nobody misses it.
        for pid in self.pids():
            os.kill(pid, signal.SIGTERM)
        shutil.rmtree(self._host.path(FOLDER), ignore_errors=True)

    def wait_pid(self, other_than: int = 0) -> int:
        """The machine's pid of it, once it runs. Raises LabError."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            found = [pid for pid in self.pids() if pid != other_than]
            if found:
                return found[0]
            time.sleep(POLL_S)
        raise LabError(f"{NAME} does not run on {self._host.name}")

    def pids(self) -> list[int]:
        """As the machine numbers them."""
        return [pid for pid in self._host.list_pids() if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return PROGRAM.encode() in words[1:2]
