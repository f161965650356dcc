"""libvirt killed, frozen or restarted by a person: the VIM hears the right words, and VMs run on.

HOLDFAST_ROUNDS says how often each is done; the figures are printed.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from holdfast.lab.drills.asking import ask
from holdfast.lab.drills.figures import NS_PER_MS, Spread
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.many_vms import find_pids
from holdfast.lab.drills.stage import RUN_FOLDER, Stage
from holdfast.lab.drills.stand_ins import StandIn, stand_ins
from holdfast.lab.hosts import Lab
from holdfast.lab.problem_makers.libvirtd_frozen import freeze_libvirtd, thaw_libvirtd
from holdfast.lab.problem_makers.libvirtd_killed import kill_libvirtd, restart_libvirtd

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(900)]
ROUNDS = int(os.environ.get("HOLDFAST_ROUNDS", "2"))
LIMIT_S = 20.0
# Figures are the benches' to judge: this only tells apart what is pushed and what is polled.
KILLED_MS, FROZEN_MS = 400, 3_000
CONDITION = "libvirt-silent"


@pytest.fixture(scope="module")
def scene() -> Iterator[tuple[Stage, StandIn]]:
    lab = Lab.up(1, name=f"libvirt-lost-{os.getpid()}")
    try:
        host = lab.host("h1")
        with stand_ins(host, 1) as (vm,), Stage(host, print) as stage:
            _until(lambda: any(one.vm == vm.uuid for one in stage.ask_vms()), "it is seen")
            stage.cli("vm", "protect", vm.name, "--group", "drill")
            yield stage, vm
    finally:
        lab.down()


def test_a_killed_libvirt_is_told_at_once(scene: tuple[Stage, StandIn]) -> None:
    stage, vm = scene
    pids = find_pids([vm])
    took_ms = []
    for _ in range(ROUNDS):
        injected_ns = kill_libvirtd(stage.host)
        arrival = _wait_told(stage, injected_ns, "raised")
        took_ms.append((arrival.at_ns - injected_ns) / NS_PER_MS)
        assert "libvirt is gone: its process" in arrival.text
        assert "killed by SIGKILL" in arrival.text
        stage.host.start_libvirtd()
        cleared = _wait_told(stage, injected_ns, "cleared")
        assert "libvirt answers again, after" in cleared.text
    print(f"libvirt killed: {Spread.of(took_ms)}")
    assert max(took_ms) < KILLED_MS
    assert find_pids([vm]) == pids


def test_a_frozen_libvirt_is_told_within_a_second(scene: tuple[Stage, StandIn]) -> None:
    stage, vm = scene
    pids = find_pids([vm])
    took_ms = []
    for _ in range(ROUNDS):
        injected_ns = freeze_libvirtd(stage.host)
        try:
            arrival = _wait_told(stage, injected_ns, "raised")
        finally:
            thaw_libvirtd(stage.host)
        took_ms.append((arrival.at_ns - injected_ns) / NS_PER_MS)
        assert "does not answer: its process is stopped" in arrival.text
        _wait_told(stage, injected_ns, "cleared")
    print(f"libvirt frozen: {Spread.of(took_ms)}")
    assert max(took_ms) < FROZEN_MS
    assert find_pids([vm]) == pids


def test_a_person_who_restarts_libvirt_hears_nothing(scene: tuple[Stage, StandIn]) -> None:
    stage, vm = scene
    pids = find_pids([vm])
    for _ in range(ROUNDS):
        injected_ns = restart_libvirtd(stage.host)
        _until(lambda: _answers(stage), "libvirt answers")
        time.sleep(0.5)
        told = [one for one in stage.inbox.list_raised(injected_ns) if one.condition == CONDITION]
        assert told == []
    assert find_pids([vm]) == pids


def test_a_vm_that_dies_while_libvirt_is_dead_is_told_at_once(scene: tuple[Stage, StandIn]) -> None:
    stage, vm = scene
    kill_libvirtd(stage.host)
    (pid,) = find_pids([vm])
    died_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    arrival = stage.inbox.wait(
        lambda one: one.vm == vm.uuid and one.is_raised, since_ns=died_ns, limit_s=LIMIT_S
    )
    assert arrival is not None
    assert (arrival.at_ns - died_ns) / NS_PER_MS < KILLED_MS
    stage.host.start_libvirtd()
    _until(lambda: any(one.vm == vm.uuid and one.is_running for one in stage.ask_vms()), "it runs")


def _wait_told(stage: Stage, since_ns: int, state: str) -> Arrival:
    def is_it(arrival: Arrival) -> bool:
        return arrival.condition == CONDITION and arrival.state == state

    arrival = stage.inbox.wait(is_it, since_ns=since_ns, limit_s=LIMIT_S)
    assert arrival is not None, f"{CONDITION} {state} did not arrive"
    return arrival


def _answers(stage: Stage) -> bool:
    status = ask(stage.host.path(f"{RUN_FOLDER}/agent.sock"), "status")
    return bool(status["libvirt"] == "answers")


def _until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"not within {LIMIT_S:g} s: {what}"
        time.sleep(0.1)
