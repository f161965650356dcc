"""A whole machine stands still for a while, controller and all: nobody on it has died.

A hypervisor below it does that (a snapshot, a move), or a sick firmware.
"""

import os
import time
from collections.abc import Iterator

import pytest

from holdfast.lab.drills.stage import Stage
from holdfast.lab.hosts import Lab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(180)]
# Shorter and longer than a word of the agent is good for, and than a pulse may be missed.
STILL_S = (0.3, 0.6, 0.9, 1.5, 3.0)
AFTERMATH_S = 2.0


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    lab = Lab.up(1, name=f"still-{os.getpid()}")
    try:
        with Stage(lab.host("h1"), print) as stage:
            yield stage
    finally:
        lab.down()


def test_nobody_is_told_to_be_dead(stage: Stage) -> None:
    told: list[str] = []
    for still_s in STILL_S:
        frozen_ns = stage.host.freeze()
        time.sleep(still_s)
        stage.host.thaw()
        time.sleep(AFTERMATH_S)
        arrivals = stage.inbox.list_since(frozen_ns)
        told += [f"{still_s:g} s: {one.text}" for one in arrivals if one.condition]
    assert told == []
