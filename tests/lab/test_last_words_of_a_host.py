"""A host that is gone has left its last words at the controller: its kernel's, and its VMs'."""

import os
import re
import time

import pytest

from holdfast.lab.drills.stage import Stage
from holdfast.lab.drills.stand_ins import stand_ins
from holdfast.lab.hosts import Lab

pytestmark = pytest.mark.lab
LIMIT_S = 30.0


@pytest.mark.slow
def test_a_lost_host_is_told_of() -> None:
    lab = Lab.up(1, name=f"host-words-{os.getpid()}")
    try:
        host = lab.host("h1")
        with stand_ins(host, 1) as (vm,), Stage(host, print) as stage:
            name = host.run(["hostname"]).stdout.strip()
            _wait_told(stage, name, rf"{vm.name} +20\d\d-")  # A copy is made each ten seconds.
            stage.kill_agent()
            _wait_told(stage, name, "is away. This is the last that it said.")
            page = stage.cli("last-words", name)
            assert "How much its work stood still" in page
            assert "The last lines of its kernel's log" in page
            assert vm.name in page
            assert "is away. This is the last that was copied." in stage.cli("last-words", vm.name)
    finally:
        lab.down()


def _wait_told(stage: Stage, name: str, what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    page = ""
    while not re.search(what, page):
        assert time.monotonic() < deadline, page
        time.sleep(0.2)
        page = stage.cli("last-words", name)
