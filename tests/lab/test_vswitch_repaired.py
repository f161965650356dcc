"""The host mends its virtual switch itself, and its daemons: told, mended, verified, cleared.

covers: H1 H5 H18
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from holdfast.lab import vswitch
from holdfast.lab.drills.asking import ask
from holdfast.lab.drills.guarded import switch_settings
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.stage import RUN_FOLDER, Stage
from holdfast.lab.hosts import Lab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]
LIMIT_S = 25.0
WITH_CANARY = len(vswitch.FLOWS) + 1 + 2


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    lab = Lab.up(1, name=f"vswitch-mends-{os.getpid()}")
    try:
        host = lab.host("h1")
        vswitch.start_vswitch(host)
        with Stage(host, print, switch_settings()) as stage:
            yield stage
    finally:
        lab.down()


@pytest.fixture(autouse=True)
def _well(stage: Stage) -> None:
    """Its canary crosses, and what it is was recorded."""
    deadline = time.monotonic() + LIMIT_S
    while _flows(stage) != WITH_CANARY or not _is_guarded(stage):
        assert time.monotonic() < deadline, stage.cli("host", "show", "h1")
        time.sleep(0.1)
    time.sleep(2.5)


def _flows(stage: Stage) -> int:
    bridges = ask(stage.host.path(f"{RUN_FOLDER}/agent.sock"), "status")["vswitch"]["bridges"]
    return vswitch.count_flows(stage.host) if vswitch.BRIDGE in bridges else 0


def _is_guarded(stage: Stage) -> bool:
    shown = stage.cli("host", "show", "h1")
    return all(f"{name}  runs as" in shown for name in ("ovs-vswitchd", "ovsdb-server"))


def _wait(stage: Stage, condition: str, state: str, since_ns: int) -> Arrival:
    found = stage.inbox.wait(
        lambda one: one.condition == condition and one.state == state,
        since_ns=since_ns,
        limit_s=LIMIT_S,
    )
    assert found is not None, f"{condition} not {state}: {stage.inbox.list_since(since_ns)}"
    return found


def _is_mended(stage: Stage, condition: str, since_ns: int) -> None:
    _wait(stage, condition, "raised", since_ns)
    cleared = _wait(stage, condition, "cleared", since_ns)
    assert "mended here" in cleared.text
    print(f"{condition}: cleared after {(cleared.at_ns - since_ns) / 1e6:.0f} ms")


def test_flows_that_were_deleted_are_given_back(stage: Stage) -> None:
    _is_mended(stage, "vswitch-flows-lost", vswitch.delete_flows(stage.host))
    assert vswitch.count_flows(stage.host) == WITH_CANARY


def test_a_port_that_was_taken_out_is_made_anew(stage: Stage) -> None:
    vswitch.vsctl(stage.host, "set", "port", vswitch.GUEST, "tag=7")
    time.sleep(2.5)
    began_ns = time.monotonic_ns()
    vswitch.vsctl(stage.host, "del-port", vswitch.GUEST)
    _is_mended(stage, "vswitch-port-missing", began_ns)
    assert vswitch.vsctl(stage.host, "get", "port", vswitch.GUEST, "tag").strip() == "7"
    vswitch.vsctl(stage.host, "clear", "port", vswitch.GUEST, "tag")


def test_an_uplink_that_was_switched_off_is_switched_on(stage: Stage) -> None:
    _is_mended(stage, "vswitch-uplink-lost", vswitch.lower_uplink(stage.host))


def test_an_uplink_without_a_cable_is_handed_over_at_once_with_what_to_do(stage: Stage) -> None:
    cut_ns = vswitch.cut_uplink(stage.host)
    found = stage.inbox.wait(
        lambda one: one.condition == "vswitch-uplink-lost" and "the VIM has it" in one.repair,
        since_ns=cut_ns,
        limit_s=LIMIT_S,
    )
    vswitch.mend_uplink(stage.host)
    assert found is not None
    assert "look at the cable" in found.repair
    assert (found.at_ns - cut_ns) / 1e6 < 2_000
    assert "it had been handed over" in _wait(stage, found.condition, "cleared", cut_ns).text


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_its_daemon_is_begun_again_with_its_flows_and_ports(
    stage: Stage, how: signal.Signals
) -> None:
    pid = stage.host.read_pid(vswitch.SWITCH_PID)
    began_ns = time.monotonic_ns()
    os.kill(pid, how)
    _is_mended(stage, "process-failed", began_ns)
    assert stage.host.read_pid(vswitch.SWITCH_PID) != pid
    assert vswitch.count_flows(stage.host) >= WITH_CANARY - 2  # The canary's come back by it.
    assert {vswitch.GUEST, vswitch.UPLINK} <= set(
        vswitch.vsctl(stage.host, "list-ports", vswitch.BRIDGE).split()
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_its_database_is_begun_again_and_costs_no_flow(stage: Stage, how: signal.Signals) -> None:
    pid, daemon = (stage.host.read_pid(one) for one in (vswitch.DATABASE_PID, vswitch.SWITCH_PID))
    began_ns = time.monotonic_ns()
    os.kill(pid, how)
    _is_mended(stage, "process-failed", began_ns)
    assert stage.host.read_pid(vswitch.DATABASE_PID) != pid
    assert stage.host.read_pid(vswitch.SWITCH_PID) == daemon
    assert vswitch.count_flows(stage.host) == WITH_CANARY


CONTROLLER = """
import socket
door = socket.create_server(("127.0.0.1", 6653))
print("listens", flush=True)
link, _ = door.accept()
link.sendall(bytes.fromhex("0100000800000001"))  # OpenFlow 1.0: hello.
while head := link.recv(8, socket.MSG_WAITALL):
    body = link.recv(int.from_bytes(head[2:4]) - 8, socket.MSG_WAITALL)
    if head[1] == 2:  # An echo is answered.
        link.sendall(head[:1] + b"\\3" + head[2:] + body)
