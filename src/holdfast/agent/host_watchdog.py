"""The watchdog of this host: which of the kinds it is shows when it is opened.

Standard library only.
"""

from holdfast.adapters.watchdogs.device import DeviceWatchdog
from holdfast.adapters.watchdogs.socket import SocketWatchdog, is_socket
from holdfast.ports.watchdog import Watchdog


class HostWatchdog:
    """See ports.watchdog.Watchdog. `path` as in the settings."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._found: Watchdog | None = None

    def open(self, timeout_ms: int) -> int:
        if self._found is None:
            is_behind_socket = is_socket(self._path)
            self._found = (SocketWatchdog if is_behind_socket else DeviceWatchdog)(self._path)
        try:
            return self._found.open(timeout_ms)
        except BaseException:
            self._found = None
            raise

    def pet(self) -> None:
        if self._found is not None:
            self._found.pet()

    def close(self) -> None:
        if self._found is not None:
            self._found.close()
            self._found = None
