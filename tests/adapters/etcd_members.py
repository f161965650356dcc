"""Real members of etcd for tests: plain processes, whose bad days the test makes."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

LIMIT_S = 30.0
FREEZE_LIMIT_S = 5.0
ETCD = shutil.which("etcd")
needs_etcd = pytest.mark.skipif(ETCD is None, reason="etcd-server is not installed")
EVERYTHING = b64encode(b"\0").decode()


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Member:
    """One process. `within` is put before its command: ip netns exec NAME."""

    def __init__(
        self, name: str, folder: Path, client: str, peer: str, within: Sequence[str] = ()
    ) -> None:
        self.name, self.folder, self.client, self.peer = name, folder, client, peer
        self._within = list(within)
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self, cluster: str, *extra: str) -> None:
        assert ETCD is not None
        argv = [
            *self._within,
            ETCD,
            f"--name={self.name}",
            f"--data-dir={self.folder / self.name}",
            f"--listen-client-urls={self.client}",
            f"--advertise-client-urls={self.client}",
            f"--listen-peer-urls={self.peer}",
            f"--initial-advertise-peer-urls={self.peer}",
            f"--initial-cluster={cluster}",
            "--logger=zap",
            *extra,
        ]
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def signal(self, number: int) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def freeze(self) -> None:
        """Returns when none of its threads runs: until then it may answer once more."""
        self.signal(signal.SIGSTOP)
        deadline = time.monotonic() + FREEZE_LIMIT_S
        while not self._is_stopped():
            assert time.monotonic() < deadline, f"{self.name} does not stop"
            time.sleep(0.005)

    def _is_stopped(self) -> bool:
        assert self._process is not None
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        states = [(task / "stat").read_text().rpartition(") ")[2][:1] for task in tasks]
        return set(states) == {"T"}

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(LIMIT_S)
            self._process = None

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(self.client + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def is_well(self) -> bool:
        try:
            self.post("/v3/kv/range", {"key": EVERYTHING, "count_only": True})
        except (OSError, urllib.error.URLError):
            return False
        return True


class Members:
    def __init__(self, members: Sequence[Member]) -> None:
        self.all = list(members)
        self._cluster = ",".join(f"{one.name}={one.peer}" for one in members)

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(one.client for one in self.all)

    def begin(self, *extra: str) -> None:
        for one in self.all:
            one.begin(self._cluster, *extra)
        self.wait_well()

    def begin_again(self, member: Member) -> None:
        member.begin(self._cluster)

    def wait_well(self) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not all(one.is_well() for one in self.all):
            assert time.monotonic() < deadline, "etcd does not serve"
            time.sleep(0.05)

    def leader(self) -> Member:
        """The member that leads the others of etcd; not a controller."""
        for one in self.all:
            with contextlib.suppress(OSError, urllib.error.URLError):
                status = one.post("/v3/maintenance/status", {})
                if status["leader"] == status["header"]["member_id"]:
                    return one
        raise AssertionError("no member leads")

    def wipe(self) -> None:
        one = self.all[0]
        one.post("/v3/kv/deleterange", {"key": EVERYTHING, "range_end": EVERYTHING})

    def end(self) -> None:
        for one in self.all:
            with contextlib.suppress(ProcessLookupError, AssertionError):
                one.thaw()
            one.kill()


@contextlib.contextmanager
def members(
    folder: Path, count: int, *extra: str, slow_disk: Path | None = None
) -> Iterator[Members]:
    """On this machine's loopback; gone with the block. The first one may have another disk."""
    ports = free_ports(2 * count)
    made = Members(
        [
            Member(
                f"m{number}",
                slow_disk if slow_disk is not None and number == 0 else folder,
                f"http://127.0.0.1:{ports[2 * number]}",
                f"http://127.0.0.1:{ports[2 * number + 1]}",
            )
            for number in range(count)
        ]
    )
    try:
        made.begin(*extra)
        yield made
    finally:
        made.end()
