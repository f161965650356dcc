"""A lab host is a set of namespaces with its own libvirt; killing its first process is a power cut.

Lab.up() makes hosts h1, h2 ... on one machine, Lab.find() finds a lab that is up, Lab.down()
takes every trace of it away, also after a crash of whoever made it.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

from holdfast.lab.commands import LabError, system_environment
from holdfast.lab.host_init import DISK_FOLDERS, START_LIBVIRT
from holdfast.lab.namespaces import (
    HOST_VARIABLE,
    LAB_VARIABLE,
    Holder,
    HolderStart,
    enter_command,
    find_marked_labs,
    find_marked_processes,
    wait_until_dead,
)
from holdfast.lab.network import address_of_host, plug_host, start_wire

STATE_FOLDER = Path("/run/holdfast-lab")
DISK_FOLDER = Path("/var/tmp")
DISK_PREFIX = "holdfast-lab-"
MOST_HOSTS = 90
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

    @property
    def name(self) -> str:
        """The host's name: h1, h2 ..."""
        return f"h{self.number}"

    @property
    def address(self) -> str:
        """The host's address on the lab's wire."""
        return address_of_host(self.number)

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
        """Boot the host: new /run, same disks; returns when its libvirt answers."""
        if self.is_powered_on:
            raise LabError(f"{self.name} already has power")
        wire = Holder.load(wire_record(self.lab))
        if wire is None or not wire.is_alive():
            raise LabError(f"lab {self.lab} is not up: `holdfast lab up`")
        self._write_configuration()
        start = HolderStart(self.lab, ["host", self.name, str(self.disks)])
        try:
            holder = start.wait_holder()
            holder.save(self._record)
            plug_host(wire, holder, self.name, self.address)
            start.wait_ready()
        finally:
            start.close()

    def power_cut(self) -> int:
        """Kill everything on the host at once; returns the CLOCK_MONOTONIC ns just before."""
        holder = self.holder
        cut_ns = time.monotonic_ns()
        os.kill(holder.pid, signal.SIGKILL)
        wait_until_dead([holder])
        return cut_ns

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

    def read_pid(self, pid_file: str) -> int:
        """The machine's pid of a process whose pid file lies on this host."""
        inside = self.path(pid_file).read_text().strip()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self._inner_pid(entry) == inside:
                return int(entry.name)
        raise LabError(f"{self.name}: the process of {pid_file} is gone")

    def start_libvirtd(self) -> None:
        """Start libvirtd again after it was killed; returns when it is ready."""
        for step in START_LIBVIRT[1:]:
            self.run(step, timeout_s=60)

    @property
    def _record(self) -> Path:
        return STATE_FOLDER / self.lab / f"{self.name}.pid"

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


