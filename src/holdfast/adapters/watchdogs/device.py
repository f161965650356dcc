"""The kernel's watchdog device: its time-out is set and read back, a magic word closes it.

Standard library only: the pulse has it open. Once open, the device runs on when its process ends,
until another one opens it; the kernel lets one process have it at a time.
"""

import array
import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from holdfast.ports.watchdog import WatchdogRefused

WDIOC_GETTIMEOUT, WDIOC_SETTIMEOUT = 0x80045707, 0xC0045706
MAGIC_CLOSE = b"V"

Control = Callable[[int, int, "array.array[int]"], object]


class DeviceWatchdog:
    """`path` as in the settings. `control` is ioctl; tests give another one for a device that the
    machine does not have."""

    def __init__(self, path: str, control: Control = fcntl.ioctl) -> None:
        self._path, self._control = Path(path), control
        self._fd = -1

    def open(self, timeout_ms: int) -> int:
        if self._fd < 0:
            try:
                self._fd = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
            except OSError as error:
                raise WatchdogRefused(f"{self._path}: {error.strerror}") from None
        try:
            kept_ms = self._set(timeout_ms)
        except OSError as error:
            self.close()
            raise WatchdogRefused(f"{self._path} does not tell its time-out: {error}") from None
        if not 0 < kept_ms <= timeout_ms:
            self.close()
            text = f"{self._path} keeps {kept_ms / 1_000:g} s, and at most"
            raise WatchdogRefused(f"{text} {timeout_ms / 1_000:g} s are safe")
        return kept_ms

    def pet(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._fd, b"\0")

    def close(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.write(self._fd, MAGIC_CLOSE)
            os.close(self._fd)
            self._fd = -1

    def _set(self, timeout_ms: int) -> int:
        """Raises OSError. A driver may round: what it keeps is read back."""
        seconds = array.array("i", [timeout_ms // 1_000])
        with contextlib.suppress(OSError):  # Some have a fixed one, and only tell it.
            self._control(self._fd, WDIOC_SETTIMEOUT, seconds)
        kept = array.array("i", [0])
        self._control(self._fd, WDIOC_GETTIMEOUT, kept)
        return kept[0] * 1_000


PLUGIN = DeviceWatchdog
