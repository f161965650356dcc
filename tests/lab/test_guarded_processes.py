"""A guarded process is killed or frozen: told at once, begun again, verified, and cleared.

covers: H1 H18 H19
"""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from holdfast.lab.drills.figures import NS_PER_MS
from holdfast.lab.drills.guarded import NAME, StandInProcess, settings
from holdfast.lab.drills.stage import Stage
from holdfast.lab.hosts import Lab

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
        _until_shown(stage, "Guarded: nova-compute  runs as process")
        yield process


def _until_shown(stage: Stage, words: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while words not in stage.cli("host", "show", "h1"):
        assert time.monotonic() < deadline, stage.cli("host", "show", "h1")
        time.sleep(0.1)


def test_a_killed_process_is_told_at_once_and_begun_again(
    stage: Stage, process: StandInProcess
) -> None:
    pid = process.wait_pid()
    injected_ns = time.monotonic_ns()
    os.kill(pid, signal.SIGKILL)
    raised = stage.inbox.wait(
        lambda one: one.condition == "process-failed" and one.state == "raised",
        since_ns=injected_ns,
        limit_s=LIMIT_S,
    )
    assert raised is not None
    assert raised.text == f"{NAME} is gone: killed by SIGKILL"
    assert (raised.at_ns - injected_ns) / NS_PER_MS < KILLED_MS
    cleared = stage.inbox.wait(
        lambda one: one.key == raised.key and one.state == "cleared",
        since_ns=injected_ns,
        limit_s=LIMIT_S,
    )
    assert cleared is not None
    assert "mended here, in 1 step" in cleared.text
    assert process.wait_pid(other_than=pid) != pid
    story = stage.cli("explain", NAME)
    assert "Trying to restart it" in story
    assert "that proves nothing yet" in story
