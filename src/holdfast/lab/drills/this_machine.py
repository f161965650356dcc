"""This very machine as a host to drill on, for those who ask for it by name and mean it."""

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast.lab.commands import LabError
from holdfast.lab.hosts import Host


class ThisMachine(Host):
    """A host without namespaces: its libvirt and its network are the machine's own."""

    def __init__(self) -> None:
        """It belongs to no lab, and its disks are the machine's."""
        super().__init__(lab="this-machine", number=0, disks=Path("/"))

    @property
    def name(self) -> str:
        """The machine's own name."""
        return socket.gethostname()

    @property
    def address(self) -> str:
        """Nothing of a drill leaves the machine."""
        return "127.0.0.1"

    @property
    def pid1(self) -> int:
        """The machine's first process."""
        return 1

    @property
    def is_powered_on(self) -> bool:
        """We run on it."""
        return True

    def path(self, inside: str | Path) -> Path:
        """A file of the machine."""
        return Path("/") / str(inside).lstrip("/")

    def power_on(self) -> None:
        """It is on."""

    def power_cut(self) -> int:
        """Never."""
        raise LabError("the power of this machine is not for drills")

    def command(self, argv: Sequence[str]) -> list[str]:
        """A command that dies with the process that waits for it, as on a lab host."""
        return ["setsid", "--fork", "--wait", "setpriv", "--pdeathsig", "KILL", "--", *argv]

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Our own environment; no mark of any lab."""
        return {**os.environ, **(extra or {})}

    def read_pid(self, pid_file: str) -> int:
        """What the file says, while that process lives."""
        pid = int(self.path(pid_file).read_text())
        if not Path(f"/proc/{pid}").exists():
            raise LabError(f"{self.name}: the process of {pid_file} is gone")
        return pid
