"""A real Open vSwitch on a lab host: what befalls it arrives at the VIM, through the real agent.

covers: H18
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.adapters.drivers.canary import COOKIE
from holdfast.lab import vswitch
from holdfast.lab.drills.asking import ask
from holdfast.lab.drills.figures import NS_PER_MS
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.processes import signal_holder
from holdfast.lab.drills.stage import RUN_FOLDER, Stage
from holdfast.lab.host import find_wire
from holdfast.lab.hosts import Lab
from holdfast.lab.namespaces import Holder

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]
LIMIT_S = 20.0
# Figures are the drills' to judge: this only tells apart what is pushed and what is polled.
PUSHED_MS = 1_000
WITH_CANARY = len(vswitch.FLOWS) + 1 + 2


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    lab = Lab.up(1, name=f"vswitch-{os.getpid()}")
    try:
        host = lab.host("h1")
        vswitch.start_vswitch(host)
        with Stage(host, print) as stage:
            _until(lambda: _bridges(stage) == [vswitch.BRIDGE], "the agent sees the switch")
            _wait_crossing(stage)
            yield stage
    finally:
        lab.down()


def test_a_port_that_is_taken_out_is_told_and_cleared_when_it_is_back(stage: Stage) -> None:
    began_ns = time.monotonic_ns()
    vswitch.vsctl(stage.host, "del-port", vswitch.GUEST)
    arrival = _wait_told(stage, "vswitch-port-missing", "raised", began_ns)
    assert "port vm1 is missing from br-vm" in arrival.text
    assert (arrival.at_ns - began_ns) / NS_PER_MS < PUSHED_MS
    vswitch.vsctl(stage.host, "add-port", vswitch.BRIDGE, vswitch.GUEST)
    _wait_told(stage, "vswitch-port-missing", "cleared", began_ns)


def test_a_lost_carrier_is_told_as_the_bridges_lost_uplink(stage: Stage) -> None:
    cut_ns = vswitch.cut_uplink(stage.host)
    arrival = _wait_told(stage, "vswitch-uplink-lost", "raised", cut_ns)
    took_ms = (arrival.at_ns - cut_ns) / NS_PER_MS
    print(f"carrier lost: reported after {took_ms:.1f} ms")
    assert took_ms < PUSHED_MS
    vswitch.mend_uplink(stage.host)
    cleared = _wait_told(stage, "vswitch-uplink-lost", "cleared", cut_ns)
    assert "has an uplink that works: up1" in cleared.text


def test_flows_that_are_deleted_are_told_and_cleared_when_they_are_made_again(stage: Stage) -> None:
    deleted_ns = vswitch.delete_flows(stage.host)
    arrival = _wait_told(stage, "vswitch-flows-lost", "raised", deleted_ns)
    took_ms = (arrival.at_ns - deleted_ns) / NS_PER_MS
    print(f"flows deleted: reported after {took_ms:.1f} ms")
    assert "br-vm lost its flows: it has 0 of 11 flows" in arrival.text
    assert took_ms < PUSHED_MS
    vswitch.add_flows(stage.host)
    _wait_told(stage, "vswitch-flows-lost", "cleared", deleted_ns)


def test_a_data_path_that_stopped_is_told_though_its_flows_are_there(stage: Stage) -> None:
    """The daemon hangs: in user space the data path is part of it."""
    daemon = Holder.of_pid(stage.host.read_pid(vswitch.SWITCH_PID))
    _wait_crossing(stage)
    frozen_ns = time.monotonic_ns()
    signal_holder(daemon, signal.SIGSTOP)
    try:
        arrival = _wait_told(stage, "vswitch-flows-lost", "raised", frozen_ns)
    finally:
        signal_holder(daemon, signal.SIGCONT)
    took_ms = (arrival.at_ns - frozen_ns) / NS_PER_MS
    print(f"data path stopped: reported after {took_ms:.1f} ms")
    assert "no frame crosses it" in arrival.text
    assert took_ms < 2 * PUSHED_MS
    _wait_told(stage, "vswitch-flows-lost", "cleared", frozen_ns)


SNIFF = """
import select, socket, sys, time
door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(int(sys.argv[2], 16)))
door.bind((sys.argv[1], int(sys.argv[2], 16)))
print("sniffs", flush=True)
end, count = time.monotonic() + float(sys.argv[3]), 0
while (left := end - time.monotonic()) > 0:
    if select.select([door], [], [], left)[0]:
        count += door.recvfrom(2048)[1][2] != socket.PACKET_OUTGOING
