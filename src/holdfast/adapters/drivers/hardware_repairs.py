"""What a host can do about its own hardware: each act has a limit, and is believed when it shows.

Every act returns, as the rest of a sentence, what was looked at afterwards, or raises
RepairFailed. Writing to the kernel's files can hang: a program does it, and is killed then.
"""

import asyncio
import re
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.adapters.drivers.held_program import run_program
from holdfast.adapters.drivers.mdstat import MDSTAT, read_mdstat
from holdfast.facts.hardware import PAGE_BYTES, RaidState
from holdfast.facts.instants import Instant

SYS, PROC, DEV = Path("/sys"), Path("/proc"), Path("/dev")
MDADM = "/sbin/mdadm"
IP = ("/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
LIMIT_S = 10.0
LOOK_S = 0.05
HWPOISON = 1 << 19  # KPF_HWPOISON. Source: include/uapi/linux/kernel-page-flags.h.
_WRITE = 'printf %s "$1" > "$2"'
_PCI = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class RepairFailed(Exception):
    """Why it did not help, as a sentence."""


@dataclass(frozen=True)
class Repairs:
    """The acts; the folders and programs are others in tests."""

    sys: Path = SYS
    proc: Path = PROC
    dev: Path = DEV
    mdadm: str = MDADM
    mdstat: Path = MDSTAT
    ip: Sequence[str] = IP
    limit_s: float = LIMIT_S

    async def soft_offline(self, address: int) -> str:
        """Move what is in the page at this physical address elsewhere, and use the page no more."""
        number = address // PAGE_BYTES
        if self.is_retired(number):
            return f"page 0x{number:x} is out of use already"
        memory = self.sys / "devices/system/memory/soft_offline_page"
        await self._write(memory, f"0x{number * PAGE_BYTES:x}")
        await self._wait(lambda: self.is_retired(number), f"page 0x{number:x} is still in use")
        return f"page 0x{number:x} is out of use, and its content moved elsewhere"

    async def take_cpu_offline(self, cpu: int) -> str:
        """Move the VMs that are pinned to it first: the kernel puts their threads anywhere."""
        online = self.sys / f"devices/system/cpu/cpu{cpu}/online"
        if not online.exists():
            raise RepairFailed(f"the kernel does not let CPU {cpu} be switched off")
        await self._write(online, "0")
        await self._wait(lambda: _text(online) == "0", f"CPU {cpu} still works")
        return f"CPU {cpu} is offline"

    async def replace_raid_member(self, array: str, failed: str, spare: str = "") -> str:
        """Take the failed member out, and put it, or the spare, in: the RAID is rebuilt onto it."""
        member = spare or failed
        for name in (array, failed, member):
            _check(_NAME, name, "a device")
        device = str(self.dev / array)
        if failed in self.raid(array).failed:
            await self._mdadm(device, "--remove", str(self.dev / failed))
        if spare:
            await self._mdadm(device, "--add", str(self.dev / spare))
        else:
            await self._put_back(device, str(self.dev / failed))
        return await self.await_rebuild(array, member)

    async def await_rebuild(self, array: str, member: str) -> str:
        """See that it is being rebuilt, or whole again."""
        await self._wait(
            lambda: _is_in_use(self.raid(array)), f"{array} does not rebuild onto {member}"
        )
        state = self.raid(array)
        return f"{array} rebuilds onto {member}" if state.missing else f"{array} is whole again"

    def is_offline(self, cpu: int) -> bool:
        return _text(self.sys / f"devices/system/cpu/cpu{cpu}/online") == "0"

    def answers(self, device: str) -> bool:
        """Whether a PCI device does, and has a driver. May block as long as its bus does."""
        folder = self.sys / "bus/pci/devices" / device
        return (folder / "driver").exists() and _answers(folder)

    async def reset_pci(self, device: str) -> str:
        _check(_PCI, device, "a PCI device")
        folder = self.sys / "bus/pci/devices" / device
        if not (folder / "reset").exists():
            raise RepairFailed(f"the kernel knows no way to reset {device}")
        driver = folder / "driver"
        has_driver = driver.exists()
        if has_driver:  # It has given the device up, and has to begin anew.
            await self._write(driver / "unbind", device)
            await self._wait(lambda: not driver.exists(), f"its driver does not let go of {device}")
        await self._write(folder / "reset", "1")
        await self._wait(lambda: _answers(folder), f"{device} does not answer after its reset")
        if has_driver:
            await self._write(self.sys / "bus/pci/drivers_probe", device)
            await self._wait(driver.exists, f"no driver takes {device} after its reset")
        return f"{device} was reset and answers"

    async def rescan_pci(self, device: str) -> str:
        """Remove it, and look what is on the bus."""
        _check(_PCI, device, "a PCI device")
        folder = self.sys / "bus/pci/devices" / device
        if folder.exists():
            await self._write(folder / "remove", "1")
            await self._wait(lambda: not folder.exists(), f"{device} was not removed")
        await self._write(self.sys / "bus/pci/rescan", "1")
        await self._wait(lambda: _answers(folder), f"{device} was not found again")
        return f"{device} was removed and found again"

    async def link_up(self, port: str) -> str:
        _check(_NAME, port, "a network port")
        program = next((one for one in self.ip if Path(one).exists()), None)
        if program is None:
            raise RepairFailed("the program ip is not here (install iproute2)")
        await self._run([program, "link", "set", "dev", port, "up"])
        carrier = self.sys / "class/net" / port / "carrier"
        await self._wait(lambda: _text(carrier) == "1", f"{port} has no carrier: look at its cable")
        return f"{port} is up and has a carrier"

    async def _put_back(self, array: str, member: str) -> None:
        """With its bitmap only what changed is copied; without one it is as good as a new one."""
        try:
            await self._mdadm(array, "--re-add", member)
        except RepairFailed:
            await self._mdadm(array, "--add", member)

    async def _mdadm(self, array: str, *words: str) -> None:
        await self._run([self.mdadm, array, *words])

    def raid(self, array: str) -> RaidState:
        """What is true of it now. Raises RepairFailed where there is none of this name."""
        for state in read_mdstat(_text(self.mdstat), Instant(0)):
            if state.array == array:
                return state
        raise RepairFailed(f"there is no RAID {array}")

    def is_retired(self, page: int) -> bool:
        """Whether this page is out of use. Raises RepairFailed where nobody can say."""
        try:
            with (self.proc / "kpageflags").open("rb") as opened:
                opened.seek(page * 8)
                raw = opened.read(8)
        except OSError as error:
            raise RepairFailed(f"what became of the page cannot be read: {error}") from None
        return len(raw) == 8 and bool(struct.unpack("=Q", raw)[0] & HWPOISON)

    async def _write(self, path: Path, text: str) -> None:
        await self._run(["/bin/sh", "-c", _WRITE, "sh", text, str(path)])

    async def _run(self, command: list[str]) -> None:
        try:
            ended = await run_program(command, b"", self.limit_s, ENVIRONMENT)
        except OSError as error:
            raise RepairFailed(f"{command[0]} cannot be begun: {error}") from None
        what = " ".join(command if command[1] != "-c" else ["writing", *command[4:]])
        if ended.code is None:
            raise RepairFailed(f"{what} had not ended after {self.limit_s:g} s")
        if ended.code != 0:
            words = (ended.complained or ended.said).strip().splitlines()
            raise RepairFailed(f"{what} failed: {words[-1] if words else f'code {ended.code}'}")

    async def _wait(self, is_so: Callable[[], bool], otherwise: str) -> None:
        """Look again until it shows. What the kernel said before is no proof."""
        deadline = time.monotonic() + self.limit_s
        while not await asyncio.to_thread(is_so):
            if time.monotonic() > deadline:
                raise RepairFailed(otherwise)
            await asyncio.sleep(LOOK_S)


def _is_in_use(state: RaidState) -> bool:
    return state.missing == 0 or state.action in ("recovery", "reshape")


def _answers(folder: Path) -> bool:
    """Read from the device itself, not from what the kernel remembers of it."""
    try:
        return (folder / "config").read_bytes()[:2] not in (b"\xff\xff", b"")
    except OSError:
        return False


def _check(pattern: re.Pattern[str], name: str, what: str) -> None:
    if not pattern.fullmatch(name):
        raise RepairFailed(f"{name!r} does not name {what}")


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
