"""Members of a cluster in network namespaces of their own, between any two of which a path can end.

The test reaches all of them from the namespace in the middle, in a thread that lives there.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest

CLONE_NEWNET = 0x40000000
needs_network = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and ip"
)


class SplitNetwork:
    def __init__(self, count: int) -> None:
        name = f"hf{secrets.token_hex(3)}"
        self.hub = f"{name}h"
        self.spaces = [f"{name}{number}" for number in range(count)]
        self._cut: set[tuple[int, int]] = set()

    def address(self, number: int) -> str:
        return f"10.79.{number}.1"

    def within(self, number: int) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.spaces[number]}", "--"]

    def up(self) -> None:
        _ip("netns", "add", self.hub)
        _in(self.hub, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        for number, space in enumerate(self.spaces):
            _ip("netns", "add", space)
            port = ("link", "add", f"v{number}", "netns", self.hub, "type", "veth")
            _ip(*port, "peer", "name", "eth0", "netns", space)
            _in(self.hub, "ip", "addr", "add", f"10.79.{number}.254/24", "dev", f"v{number}")
            _in(self.hub, "ip", "link", "set", f"v{number}", "up")
            _in(space, "ip", "addr", "add", f"{self.address(number)}/24", "dev", "eth0")
            _in(space, "ip", "link", "set", "lo", "up")
            _in(space, "ip", "link", "set", "eth0", "up")
            _in(space, "ip", "route", "add", "default", "via", f"10.79.{number}.254")

    def down(self) -> None:
        for space in [*self.spaces, self.hub]:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("netns", "del", space)

    def split(self, *groups: set[int]) -> None:
        """Members of different groups do not reach each other; the test reaches all of them."""
        for one in groups:
            for other in groups:
                if one is not other:
                    for pair in ((a, b) for a in one for b in other):
                        if pair not in self._cut:
                            self._blackhole("add", pair)
                            self._cut.add(pair)

    def mend(self) -> None:
        for pair in self._cut:
            self._blackhole("del", pair)
        self._cut.clear()

    def inside(self, work: Callable[[], None]) -> None:
        """Do it in the middle. Raises what it raises."""
        failures: list[BaseException] = []

        def enter() -> None:
            try:
                libc = ctypes.CDLL(None, use_errno=True)
                fd = os.open(f"/run/netns/{self.hub}", os.O_RDONLY)
                try:
                    if libc.setns(fd, CLONE_NEWNET) != 0:
                        raise OSError(ctypes.get_errno(), "setns")
                finally:
                    os.close(fd)
                work()
            except BaseException as error:  # noqa: BLE001  It is raised where it was asked.
                failures.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    def _blackhole(self, what: str, pair: tuple[int, int]) -> None:
        source, target = pair
        _in(self.spaces[source], "ip", "route", what, "blackhole", self.address(target))


@contextlib.contextmanager
def split_network(count: int) -> Iterator[SplitNetwork]:
    made = SplitNetwork(count)
    try:
        made.up()
        yield made
    finally:
        made.down()


def _ip(*argv: str) -> None:
    subprocess.run(["ip", *argv], check=True, capture_output=True, timeout=30)


def _in(space: str, *argv: str) -> None:
    enter = ["nsenter", f"--net=/run/netns/{space}", "--"]
    subprocess.run([*enter, *argv], check=True, capture_output=True, timeout=30)
