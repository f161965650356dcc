"""A real Open vSwitch on a lab host: what befalls it arrives at the VIM, through the real agent.

covers: H18
"""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from holdfast.lab import vswitch
from holdfast.lab.drills.asking import ask
from holdfast.lab.drills.figures import NS_PER_MS
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.processes import signal_holder
from holdfast.lab.drills.stage import RUN_FOLDER, Stage
from holdfast.lab.hosts import Lab
from holdfast.lab.namespaces import Holder

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(300)]
LIMIT_S = 20.0
# Figures are the drills' to judge: this only tells apart what is pushed and what is polled.
PUSHED_MS = 1_000


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    lab = Lab.up(1, name=f"vswitch-{os.getpid()}")
    try:
        host = lab.host("h1")
        vswitch.start_vswitch(host)
        with Stage(host, print) as stage:
            _until(lambda: _bridges(stage) == [vswitch.BRIDGE], "the agent sees the switch")
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
    _until(lambda: "hfa-" in vswitch.vsctl(stage.host, "list-ports", vswitch.BRIDGE), "it crosses")
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