@dataclass(frozen=True)
class Lab:
    """Hosts on one machine with a wire between them."""

    name: str
    hosts: tuple[Host, ...]

    @classmethod
    def up(cls, hosts: int = 3, name: str = "lab", disks: Path | None = None) -> "Lab":
        """Make a lab and boot its hosts; what a failed start leaves behind is taken away.

        `disks` is a folder for the hosts' disks, by default /var/tmp/holdfast-lab-NAME.
        Raises LabError when a lab of this name is up.
        """
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name):
            raise LabError(f"lab name {name!r}: use lower-case letters, digits and dashes")
        if not 1 <= hosts <= MOST_HOSTS:
            raise LabError(f"a lab has 1 to {MOST_HOSTS} hosts, not {hosts}")
        with _only_one_at_a_time():
            if name in Lab.list_names():
                raise LabError(f"lab {name} is up: `holdfast lab down` takes it away")
            _make_mount_points()
            lab = cls._record_new(name, hosts, disks or _default_disks(name))
        try:
            start_wire(name, wire_record(name))
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(Host.power_on, lab.hosts))
        except BaseException:
            Lab.take_down(name)
            raise
        return lab

    @classmethod
    def find(cls, name: str = "lab") -> "Lab":
        """Find a lab that is up; raises LabError if there is none of this name."""
        about = _read_record(name)
        if about is None:
            raise LabError(f"lab {name} is not up: `holdfast lab up`")
        disks = Path(about["disks"])
        numbers = range(1, about["hosts"] + 1)
        return cls(name, tuple(Host(name, number, disks / f"h{number}") for number in numbers))

    @staticmethod
    def list_names() -> list[str]:
        """Name every lab of which something is left: a record, disks or a process."""
        recorded = {path.name for path in STATE_FOLDER.glob("*/") if path.is_dir()}
        stored = {path.name.removeprefix(DISK_PREFIX) for path in _list_default_disks()}
        return sorted(recorded | stored | find_marked_labs())

    @staticmethod
    def take_down(name: str) -> None:
        """Take away all that a lab left, in whatever state it is; a lab that is not up is fine."""
        with _only_one_at_a_time():
            leftovers = find_marked_processes(name)
            records = (STATE_FOLDER / name).glob("*.pid")
            leftovers += [holder for holder in map(Holder.load, records) if holder is not None]
            for holder in leftovers:
                with suppress(ProcessLookupError):  # It may end while we look.
                    if holder.is_alive():
                        os.kill(holder.pid, signal.SIGKILL)
            wait_until_dead(leftovers)
            about = _read_record(name) or {"disks": _default_disks(name)}
            shutil.rmtree(about["disks"], ignore_errors=True)
            shutil.rmtree(STATE_FOLDER / name, ignore_errors=True)
            if not Lab.list_names():
                _remove_mount_points()
                shutil.rmtree(STATE_FOLDER, ignore_errors=True)

    def down(self) -> None:
        """Take this lab away without a trace."""
        Lab.take_down(self.name)

    def host(self, name: str) -> Host:
        """The host of this name; raises LabError and names the near ones if there is none."""
        for host in self.hosts:
            if host.name == name:
                return host
        names = ", ".join(host.name for host in self.hosts)
        raise LabError(f"lab {self.name} has no host {name}; it has {names}")

    def status(self) -> list["HostStatus"]:
        """The state of every host."""
        return [HostStatus.of_host(host) for host in self.hosts]

    @classmethod
    def _record_new(cls, name: str, hosts: int, disks: Path) -> "Lab":
        if disks.exists():
            raise LabError(f"{disks} exists and is not of a lab that is up: remove it first")
        disks.mkdir(parents=True, mode=0o755)
        folder = STATE_FOLDER / name
        folder.mkdir(parents=True)
        (folder / "lab.json").write_text(json.dumps({"hosts": hosts, "disks": str(disks)}))
        return cls.find(name)


@dataclass(frozen=True)
class HostStatus:
    """What `holdfast lab status` shows of a host."""

    name: str
    address: str
    is_powered_on: bool
    pid1: int | None
    guests: tuple[str, ...]

    @classmethod
    def of_host(cls, host: Host) -> "HostStatus":
        """Look at a host now; guests are read from QEMU's pid files, so libvirt may be away."""
        holder = Holder.load(STATE_FOLDER / host.lab / f"{host.name}.pid")
        if holder is None or not holder.is_alive():
            return cls(host.name, host.address, False, None, ())
        files = sorted(host.path("/run/libvirt/qemu").glob("*.pid"))
        guests = tuple(path.stem for path in files if path.stem != "driver")
        return cls(host.name, host.address, True, holder.pid, guests)


def wire_record(lab: str) -> Path:
    """The file that says which process holds the lab's wire."""
    return STATE_FOLDER / lab / "wire.pid"


@contextmanager
def _only_one_at_a_time() -> Iterator[None]:
    """Make and take down labs one after the other; the last one down takes the lock along."""
    path = STATE_FOLDER / "lock"
    while True:
        STATE_FOLDER.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError), path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # While we waited, its owner may have removed the file: then we locked nothing.
            if path.exists() and os.fstat(lock.fileno()).st_ino == path.stat().st_ino:
                yield
                return


def _default_disks(lab: str) -> Path:
    return DISK_FOLDER / f"{DISK_PREFIX}{lab}"


def _list_default_disks() -> list[Path]:
    return list(DISK_FOLDER.glob(f"{DISK_PREFIX}*"))


def _read_record(lab: str) -> dict[str, Any] | None:
    try:
        about: dict[str, Any] = json.loads((STATE_FOLDER / lab / "lab.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    return about


def _made_record() -> Path:
    return STATE_FOLDER / "made-folders"


def _make_mount_points() -> None:
    """Make the folders that hosts cover with their own; those we made are remembered."""
    missing = [folder for folder in DISK_FOLDERS if not Path(folder).exists()]
    if missing:
        with _made_record().open("a") as record:
            record.writelines(f"{folder}\n" for folder in missing)
    for folder in missing:
        Path(folder).mkdir(parents=True)


def _remove_mount_points() -> None:
    if _made_record().exists():
        for folder in _made_record().read_text().split():
            if Path(folder).is_dir() and not any(Path(folder).iterdir()):
                Path(folder).rmdir()
        _made_record().unlink()


def _join(argv: Sequence[str]) -> str:
    return " ".join(argv)
