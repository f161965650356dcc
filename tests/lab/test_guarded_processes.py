"""A guarded process is killed or frozen: told at once, begun again, verified, and cleared.

covers: H1 H18 H19
"""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from holdfast.lab.drills.figures import NS_PER_MS
from holdfast.lab.drills.guarded import FOLDER, NAME, StandInProcess, settings
from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.many_vms import find_pids
from holdfast.lab.drills.stage import Stage
from holdfast.lab.drills.stand_ins import stand_ins
from holdfast.lab.hosts import Lab
from holdfast.lab.problem_makers.libvirtd_killed import LIBVIRTD_PID_FILE

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(600)]
LIMIT_S = 20.0
# Figures are the benches' to judge: this only tells apart what is pushed and what is polled.
KILLED_MS, FROZEN_MS = 400, 3_000


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    lab = Lab.up(1, name=f"processes-{os.getpid()}")
    try:
        with Stage(lab.host("h1"), print, settings()) as stage:
            yield stage
    finally:
        lab.down()


@pytest.fixture
def process(stage: Stage) -> Iterator[StandInProcess]:
    with StandInProcess(stage.host) as process:
        _until_shown(stage, "runs as process")
        yield process


def _until_shown(stage: Stage, words: str) -> None:
    _until_says(stage, f"{NAME}  {words}")


def _until_says(stage: Stage, words: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while words not in stage.cli("host", "show", "h1"):
        assert time.monotonic() < deadline, stage.cli("host", "show", "h1")
        time.sleep(0.1)


def _wait(stage: Stage, since_ns: int, condition: str, state: str) -> Arrival:
    found = stage.inbox.wait(
        lambda one: one.condition == condition and one.state == state,
        since_ns=since_ns,
        limit_s=LIMIT_S,
    )
    assert found is not None, f"{condition} was not {state}: {stage.inbox.list_since(since_ns)}"
    return found


def test_a_killed_process_is_told_at_once_and_begun_again(
    stage: Stage, process: StandInProcess
) -> None:
    pid = process.wait_pid()
    injected_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    raised = _wait(stage, injected_ns, "process-failed", "raised")
    assert raised.text == f"{NAME} is gone: killed by SIGKILL"
    assert (raised.at_ns - injected_ns) / NS_PER_MS < KILLED_MS
    cleared = _wait(stage, injected_ns, "process-failed", "cleared")
    assert "mended here, in 1 step" in cleared.text
    assert process.wait_pid(other_than=pid) != pid
    story = stage.cli("explain", NAME)
    assert "Trying to restart it" in story
    assert "that proves nothing yet" in story
    _until_says(stage, "restart: mended 1 time")  # The agent tells it within moments.


def test_a_frozen_process_is_told_within_a_second_ended_and_begun_again(
    stage: Stage, process: StandInProcess
) -> None:
    pid = process.wait_pid()
    injected_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGSTOP)
    raised = _wait(stage, injected_ns, "process-failed", "raised")
    assert "its process is stopped, and has used no CPU since" in raised.text
    assert (raised.at_ns - injected_ns) / NS_PER_MS < FROZEN_MS
    _wait(stage, injected_ns, "process-failed", "cleared")
    assert process.wait_pid() != pid
    assert process.pids() == [process.wait_pid()], "the frozen one was ended first"


def test_what_cannot_be_begun_again_is_handed_over_with_what_was_tried(
    stage: Stage, process: StandInProcess
) -> None:
    start = stage.host.path(f"{FOLDER}/start")
    script = start.read_text()
    start.write_text("#!/bin/sh\necho the disk is full >&2\nexit 3\n")
    try:
        injected_ns = time.monotonic_ns()
        os.kill(process.wait_pid(), signal.SIGKILL)
        deadline = time.monotonic() + LIMIT_S
        while "ended with 3: the disk is full" not in (story := stage.cli("explain", NAME)):
            assert time.monotonic() < deadline, story
            time.sleep(0.1)
        assert "not mended here, since no step is left" in story
        assert "Needs you: holdfast explain" in story
    finally:
        start.write_text(script)
    stage.host.run([f"{FOLDER}/start"])
    cleared = _wait(stage, injected_ns, "process-failed", "cleared")
    assert "it had been handed over" in cleared.text


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_libvirt_is_begun_again_and_vms_run_on_through_that(
    stage: Stage, number: signal.Signals
) -> None:
    with stand_ins(stage.host, 2) as vms:
        pids = find_pids(vms)
        daemon = stage.host.read_pid(LIBVIRTD_PID_FILE)
        injected_ns = time.monotonic_ns()
        os.kill(daemon, number)
        _wait(stage, injected_ns, "libvirt-silent", "raised")
        cleared = _wait(stage, injected_ns, "libvirt-silent", "cleared")
        assert "mended here" in cleared.text
        assert stage.host.read_pid(LIBVIRTD_PID_FILE) != daemon
        assert find_pids(vms) == pids, "each QEMU lives on"
        listed = stage.host.run(["virsh", "list", "--name"]).stdout.split()
        assert {vm.name for vm in vms} <= {*listed}, "and libvirt has each of them again"
        raised = {one.condition for one in stage.inbox.list_raised(injected_ns)}
        assert raised == {"libvirt-silent"}, "one fault is told once, and no VM is missed"
