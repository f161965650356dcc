"""A real libvirt puts its VMs into a real Open vSwitch: what is wanted of them is no fault of it.

covers: H18
"""

import os
import time
from collections.abc import Iterator

import pytest

from holdfast.lab import vswitch
from holdfast.lab.drills.stage import Stage
from holdfast.lab.hosts import Lab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]
LIMIT_S = 20.0
UUID = "5a1c7a5e-0000-4000-8000-000000000077"
NIC = f"""<interface type='bridge'><source bridge='{vswitch.BRIDGE}'/>
<virtualport type='openvswitch'/><mac address='52:54:00:00:00:77'/><model type='virtio'/>
</interface>"""
XML = f"""<domain type='qemu'><name>web</name><uuid>{UUID}</uuid>
<memory unit='MiB'>16</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><controller type='usb' model='none'/><memballoon model='none'/>{NIC}</devices></domain>"""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    lab = Lab.up(1, name=f"vswitch-vms-{os.getpid()}")
    try:
        host = lab.host("h1")
        vswitch.start_vswitch(host)
        with Stage(host, print) as stage:
            yield stage
    finally:
        lab.down()


def virsh(stage: Stage, *words: str, text: str | None = None) -> str:
    argv = ["virsh", "--quiet", "--connect", "qemu:///system", *words]
    return stage.host.run(argv, stdin_text=text, timeout_s=60).stdout


def taps(stage: Stage) -> list[str]:
    ports = vswitch.vsctl(stage.host, "list-ports", vswitch.BRIDGE).split()
    return [port for port in ports if port.startswith("vnet")]


def wait_taps(stage: Stage, count: int) -> None:
    deadline = time.monotonic() + LIMIT_S
    while len(taps(stage)) != count:
        assert time.monotonic() < deadline, f"not {count} ports of VMs: {taps(stage)}"
        time.sleep(0.05)


def begin(stage: Stage) -> None:
    stage.host.run(["sh", "-c", "cat > /run/web.xml"], stdin_text=XML)
    virsh(stage, "create", "/run/web.xml")
    wait_taps(stage, 1)
    time.sleep(1.0)


def test_a_vm_that_is_stopped_takes_its_port_along_without_a_word(stage: Stage) -> None:
    began_ns = time.monotonic_ns()
    for _ in range(3):
        begin(stage)
        virsh(stage, "destroy", "web")
        wait_taps(stage, 0)
    time.sleep(2.0)  # Whatever would be told is told by then.
    assert [one.text for one in stage.inbox.list_raised(began_ns)] == []


def test_an_interface_that_is_unplugged_is_no_missing_port(stage: Stage) -> None:
    began_ns = time.monotonic_ns()
    begin(stage)
    # Its guest has no system that would let it go, so it goes with the VM at the latest.
    virsh(stage, "detach-interface", "web", "bridge", "--mac", "52:54:00:00:00:77", "--live")
    time.sleep(2.0)
    virsh(stage, "destroy", "web")
    wait_taps(stage, 0)
    time.sleep(2.0)
    assert [one.text for one in stage.inbox.list_raised(began_ns)] == []


def test_the_port_of_a_running_vm_that_somebody_takes_out_is_missing(stage: Stage) -> None:
    began_ns = time.monotonic_ns()
    begin(stage)
    [tap] = taps(stage)
    vswitch.vsctl(stage.host, "del-port", tap)
    arrival = stage.inbox.wait(
        lambda one: one.condition == "vswitch-port-missing" and one.is_raised,
        since_ns=began_ns,
        limit_s=LIMIT_S,
    )
    assert arrival is not None
    assert f"port {tap} is missing" in arrival.text
    virsh(stage, "destroy", "web")
    cleared = stage.inbox.wait(
        lambda one: one.condition == "vswitch-port-missing" and one.state == "cleared",
        since_ns=arrival.at_ns,
        limit_s=LIMIT_S,
    )
    assert cleared is not None
