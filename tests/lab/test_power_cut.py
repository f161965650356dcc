"""A host loses its power and boots again: its protected VM is started by Holdfast, once."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from holdfast.lab.guest_image import DEFAULT_CACHE
from holdfast.lab.guests import Guest, plan_guest
from holdfast.lab.hosts import Host, Lab
from tests.architecture.sources import PROJECT

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(240)]

PROGRAM = str(PROJECT / ".venv" / "bin" / "holdfast")
PARTS = ("controller", "pulse", "agent")  # Without its pulse the host would be missed, rightly.
NAME = "web"
LIMIT_S = 60.0
AWAY_S = 3.0
SAMPLE_MS = 5_000  # Each second; lab hosts wait for a core.


@pytest.fixture
def host() -> Iterator[Host]:
    lab = Lab.up(1, name=f"power-cut-{os.getpid()}")
    try:
        yield lab.hosts[0]
    finally:
        lab.down()


@contextmanager
def holdfast(host: Host) -> Iterator[None]:
    """Its programs, as after every boot of a host."""
    with ExitStack() as exits:
        for part in PARTS:
            log = exits.enter_context(log_of(host, part).open("ab"))
            process = host.popen([PROGRAM, part], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            exits.callback(process.wait, 20)
            exits.callback(process.kill)
        yield


def log_of(host: Host, part: str) -> Path:
    """On the disks of the host, so that it outlives the boot."""
    return host.disks / f"{part}.log"


def ask(host: Host, *words: str) -> dict[str, Any]:
    answer = host.run([PROGRAM, *words, "--json"], check=False).stdout
    told: dict[str, Any] = json.loads(answer) if answer.startswith("{") else {}
    return told


def incidents(host: Host) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(host, "incidents").get("incidents", [])
    return found


def wait_until(host: Host, what: str, is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        if time.monotonic() > deadline:
            asked = ("explain", "incidents", "alarms", "status")
            told = [host.run([PROGRAM, word], check=False).stdout for word in asked]
            told += [log_of(host, part).read_text()[-3_000:] for part in PARTS]
            pytest.fail(f"not in time: {what}\n" + "\n".join(told))
        time.sleep(0.3)


def is_protected(host: Host) -> bool:
    return host.run([PROGRAM, "vm", "protect", NAME], check=False).returncode == 0


def is_known_protected(host: Host) -> bool:
    vms = ask(host, "vm", "list").get("vms", [])
    return any(vm["name"] == NAME and vm["is_protected"] for vm in vms)


def test_a_protected_vm_runs_again_after_its_host_lost_power(host: Host) -> None:
    guest = Guest.define(host, plan_guest(host.lab, NAME), cache=DEFAULT_CACHE)
    with holdfast(host):
        guest.start_and_answer()
        wait_until(host, "web is protected", lambda: is_protected(host))
        wait_until(host, "the list says so", lambda: is_known_protected(host))
        assert "Autostart: disable" in " ".join(guest.virsh("dominfo").split())
        cut_utc_ms = time.time() * 1_000
        host.power_cut()
    time.sleep(AWAY_S)
    host.power_on()
    assert guest.state() == "shut off", "nobody but Holdfast starts it"
    with holdfast(host):
        wait_until(host, "web runs again", lambda: guest.state() == "running")
        guest.wait_answer(LIMIT_S)
        wait_until(
            host,
            "its incident is closed",
            lambda: [one["state"] for one in incidents(host)] == ["closed"],
        )
        (incident,) = incidents(host)
        before_ms = cut_utc_ms - incident["fault_utc_ms"]
        assert -100 <= before_ms < SAMPLE_MS, "the outage began when the power was cut"
        assert incident["recovered_ms"] > AWAY_S * 1_000
        explained = host.run([PROGRAM, "explain"]).stdout
        assert NAME in explained
        assert "attempt 1" in explained, explained
        rows = host.run(["ps", "-eww", "-o", "args"]).stdout.splitlines()
        assert len([row for row in rows if f"-uuid {guest.plan.uuid}" in row]) == 1
        begins = host.path(f"/var/log/libvirt/qemu/{NAME}.log").read_text(errors="replace")
        assert begins.count("starting up libvirt version") == 2, "once by us, once by Holdfast"
