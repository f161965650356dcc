"""A lab is hosts on one machine, with wires between them, that can be broken for real.

Lab.up() makes hosts h1, h2 ... on one machine, Lab.find() finds a lab that is up, Lab.down()
takes every trace of it away, also after a crash of whoever made it.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from holdfast.lab.commands import DEFAULT_LAB, LabError, NoHost, NoLab, lab_command
from holdfast.lab.freezer import remove_freezers, thaw_leftovers
from holdfast.lab.host import STATE_FOLDER, Host, read_record, wire_record
from holdfast.lab.host_init import DISK_FOLDERS, SYSTEMD, has_overlay, systemd_cgroups
from holdfast.lab.namespaces import (
    Holder,
    find_marked_labs,
    find_marked_processes,
    wait_until_dead,
)
from holdfast.lab.network import start_wire

__all__ = ["DISK_FOLDER", "MOST_HOSTS", "STATE_FOLDER", "Host", "HostStatus", "Lab"]

DISK_FOLDER = Path("/var/tmp")
DISK_PREFIX = "holdfast-lab-"
MOST_HOSTS = 90


@dataclass(frozen=True)
class Lab:
    """Hosts on one machine with a wire between them."""

    name: str
    hosts: tuple[Host, ...]

    @classmethod
    def up(
        cls,
        hosts: int = 3,
        name: str = DEFAULT_LAB,
        disks: Path | None = None,
        *,
        has_systemd: bool = False,
    ) -> "Lab":
        """Make a lab and boot its hosts; what a failed start leaves behind is taken away.

        `disks` is a folder for the hosts' disks, by default /var/tmp/holdfast-lab-NAME. With
        `has_systemd` the hosts' first process is the distribution's systemd.
        Raises LabError when a lab of this name is up.
        """
        obstacle = why_no_systemd() if has_systemd else ""
        if obstacle:
            raise LabError(obstacle)
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", name):
            raise LabError(f"lab name {name!r}: use lower-case letters, digits and dashes")
        if not 1 <= hosts <= MOST_HOSTS:
            raise LabError(f"a lab has 1 to {MOST_HOSTS} hosts, not {hosts}")
        with _only_one_at_a_time():
            if name in Lab.list_names():
                raise LabError(f"lab {name} is up: `{lab_command('down', name)}` takes it away")
            _make_mount_points()
            lab = cls._record_new(name, hosts, disks or _default_disks(name), has_systemd)
        try:
            start_wire(name, wire_record(name))
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(Host.power_on, lab.hosts))
        except BaseException:
            Lab.take_down(name)
            raise
        return lab

    @classmethod
    def find(cls, name: str = DEFAULT_LAB) -> "Lab":
        """Find a lab that is up; raises LabError if there is none of this name."""
        about = read_record(name)
        if about is None:
            raise NoLab(f"no lab {name} is up: `{lab_command('up', name)}`")
        disks = Path(about["disks"])
        numbers = range(1, about["hosts"] + 1)
        systemd = bool(about.get("has_systemd"))
        return cls(name, tuple(Host(name, n, disks / f"h{n}", systemd) for n in numbers))

    @staticmethod
    def list_names() -> list[str]:
        """Name every lab of which something is left: a record, disks or a process."""
        recorded = {path.name for path in STATE_FOLDER.glob("*/") if path.is_dir()}
        stored = {path.name.removeprefix(DISK_PREFIX) for path in _list_default_disks()}
        return sorted(recorded | stored | find_marked_labs())

    @staticmethod
    def list_own() -> tuple[list[str], list[str]]:
        """Labs that programs of this Python environment made, and all others."""
        made = {name: (read_record(name) or {}).get("of", "") for name in Lab.list_names()}
        return split_by_maker(made, sys.prefix)

    @staticmethod
    def take_down(name: str) -> None:
        """Take away all that a lab left, in whatever state it is; a lab that is not up is fine."""
        with _only_one_at_a_time():
            thaw_leftovers(name)
            leftovers = find_marked_processes(name)
            records = (STATE_FOLDER / name).glob("*.pid")
            leftovers += [holder for holder in map(Holder.load, records) if holder is not None]
            for holder in leftovers:
                with suppress(ProcessLookupError):  # It may end while we look.
                    if holder.is_alive():
                        os.kill(holder.pid, signal.SIGKILL)
            wait_until_dead(leftovers)
            remove_freezers(name)
            about = read_record(name) or {"disks": _default_disks(name)}
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
        raise NoHost(f"lab {self.name} has no host {name}; it has {names}")

    def status(self) -> list["HostStatus"]:
        """The state of every host."""
        return [HostStatus.of_host(host) for host in self.hosts]

    @classmethod
    def _record_new(cls, name: str, hosts: int, disks: Path, has_systemd: bool) -> "Lab":
        if disks.exists():
            raise LabError(f"{disks} exists and is not of a lab that is up: remove it first")
        disks.mkdir(parents=True, mode=0o755)
        folder = STATE_FOLDER / name
        folder.mkdir(parents=True)
        about = {"hosts": hosts, "disks": str(disks), "has_systemd": has_systemd, "of": sys.prefix}
        (folder / "lab.json").write_text(json.dumps(about))
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


def make_lab_folder(name: str) -> Path:
    """Where the state of a lab is kept that has no hosts of its own; `take_down` removes it."""
    with _only_one_at_a_time():
        folder = STATE_FOLDER / name
        folder.mkdir(parents=True, exist_ok=True)
        about = {"hosts": 0, "disks": str(_default_disks(name)), "of": sys.prefix}
        if not (folder / "lab.json").exists():
            (folder / "lab.json").write_text(json.dumps(about))
    return folder


def split_by_maker(made: Mapping[str, str], me: str) -> tuple[list[str], list[str]]:
    """Whose maker is not known is not ours."""
    own = [name for name, maker in made.items() if maker == me]
    return own, [name for name in made if name not in own]


def why_no_systemd() -> str:
    """Why no host here can have systemd as its first process; empty when one can."""
    if not Path(SYSTEMD).exists():
        return "systemd is not installed here: apt-get install systemd"
    if not os.access(systemd_cgroups() / "cgroup.procs", os.W_OK):
        return "no cgroup (version 2) can be made here, and systemd needs its own"
    if not has_overlay():
        return "the kernel here has no overlay, and systemd would leave folders in /tmp"
    return ""


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
