"""`holdfast up` on a bare host: a sample is made, killed, told, mended, and all is taken away."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from holdfast.lab.hosts import Host, Lab
from tests.architecture.sources import PROJECT

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]

PROGRAM = str(PROJECT / ".venv" / "bin" / "holdfast")
SAMPLE = "holdfast-sample"
LIMIT_S = 120.0


@pytest.fixture
def host() -> Iterator[Host]:
    lab = Lab.up(1, name=f"up-{os.getpid()}")
    try:
        yield lab.hosts[0]
    finally:
        lab.down()


@contextmanager
def running_up(host: Host) -> Iterator["subprocess.Popen[bytes]"]:
    log = host.path("/run/up.log").open("wb")
    with log:
        process = host.popen([PROGRAM, "up"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait(20)


def ask(host: Host, *words: str) -> dict[str, Any]:
    answer = host.run([PROGRAM, *words, "--json"], check=False).stdout
    told: dict[str, Any] = json.loads(answer) if answer.startswith("{") else {}
    return told


def wait_until(host: Host, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, host.path("/run/up.log").read_text()[-3_000:]
        time.sleep(0.2)


def pid_of(host: Host, words: str) -> int:
    """The host's own pid of the process with this command line's end; 0 if there is none."""
    rows = host.run(["ps", "-eww", "-o", "pid,args"]).stdout.splitlines()
    return next((int(row.split()[0]) for row in rows if row.endswith(words)), 0)


def sample(host: Host) -> dict[str, Any]:
    vms = ask(host, "vm", "list").get("vms", [])
    found: dict[str, Any] = next((vm for vm in vms if vm["name"] == SAMPLE), {})
    return found


def test_up_makes_a_sample_brings_it_back_and_leaves_nothing(host: Host) -> None:
    with running_up(host) as process:
        wait_until(host, lambda: bool(sample(host).get("is_protected")))
        wait_until(host, lambda: "as they come" in host.path("/run/up.log").read_text())
        shown = host.path("/run/up.log").read_text()
        assert re.search(rf"{SAMPLE} +\S+ +runs +default +agent +yes", shown), shown
        host.run(["kill", "-9", str(sample(host)["pid"])])
        wait_until(
            host,
            lambda: any(
                one["state"] == "closed" for one in ask(host, "incidents").get("incidents", [])
            ),
        )
        wait_until(host, lambda: "back in service" in host.path("/run/up.log").read_text())
        status = host.run([PROGRAM, "status"])
        assert "everything is well" in status.stdout
        host.run(["kill", "-INT", str(pid_of(host, "holdfast up"))])
        assert process.wait(30) == 0
    said = host.path("/run/up.log").read_text()
    assert f"{SAMPLE} is gone: killed by SIGKILL" in said
    assert "Traceback" not in said
    assert [pid_of(host, name) for name in (" agent", " controller", " up")] == [0, 0, 0]
    host.run([PROGRAM, "clean", "--yes"])
    assert host.run(["virsh", "list", "--all", "--name"]).stdout.strip() == ""
    assert list(host.path("/var/lib/holdfast").iterdir()) == []
