"""Holdfast's units under a real systemd: started, restarted, killed, rebooted, and taken away."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.lab.commands import LabError
from holdfast.lab.guests import Guest, plan_guest
from holdfast.lab.hosts import Host, Lab, why_no_systemd
from tests.lab import site
from tests.lab.site import PROGRAM, ask, holdfast, wait_until, wait_well

pytestmark = [
    pytest.mark.lab,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(why_no_systemd()), reason=why_no_systemd() or "it can run here"),
    pytest.mark.skipif(not shutil.which("etcd"), reason="etcd is not installed here"),
]

GUEST = "web"
PROGRAMS = ("holdfast-agent", "holdfast-controller", "holdfast-pulse", "holdfast-store")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    lab = Lab.up(3, name=f"systemd-{os.getpid()}", has_systemd=True)
    try:
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def three(lab: Lab) -> tuple[Host, Host, Host]:
    """A site of three controllers, made as a person makes it; a protected guest runs on h3."""
    first, second, third = lab.hosts
    site.init(lab, "--controllers=3")
    site.join(lab, second, "--controller")
    site.join(lab, third, "--controller")
    guest = Guest.define(third, plan_guest(lab.name, GUEST)).start_and_answer()
    try:
        wait_well(third)
        holdfast(third, "vm", "protect", guest.name)
        for host in lab.hosts:
            wait_well(host)
    except AssertionError as error:
        said = "\n".join(f"{host.name} says:\n{journal(host)}" for host in lab.hosts)
        raise AssertionError(f"{error}\n{said}") from None
    return first, second, third


def journal(host: Host) -> str:
    """What the programs of Holdfast said there last, who hears what, and where its pulses go."""
    commands = (
        ["journalctl", "--no-pager", "--lines=25", "--unit=holdfast-*"],
        [PROGRAM, "status", "--json"],
        ["ss", "--udp", "--all", "--numeric", "--processes", "--memory"],
        ["ip", "-brief", "address"],
        ["cat", "/etc/holdfast/holdfast.toml"],
    )
    said = [host.run(argv, check=False).stdout for argv in commands]
    targets = host.path("/var/lib/holdfast/pulse.json").read_text()
    return "\n".join([*said, re.sub(r'"key": .*', "", targets)])


def units(host: Host) -> dict[str, str]:
    """Holdfast's units that systemd knows, and the state of each."""
    argv = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "holdfast-*"]
    rows = [line.split() for line in host.run(argv).stdout.splitlines()]
    return {row[0].removesuffix(".service"): row[3] for row in rows}


def shown(host: Host, name: str, what: str) -> str:
    argv = ["systemctl", "show", "--value", "--property", what, f"holdfast-{name}.service"]
    return host.run(argv).stdout.strip()


def conditions(host: Host) -> set[str]:
    """Of all alarms of hosts that there ever were."""
    told = [record["alarm"]["condition"] for record in ask(host, "alarms", "--all")["alarms"]]
    return {one for one in told if not one.startswith("vm-")}


def qemu_pid(host: Host) -> int:
    return Guest(host, plan_guest(host.lab, GUEST)).qemu_pid()


def runs_anew(host: Host, before: int) -> bool:
    try:
        return qemu_pid(host) != before
    except (LabError, FileNotFoundError):
        return False


def test_every_service_runs_as_its_unit_asks(three: tuple[Host, Host, Host]) -> None:
    for host in three:
        assert units(host) == {
            **dict.fromkeys(PROGRAMS, "running"),
            "holdfast-host-stops": "exited",
        }
        pulse = shown(host, "pulse", "MainPID")
        assert "SCHED_FIFO" in host.run(["chrt", "--pid", pulse]).stdout
        status = host.path(f"/proc/{pulse}/status").read_text()
        assert int(re.findall(r"VmLck:\s*(\d+) kB", status)[0]) > 0
    assert "kernel's log" in holdfast(three[0], "last-words", three[0].name)


def test_restarts_and_kills_raise_no_host_alarm_and_touch_no_vm(
    three: tuple[Host, Host, Host],
) -> None:
    _, _, host = three
    begun = qemu_pid(host)
    for name in ("agent", "pulse", "controller"):
        host.run(["systemctl", "restart", f"holdfast-{name}"], timeout_s=60)
        wait_well(host)
    assert conditions(three[0]) == set()
    assert qemu_pid(host) == begun

    for name in ("controller", "store"):
        host.run(["systemctl", "kill", "--signal=KILL", f"holdfast-{name}"])
        wait_until(lambda name=name: shown(host, name, "NRestarts") == "1", f"{name} is back")
        wait_well(host)
    assert conditions(three[0]) == set()

    host.run(["kill", "-KILL", host.path(f"/run/libvirt/qemu/{GUEST}.pid").read_text()])
    wait_until(lambda: runs_anew(host, begun), f"{GUEST} was started again")
    wait_well(host)
    revived = qemu_pid(host)
    host.run(["systemctl", "restart", "holdfast-agent"], timeout_s=60)
    wait_well(host)
    assert qemu_pid(host) == revived


def test_a_host_that_systemd_shuts_down_says_so_and_is_whole_after_its_boot(
    three: tuple[Host, Host, Host],
) -> None:
    first, host, _ = three
    before = host.pid1
    host.reboot()
    for each in three:
        wait_well(each)
    assert host.pid1 != before
    assert shown(host, "pulse", "NRestarts") == "0", "it needs nobody to make its folders"
    assert units(host)["holdfast-host-stops"] == "exited"
    assert conditions(first) == {"host-stopping"}


def test_all_of_it_is_stopped_and_whatever_ended_is_started(
    three: tuple[Host, Host, Host],
) -> None:
    _, host, _ = three
    host.run(["systemctl", "stop", "holdfast-*"], timeout_s=60)
    assert set(units(host).values()) <= {"dead"}
    assert "systemctl start holdfast.target" in site.refused(host, "status")
    host.run(["systemctl", "start", "holdfast.target"], timeout_s=60)
    wait_well(host)
    host.run(["systemctl", "stop", "holdfast-agent"], timeout_s=60)
    host.run(["systemctl", "start", "holdfast.target"], timeout_s=60)
    assert units(host)["holdfast-agent"] == "running"
    for each in three:
        wait_well(each)


def test_nothing_of_it_is_left_on_the_machine(three: tuple[Host, Host, Host]) -> None:
    """Its services have private folders, in a layer of the host's own; but not where the program
    itself lies in what they would hide."""
    ours = "systemd-private-*-holdfast-pulse.service-*"
    is_private = shown(three[0], "pulse", "PrivateTmp") == "yes"
    assert is_private is not PROGRAM.startswith(("/tmp/", "/var/tmp/"))
    for folder in ("/tmp", "/var/tmp"):
        made = list(three[0].path(folder).glob(ours))
        assert len(made) == is_private
        assert not any((Path(folder) / one.name).exists() for one in made)


def test_leaving_takes_the_units_away(three: tuple[Host, Host, Host]) -> None:
    _, host, _ = three
    holdfast(host, "leave", "--yes")
    assert units(host) == {}
    assert not list(host.path("/etc/systemd/system").rglob("holdfast*"))
