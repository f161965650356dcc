"""A guest's disk returns I/O errors; it is served by nbdkit, which fails while a file exists."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from holdfast.lab.guest_xml import GuestDisk
from holdfast.lab.guests import Guest
from holdfast.lab.hosts import Host

WRITE_TO_DISK = ("/bin/dd", "if=/dev/zero", "of=/dev/vda", "bs=4k", "count=1", "conv=fsync")


@dataclass(frozen=True)
class BreakableDisk:
    """A small disk in memory on a lab host that can be broken and mended while it is used."""

    host: Host
    name: str

    @classmethod
    def serve(
        cls, host: Host, name: str, size_mib: int = 64, error: Literal["EIO", "ENOSPC"] = "EIO"
    ) -> "BreakableDisk":
        """Serve a new disk on the host; it goes when the host loses power, or with end()."""
        disk = cls(host, name)
        host.run(
            [
                *("nbdkit", "--unix", disk._place("sock"), "--pidfile", disk._place("pid")),
                *("--filter=error", "memory", f"{size_mib}M"),
                *(f"error={error}", "error-rate=100%", f"error-file={disk._place('broken')}"),
            ]
        )
        return disk

    def as_guest_disk(self, error_policy: Literal["stop", "report"] = "stop") -> GuestDisk:
        """The disk as a part of a guest's plan."""
        return GuestDisk(Path(self._place("sock")), "nbd", error_policy)

    def fail(self) -> None:
        """From now on every request fails."""
        self.host.path(self._place("broken")).touch()

    def mend(self) -> None:
        """From now on requests work again."""
        self.host.path(self._place("broken")).unlink(missing_ok=True)

    def end(self) -> None:
        """Serve the disk no more."""
        os.kill(self.host.read_pid(self._place("pid")), signal.SIGTERM)

    def _place(self, suffix: str) -> str:
        return f"/run/holdfast-disk-{self.name}.{suffix}"


def fail_disk(guest: Guest, disk: BreakableDisk) -> int:
    """Break the disk and make the guest write to it; returns the ns just before the write.

    The fault happens at the first request that fails, not when the disk becomes bad.
    """
    disk.fail()
    return guest.begin(WRITE_TO_DISK)