print(count)
"""
FLOOD = """
import socket, sys
door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
door.bind((sys.argv[1], 0))
door.send(b"\\xff" * 6 + b"\\2" + bytes(5) + bytes.fromhex(sys.argv[2]) + bytes(46))
"""


@contextlib.contextmanager
def _sniffing(stage: Stage, ethertype: str, seconds: float) -> Iterator[Callable[[], int]]:
    """Counts frames that leave the host by its uplink."""
    wire = ["nsenter", "--target", str(find_wire(stage.host.lab).pid), "--net", "--"]
    device = vswitch.cable_of(stage.host)
    argv = [*wire, sys.executable, "-c", SNIFF, device, ethertype, str(seconds)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "sniffs\n"
        yield lambda: int(process.communicate(timeout=LIMIT_S)[0])


def _canary_port(stage: Stage) -> str:
    ports = vswitch.vsctl(stage.host, "list-ports", vswitch.BRIDGE).split()
    return next(port for port in ports if port.startswith("hfa-"))


def test_no_frame_of_the_canary_leaves_the_host_also_without_its_flow(stage: Stage) -> None:
    """Nor is it a fault that its flow is taken away: it is made again."""
    _wait_crossing(stage)
    began_ns = time.monotonic_ns()
    with _sniffing(stage, "88b6", 2) as count:  # That the sniffer would see it.
        flood = [sys.executable, "-c", FLOOD, _canary_port(stage), "88b6"]
        stage.host.run(flood)
        assert count() == 1
    with _sniffing(stage, "88b5", 5) as count:
        for _ in range(4):
            cookie = f"cookie={COOKIE:#x}/-1"
            stage.host.run(["ovs-ofctl", "del-flows", vswitch.BRIDGE, cookie])
            time.sleep(1)
        assert count() == 0
    _wait_crossing(stage)
    assert [one for one in stage.inbox.list_raised(began_ns) if "vswitch" in one.condition] == []


def test_what_is_lost_stays_told_when_the_agent_is_begun_anew(stage: Stage) -> None:
    record = stage.host.path("/var/lib/holdfast/drill/vswitch.json")
    _until(lambda: record.exists() and _is_recorded(record), "it is recorded")
    lost_ns = vswitch.delete_flows(stage.host)
    vswitch.vsctl(stage.host, "del-port", vswitch.GUEST)
    for condition in ("vswitch-flows-lost", "vswitch-port-missing"):
        _wait_told(stage, condition, "raised", lost_ns)
    stage.kill_agent()
    stage.start_agent()
    _until(lambda: vswitch.count_flows(stage.host) == 2, "its canary is there again")
    time.sleep(2.5)  # Whatever it takes for well would be cleared by then.
    assert not _told(stage, "cleared", lost_ns)
    vswitch.vsctl(stage.host, "add-port", vswitch.BRIDGE, vswitch.GUEST)
    vswitch.add_flows(stage.host)
    for condition in ("vswitch-flows-lost", "vswitch-port-missing"):
        _wait_told(stage, condition, "cleared", lost_ns)


def _told(stage: Stage, state: str, since_ns: int) -> list[str]:
    return [
        one.condition
        for one in stage.inbox.list_since(since_ns)
        if one.state == state and "vswitch" in one.condition
    ]


def test_a_canary_that_is_wanted_no_more_is_taken_away(stage: Stage) -> None:
    """And made again when it is wanted: here last, since the agent is begun anew."""
    settings = stage.host.path(f"{RUN_FOLDER}/holdfast.toml")
    text = settings.read_text()
    for wanted, flows in (("false", WITH_CANARY - 2), ("true", WITH_CANARY)):
        settings.write_text(text.replace("canary = true", f"canary = {wanted}"))
        stage.kill_agent()
        stage.start_agent()
        _until(lambda flows=flows: vswitch.count_flows(stage.host) == flows, "it is as wanted")  # type: ignore[misc]
        ports = vswitch.vsctl(stage.host, "list-ports", vswitch.BRIDGE)
        assert ("hfa-" in ports) is (wanted == "true")


def _is_recorded(record: Path) -> bool:
    text = record.read_text()
    return f'"{vswitch.GUEST}"' in text and f'"{vswitch.UPLINK}"' in text


def _wait_crossing(stage: Stage) -> None:
    """Its flows are there, and then a frame or two crossed: only what crossed can be missed."""
    _until(lambda: vswitch.count_flows(stage.host) == WITH_CANARY, "the canary has its flows")
    time.sleep(0.6)


def _bridges(stage: Stage) -> list[str]:
    status = ask(stage.host.path(f"{RUN_FOLDER}/agent.sock"), "status")
    return list(status["vswitch"]["bridges"])


def _wait_told(stage: Stage, condition: str, state: str, since_ns: int) -> Arrival:
    def is_it(arrival: Arrival) -> bool:
        return arrival.condition == condition and arrival.state == state

    arrival = stage.inbox.wait(is_it, since_ns=since_ns, limit_s=LIMIT_S)
    assert arrival is not None, f"{condition} {state} did not arrive"
    return arrival


def _until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {LIMIT_S:g} s: {what}"
        time.sleep(0.05)