"""


@contextlib.contextmanager
def _controlled(stage: Stage) -> Iterator[None]:
    """By somebody who is connected, and does nothing."""
    with stage.host.popen([sys.executable, "-c", CONTROLLER], stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline().strip() == b"listens"
            vswitch.vsctl(stage.host, "set-controller", vswitch.BRIDGE, "tcp:127.0.0.1:6653")
            words = ("get", "controller", vswitch.BRIDGE, "is_connected")
            deadline = time.monotonic() + LIMIT_S
            while vswitch.vsctl(stage.host, *words).strip() != "true":
                assert time.monotonic() < deadline, "the controller is not connected"
                time.sleep(0.1)
            yield
        finally:
            vswitch.vsctl(stage.host, "del-controller", vswitch.BRIDGE)
            program.kill()


def test_flows_of_a_controller_that_is_there_are_left_to_it(stage: Stage) -> None:
    with _controlled(stage):
        vswitch.add_flows(stage.host)
        time.sleep(3)  # What its coming changed is no fault, or is over.
        deleted_ns = vswitch.delete_flows(stage.host)
        told = stage.inbox.wait(
            lambda one: one.condition == "vswitch-flows-lost" and "the VIM has it" in one.repair,
            since_ns=deleted_ns,
            limit_s=LIMIT_S,
        )
        count = vswitch.count_flows(stage.host)
    vswitch.add_flows(stage.host)
    assert told is not None
    assert "tcp:127.0.0.1:6653 controls br-vm, and is there: flows are its" in told.repair
    assert count < len(vswitch.FLOWS)
    _wait(stage, "vswitch-flows-lost", "cleared", deleted_ns)


def test_while_somebody_works_on_it_nothing_is_mended(stage: Stage) -> None:
    mark = stage.host.path(f"{RUN_FOLDER}/stopped/vswitch")
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    try:
        deleted_ns = vswitch.delete_flows(stage.host)
        told = stage.inbox.wait(
            lambda one: one.condition == "vswitch-flows-lost" and "the VIM has it" in one.repair,
            since_ns=deleted_ns,
            limit_s=LIMIT_S,
        )
        assert told is not None
        assert "somebody works on the switch" in told.repair
        assert vswitch.count_flows(stage.host) < len(vswitch.FLOWS)
    finally:
        mark.unlink()
        vswitch.add_flows(stage.host)
    _wait(stage, "vswitch-flows-lost", "cleared", deleted_ns)
