"""Tests that need a libvirt of their own run inside a lab host, where pids and sockets are its."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast.lab.hosts import Host, Lab

LIMIT_S = 110.0


@contextmanager
def lab_host(name: str) -> Iterator[Host]:
    """One host with a libvirt, taken away with the block."""
    lab = Lab.up(1, name=name)
    try:
        yield lab.hosts[0]
    finally:
        lab.down()


def run_inside(host: Host, tests: Path) -> None:
    """Run a file of tests on the host; what it says is what fails here."""
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(tests)]
    done = host.run(argv, timeout_s=LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
