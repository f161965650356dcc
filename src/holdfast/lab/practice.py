"""A whole site on this machine, to break without harm: what a person needs who learns, or doubts.

Four hosts: three have controllers, and all have a BMC and are acted on when they die. The last one
runs two small VMs on a disk that all hosts see.
"""

import shutil
import time
from collections.abc import Callable
from contextlib import suppress

from holdfast.lab.bmc.board import Bmc
from holdfast.lab.commands import LabError, system_environment
from holdfast.lab.hosts import Host, Lab
from holdfast.lab.problem_makers.host_cut_off import cut_off, join_again
from holdfast.lab.problem_makers.host_frozen import freeze_host, thaw_host
from holdfast.lab.problem_makers.host_power_cut import cut_power
from holdfast.lab.site import define_shared, fence_set, install, run, write_settings

HOSTS, CONTROLLERS = 4, 3
VMS = ("web", "db")
VM_MIB = 128
LEADS_LIMIT_S, POLL_S = 60.0, 0.5
NEEDED = ("etcd", "ipmi_sim", "fence_ipmilan", "qemu-img")
BREAKS: dict[str, Callable[[Host], object]] = {
    "power": cut_power,
    "freeze": freeze_host,
    "network": cut_off,
}


def make(name: str, say: Callable[[str], None]) -> Lab:
    """In half a minute to two. What a failed start leaves is taken away. Raises LabError."""
    path = system_environment()["PATH"]
    missing = [one for one in NEEDED if shutil.which(one, path=path) is None]
    if missing:
        raise LabError(f"{', '.join(missing)} is not on this machine: scripts/install test")
    lab = Lab.up(hosts=HOSTS, name=name)
    try:
        _furnish(lab, say)
    except BaseException:
        Lab.take_down(name)
        raise
    return lab


def _furnish(lab: Lab, say: Callable[[str], None]) -> None:
    say(f"{HOSTS} hosts are up, each with a libvirt of its own; Holdfast is being installed on all")
    for host in lab.hosts:
        write_settings(host)
    install(lab.hosts, CONTROLLERS)
    first, last = lab.hosts[0], lab.hosts[-1]
    _wait_for_leader(first)
    say(f"a site with {CONTROLLERS} controllers; each host gets a BMC, and is acted on")
    for host in lab.hosts:
        bmc = Bmc(host)
        bmc.begin(["ipmi"])
        words, secrets = fence_set(host, bmc.ipmi)
        run(first, *words, stdin=secrets)
    run(first, "fence", "rehearse")
    for host in lab.hosts:
        run(first, "host", "mode", host.name, "act")
    say(f"{last.name} starts {' and '.join(VMS)}, on a disk that all hosts see")
    guests = [define_shared(last, vm, VM_MIB) for vm in VMS]
    for guest in guests:
        guest.start()
    for guest in guests:
        guest.wait_answer()
        run(first, "vm", "protect", guest.name, "--answers", "agent")


def _wait_for_leader(host: Host) -> None:
    deadline = time.monotonic() + LEADS_LIMIT_S
    while True:
        with suppress(LabError):
            run(host, "fence", "list")
            return
        if time.monotonic() > deadline:
            raise LabError(f"no controller leads after {LEADS_LIMIT_S:g} s")
        time.sleep(POLL_S)


def break_host(host: Host, how: str) -> None:
    """Raises LabError where it is broken already."""
    BREAKS[how](host)


def mend_host(host: Host) -> str:
    """Whatever was broken of it; says what was done. Raises LabError."""
    if not host.is_powered_on:
        host.power_on()
        return "it has power, and boots"
    thaw_host(host)
    join_again(host)
    return "it runs, and hears the others"
