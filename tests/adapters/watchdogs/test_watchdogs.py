"""A watchdog keeps the time-out that it says, is petted and closed: of the device and the socket.

Both are tried against stand-ins: a file with another ioctl, and somebody who answers on a socket.

covers: H9
"""

import array
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.adapters.watchdogs.device import (
    WDIOC_GETTIMEOUT,
    WDIOC_SETTIMEOUT,
    DeviceWatchdog,
)
from holdfast.adapters.watchdogs.socket import SocketWatchdog, is_socket
from holdfast.ports.watchdog import WatchdogRefused


class Device:
    """A driver: it takes times of `step` seconds, up to `most`; None: it has a fixed one."""

    def __init__(self, folder: Path, *, fixed: int | None = None, at_least: int = 1) -> None:
        self.path = folder / "watchdog"
        self.path.touch()
        self.seconds, self._is_fixed, self._at_least = fixed or 60, fixed is not None, at_least
        self.tells = True

    def control(self, _fd: int, request: int, seconds: "array.array[int]") -> None:
        if request == WDIOC_SETTIMEOUT and not self._is_fixed:
            self.seconds = max(seconds[0], self._at_least)
        elif request == WDIOC_GETTIMEOUT and self.tells:
            seconds[0] = self.seconds
        else:
            raise OSError(25, "Inappropriate ioctl for device")

    @property
    def written(self) -> bytes:
        return self.path.read_bytes()


def test_a_device_is_set_read_back_petted_and_closed_with_the_magic_word(tmp_path: Path) -> None:
    device = Device(tmp_path)
    watchdog = DeviceWatchdog(str(device.path), device.control)
    assert watchdog.open(10_000) == 10_000
    watchdog.pet()
    watchdog.pet()
    assert device.written == b"\0\0"
    assert watchdog.open(10_000) == 10_000  # Once more: it is the same one.
    watchdog.close()
    assert device.written == b"\0\0V"
    watchdog.pet()  # Closed: nothing, and no error.
    assert device.written == b"\0\0V"


@pytest.mark.parametrize(("fixed", "at_least"), [(30, 1), (None, 16)])
def test_a_device_that_keeps_a_longer_time_is_refused_and_stopped(
    tmp_path: Path, fixed: int | None, at_least: int
) -> None:
    device = Device(tmp_path, fixed=fixed, at_least=at_least)
    with pytest.raises(WatchdogRefused, match=r"keeps (30|16) s, and at most 10 s are safe"):
        DeviceWatchdog(str(device.path), device.control).open(10_000)
    assert device.written == b"V"


def test_a_device_with_a_fixed_shorter_time_is_taken(tmp_path: Path) -> None:
    device = Device(tmp_path, fixed=8)
    assert DeviceWatchdog(str(device.path), device.control).open(10_000) == 8_000


def test_a_device_that_does_not_tell_its_time_is_refused(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.tells = False
    with pytest.raises(WatchdogRefused, match="does not tell its time-out"):
        DeviceWatchdog(str(device.path), device.control).open(10_000)


def test_a_device_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WatchdogRefused, match="No such file"):
        DeviceWatchdog(str(tmp_path / "none")).open(10_000)


class Answerer:
    """Somebody behind a socket, who keeps this time-out whatever is asked for."""

    def __init__(self, path: Path, kept_ms: int) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.bind(str(path))
        self.socket.listen()
        self.socket.settimeout(10)
        self.kept_ms, self.heard = kept_ms, list[str]()

    def answer(self) -> None:
        self.other, _ = self.socket.accept()
        self.other.settimeout(10)
        self.heard.append(self.hear())
        self.other.send(str(self.kept_ms).encode())

    def hear(self) -> str:
        return self.other.recv(64).decode()

    def close(self) -> None:
        self.other.close()
        self.socket.close()


@pytest.fixture
def answerer(tmp_path: Path) -> Iterator[Answerer]:
    made = Answerer(tmp_path / "dog", 10_000)
    with closing(made):
        yield made


def asked(answerer: Answerer, watchdog: SocketWatchdog) -> int:
    thread = threading.Thread(target=answerer.answer)
    thread.start()
    try:
        return watchdog.open(10_000)
    finally:
        thread.join()


def test_a_socket_is_opened_petted_and_closed(tmp_path: Path, answerer: Answerer) -> None:
    watchdog = SocketWatchdog(str(tmp_path / "dog"))
    assert is_socket(str(tmp_path / "dog"))
    assert asked(answerer, watchdog) == 10_000
    watchdog.pet()
    assert (answerer.heard, answerer.hear()) == (["open 10000"], "pet")
    watchdog.close()
    assert answerer.hear() == "close"


def test_a_socket_that_keeps_a_longer_time_is_refused(tmp_path: Path, answerer: Answerer) -> None:
    answerer.kept_ms = 20_000
    with pytest.raises(WatchdogRefused, match="keeps 20000 ms"):
        asked(answerer, SocketWatchdog(str(tmp_path / "dog")))
    assert answerer.hear() == "close"


def test_a_socket_with_nobody_behind_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WatchdogRefused):
        SocketWatchdog(str(tmp_path / "none")).open(10_000)
