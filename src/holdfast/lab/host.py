"""A lab host is a set of namespaces with its own libvirt; killing its first process cuts power."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from holdfast.lab.commands import LabError, lab_command, system_environment
from holdfast.lab.freezer import Freezer
from holdfast.lab.host_init import HOSTS_FILE, START_LIBVIRT, STOP_LIMIT_S
from holdfast.lab.namespaces import (
    HOST_VARIABLE,
    LAB_VARIABLE,
    Holder,
    HolderStart,
    enter_command,
    wait_until_dead,
)
from holdfast.lab.network import find_plane, plug_host, unplug_host

STATE_FOLDER = Path("/run/holdfast-lab")
# What a shutdown leaves for Holdfast in its run_dir, so that the silence is understood.
STOPS_MARK = "host-stops"
SYSTEMD_POWERS_OFF = signal.SIGRTMIN + 4  # Source: systemd(1), "signals".
SHUT_DOWN_LIMIT_S = 2 * STOP_LIMIT_S + 30.0
LIBVIRTD_CONF = """# Written by the lab.
auth_unix_ro = "none"
auth_unix_rw = "none"
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
host_uuid = "{host_uuid}"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""
# Namespaces and owners are the machine's, which other hosts share.
QEMU_CONF = """# Written by the lab.
user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
stdio_handler = "logd"
max_core = "unlimited"
"""


