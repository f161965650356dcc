"""Guarded processes under a real systemd: killed, frozen, stopped by a person, and libvirt itself.

covers: H1 H18 H19
"""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.many_vms import find_pids
from holdfast.lab.drills.stage import Stage
from holdfast.lab.drills.stand_ins import stand_ins
from holdfast.lab.hosts import Lab, why_no_systemd

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(why_no_systemd()), reason=why_no_systemd() or "it can run here"),
]
LIMIT_S = 30.0
SETTINGS = """
[process.served]
unit = "served.service"
repairs_an_hour = 20

[process.loose]
program = "/run/loose"
restart = ["/run/start-loose"]
end_mark = "/run/loose-stopped"

[process.libvirt]
"""
UNIT = """[Unit]
Description=Stands in for a service of the host
[Service]
ExecStart=/bin/sleep 100000
"""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    lab = Lab.up(1, name=f"units-{os.getpid()}", has_systemd=True)
    try:
        host = lab.host("h1")
        host.path("/run/systemd/system/served.service").write_text(UNIT)
        host.run(["systemctl", "daemon-reload"])
        host.path("/run/loose-stopped").touch()
        host.run(["systemctl", "start", "served.service"])
        with Stage(host, print, SETTINGS) as stage:
            _until(stage, "runs as process")
            yield stage
    finally:
        lab.down()


def _until(stage: Stage, words: str, name: str = "served") -> None:
    deadline = time.monotonic() + LIMIT_S
    while True:
        shown = " ".join(stage.cli("host", "show", "h1").split())
        if f"Guarded: {name} {words}" in shown:
            return
        assert time.monotonic() < deadline, shown
        time.sleep(0.1)


def _pid(stage: Stage, unit: str = "served.service") -> int:
    """As the host numbers it."""
    shown = stage.host.run(["systemctl", "show", "--property=MainPID", "--value", unit])
    return int(shown.stdout)


def _signal(stage: Stage, number: signal.Signals, unit: str = "served.service") -> int:
    pid = _pid(stage, unit)
    since_ns = time.monotonic_ns()
    stage.host.run(["kill", f"-{number}", str(pid)])
    return since_ns


def _wait(stage: Stage, since_ns: int, condition: str, state: str) -> Arrival:
    found = stage.inbox.wait(
        lambda one: one.condition == condition and one.state == state,
        since_ns=since_ns,
        limit_s=LIMIT_S,
    )
    assert found is not None, f"{condition} was not {state}: {stage.inbox.list_since(since_ns)}"
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_systemd_is_asked_to_restart_what_failed(stage: Stage, number: signal.Signals) -> None:
    before = _pid(stage)
    since_ns = _signal(stage, number)
    _wait(stage, since_ns, "process-failed", "raised")
    cleared = _wait(stage, since_ns, "process-failed", "cleared")
    assert "mended here, in 1 step" in cleared.text
    assert _pid(stage) not in (0, before)


def test_what_a_person_stops_or_restarts_is_told_to_nobody(stage: Stage) -> None:
    since_ns = time.monotonic_ns()
    stage.host.run(["systemctl", "restart", "served.service"])
    _until(stage, f"runs as process {_pid(stage)}")
    stage.host.run(["systemctl", "stop", "served.service"])
    _until(stage, "does not run: served.service was stopped")
    time.sleep(2.0)
    assert _pid(stage) == 0, "and nothing begins it again"
    assert not stage.inbox.list_raised(since_ns)
    stage.host.run(["systemctl", "start", "served.service"])
    _until(stage, "runs as process")


def test_what_a_program_begins_is_in_no_group_of_ours(stage: Stage) -> None:
    """It would be killed with the agent's service, and with a libvirt its VMs."""
    host = stage.host
    host.path("/run/loose").write_text("import time\nwhile True:\n    time.sleep(1)\n")
    start = host.path("/run/start-loose")
    start.write_text("#!/bin/sh\nexec setsid -f python3 /run/loose </dev/null >/dev/null 2>&1\n")
    start.chmod(0o755)
    host.path("/run/loose-stopped").unlink()
    host.run(["/run/start-loose"])
    _until(stage, "runs as process", "loose")
    since_ns = time.monotonic_ns()
    host.run(["pkill", "-KILL", "-f", "python3 /run/loose"])
    _wait(stage, since_ns, "process-failed", "cleared")
    pid = host.run(["pgrep", "-f", "python3 /run/loose"]).stdout.split()[0]
    assert ".scope" in host.run(["cat", f"/proc/{pid}/cgroup"]).stdout
    host.path("/run/loose-stopped").touch()
    host.run(["kill", pid])
    _until(stage, "does not run", "loose")


def test_vms_run_on_while_systemd_restarts_a_frozen_libvirt(stage: Stage) -> None:
    """Systemd begins a killed one again by itself: what hangs it leaves as it is."""
    with stand_ins(stage.host, 1) as vms:
        pids = find_pids(vms)
        since_ns = _signal(stage, signal.SIGSTOP, "libvirtd.service")
        _wait(stage, since_ns, "libvirt-silent", "raised")
        cleared = _wait(stage, since_ns, "libvirt-silent", "cleared")
        assert "mended here" in cleared.text
        assert find_pids(vms) == pids
