"""VMs move between real hosts; a host that dies in the middle of it leaves them in one place.

covers: H2
"""

import os
from collections.abc import Iterator

import pytest

from holdfast.lab.drills.director import DRILLS, SiteDrill, perform_there
from holdfast.lab.drills.figures import Result
from holdfast.lab.drills.scene import Choices
from holdfast.lab.drills.site_stage import SiteStage
from holdfast.lab.hosts import Lab

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(600)]
NAME = f"moving-{os.getpid()}"
HOSTS = 4


@pytest.fixture(scope="module")
def site() -> Iterator[SiteStage]:
    lab = Lab.up(HOSTS, name=NAME)
    try:
        with SiteStage(lab, print) as stage:
            yield stage
    finally:
        lab.down()


def run(name: str, site: SiteStage, choices: Choices) -> Result:
    drill = DRILLS[name]
    assert isinstance(drill, SiteDrill)
    said: list[str] = []
    result = perform_there(drill, site, choices, said.append)
    assert result.is_passed, "\n".join([*said, *result.notes])
    assert result.ran_twice == 0
    return result


def test_a_host_is_drained_and_each_pause_is_measured(site: SiteStage) -> None:
    result = run("drain", site, Choices(vms=2))
    for figure in ("pause_by_libvirt_ms", "pause_seen_outside_ms"):
        assert result.figures[figure].max > 0


@pytest.mark.parametrize("name", ["source-dies-in-migration", "target-dies-in-migration"])
def test_an_end_that_dies_leaves_the_vm_in_one_place(site: SiteStage, name: str) -> None:
    run(name, site, Choices(runs=2))