@dataclass(frozen=True)
class Host:
    """One host of a lab; it may be powered off."""

    lab: str
    number: int
    disks: Path
    has_systemd: bool = False

    @property
    def name(self) -> str:
        """The host's name: h1, h2 ..."""
        return f"h{self.number}"

    @property
    def address(self) -> str:
        """The host's address on plane a, which its guests use too."""
        return self.address_on("a")

    def address_on(self, plane: str) -> str:
        """The host's address on a plane of the lab."""
        return find_plane(plane).address(self.number)

    @property
    def holder(self) -> Holder:
        """The host's first process; raises LabError while the host has no power."""
        holder = Holder.load(self._record)
        if holder is None or not holder.is_alive():
            raise LabError(f"{self.name} has no power")
        return holder

    @property
    def pid1(self) -> int:
        """The pid, seen from the machine, of the host's first process."""
        return self.holder.pid

    @property
    def is_powered_on(self) -> bool:
        """Tell whether the host has power."""
        holder = Holder.load(self._record)
        return holder is not None and holder.is_alive()

    def path(self, inside: str | Path) -> Path:
        """Where the machine sees a file of this host, such as its /run/holdfast."""
        return Path(f"/proc/{self.pid1}/root") / str(inside).lstrip("/")

    def power_on(self) -> None:
        """Boot the host: new /run, same disks.

        Returns when its libvirt answers and its /etc/init.d was started.
        """
        if self.is_powered_on:
            raise LabError(f"{self.name} already has power")
        wire = find_wire(self.lab)
        self._write_configuration()
        kind = "systemd-host" if self.has_systemd else "host"
        start = HolderStart(self.lab, [kind, self.name, str(self.disks)])
        try:
            holder = start.wait_holder()
            holder.save(self._record)
            plug_host(wire, holder, self.name, self.number)
            start.wait_ready()
        finally:
            start.close()

    def power_cut(self) -> int:
        """Kill everything on the host at once; returns the CLOCK_MONOTONIC ns just before."""
        holder = self.holder
        # Its first process buries the others: it must not wait for a core to do so.
        with suppress(OSError):
            os.sched_setscheduler(holder.pid, os.SCHED_FIFO, os.sched_param(90))
        cut_ns = time.monotonic_ns()
        os.kill(holder.pid, signal.SIGKILL)
        self._freezer.kill_frozen()
        self._vanish(holder)
        return cut_ns

    def freeze(self) -> int:
        """Let nothing on the host run, though its kernel answers; returns the ns just before."""
        return self._freezer.freeze()

    def thaw(self) -> int:
        """Let everything on the host run on; returns the ns just before."""
        return self._freezer.thaw()

    def shut_down(self, run_dir: str = "/run/holdfast") -> int:
        """Stop the host in order, as a person would; returns the CLOCK_MONOTONIC ns just before.

        What a shutdown writes for Holdfast is there before anything is ended. Then /etc/init.d is
        stopped, all are asked to end, and what does not is killed. With systemd all of this is its
        own affair. Returns when the host has no power.
        """
        holder = self.holder
        if not self.has_systemd and self.path(run_dir).is_dir():
            self.path(f"{run_dir}/{STOPS_MARK}").touch()
        begun_ns = time.monotonic_ns()
        os.kill(holder.pid, SYSTEMD_POWERS_OFF if self.has_systemd else signal.SIGTERM)
        deadline = time.monotonic() + SHUT_DOWN_LIMIT_S
        while holder.is_alive():
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} does not shut down in {SHUT_DOWN_LIMIT_S:g} s")
            time.sleep(0.01)
        self._vanish(holder)
        return begun_ns

    def reboot(self, run_dir: str = "/run/holdfast") -> int:
        """Shut down and boot; returns the CLOCK_MONOTONIC ns just before."""
        begun_ns = self.shut_down(run_dir)
        self.power_on()
        return begun_ns

    def command(self, argv: Sequence[str]) -> list[str]:
        """The machine's command line that runs `argv` on this host."""
        return enter_command(self.holder, argv)

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Our own environment with the marks of this host."""
        marks = {LAB_VARIABLE: self.lab, HOST_VARIABLE: self.name}
        return {**system_environment(), **marks, **(extra or {})}

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float = 30.0,
        check: bool = True,
        stdin_text: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this host to its end; `env` adds to our own environment.

        Raises LabError when it overruns or, with `check`, when it fails.
        """
        process = self.popen(
            argv,
            env=env,
            stdin=subprocess.DEVNULL if stdin_text is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                out, words = process.communicate(stdin_text, timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                process.kill()
                raise LabError(f"{self.name}: `{_join(argv)}` ran over {timeout_s:g} s") from error
        if check and process.returncode != 0:
            raise LabError(f"{self.name}: `{_join(argv)}` failed: {words.strip() or out.strip()}")
        return subprocess.CompletedProcess(list(argv), process.returncode, out, words)

    def popen(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a command on this host; killing the returned process kills the command."""
        return subprocess.Popen(self.command(argv), env=self.environment(env), **options)

    def list_pids(self) -> list[int]:
        """The machine's pids of every process on this host, the first one too."""
        entries = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [int(entry.name) for entry in entries if self._inner_pid(entry) is not None]

    def read_pid(self, pid_file: str) -> int:
        """The machine's pid of a process whose pid file lies on this host."""
        inside = self.path(pid_file).read_text().strip()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self._inner_pid(entry) == inside:
                return int(entry.name)
        raise LabError(f"{self.name}: the process of {pid_file} is gone")

    def start_libvirtd(self) -> None:
        """Start libvirtd again after it was killed; returns when it is ready."""
        start = ("systemctl", "start", "libvirtd.service")
        for step in (start, START_LIBVIRT[-1]) if self.has_systemd else START_LIBVIRT[1:]:
            self.run(step, timeout_s=60)

    @property
    def _record(self) -> Path:
        return STATE_FOLDER / self.lab / f"{self.name}.pid"

    @property
    def _freezer(self) -> Freezer:
        return Freezer(self.lab, self.name, self.list_pids)

    def _vanish(self, holder: Holder) -> None:
        """No host, no carrier: the kernel of a dead namespace would still answer for a while."""
        unplug_host(find_wire(self.lab), self.name)
        wait_until_dead([holder])

    def _inner_pid(self, entry: Path) -> str | None:
        """The pid a process of this host has on the host; None for processes elsewhere."""
        try:
            if (entry / "ns/pid").readlink() != Path(f"/proc/{self.pid1}/ns/pid").readlink():
                return None
            status = (entry / "status").read_text()
        except OSError:
            return None
        numbers = re.search(r"^NSpid:\s*(.*)$", status, flags=re.MULTILINE)
        return numbers[1].split()[-1] if numbers else None

    def _write_configuration(self) -> None:
        folder = self.disks / "etc/libvirt"
        folder.mkdir(parents=True, exist_ok=True)
        (self.disks / "root").mkdir(exist_ok=True)
        host_uuid = uuid5(NAMESPACE_DNS, f"{self.name}.{self.lab}.holdfast-lab")
        (folder / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(host_uuid=host_uuid))
        (folder / "qemu.conf").write_text(QEMU_CONF)
        (self.disks / HOSTS_FILE).write_text(self._name_hosts())

    def _name_hosts(self) -> str:
        """What /etc/hosts says on every host of this lab."""
        count = int((read_record(self.lab) or {}).get("hosts", self.number))
        plane = find_plane("a")
        rows = [f"{plane.address(number)} h{number}" for number in range(1, count + 1)]
        return "\n".join(["127.0.0.1 localhost", "::1 localhost", *rows, ""])


def find_wire(lab: str) -> Holder:
    """The process that holds the wires of a lab; raises LabError when the lab is not up."""
    wire = Holder.load(wire_record(lab))
    if wire is None or not wire.is_alive():
        raise LabError(f"no lab {lab} is up: `{lab_command('up', lab)}`")
    return wire


def wire_record(lab: str) -> Path:
    """The file that says which process holds the lab's wires."""
    return STATE_FOLDER / lab / "wire.pid"


def read_record(lab: str) -> dict[str, Any] | None:
    """What was recorded of a lab that is up; None where there is no whole record."""
    try:
        about: dict[str, Any] = json.loads((STATE_FOLDER / lab / "lab.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return about


def _join(argv: Sequence[str]) -> str:
    return " ".join(argv)
