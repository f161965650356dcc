"""VMs move between real hosts; a host that dies in the middle of it leaves them in one place.

covers: H2
"""

from collections.abc import Iterator

import pytest

from holdfast.lab.drills.figures import Result
from holdfast.lab.drills.scene import Choices
from holdfast.lab.drills.site_stage import SiteStage
from tests.lab.drilling import drill_of, must_pass, site_of

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(600)]
HOSTS = 4


@pytest.fixture(scope="module")
def site() -> Iterator[SiteStage]:
    with site_of(HOSTS, "moving") as stage:
        yield stage


def run(name: str, site: SiteStage, choices: Choices) -> Result:
    result = must_pass(drill_of(name), site, choices)
    assert result.ran_twice == 0
    assert result.figures["observed_percent"] > 10, "else nobody would have seen it"
    return result


def test_a_host_is_drained_and_each_pause_is_measured(site: SiteStage) -> None:
    result = run("drain", site, Choices(vms=2))
    for figure in ("pause_by_libvirt_ms", "pause_seen_outside_ms"):
        assert result.figures[figure].max > 0


@pytest.mark.parametrize("name", ["source-dies-in-migration", "target-dies-in-migration"])
def test_an_end_that_dies_leaves_the_vm_in_one_place(site: SiteStage, name: str) -> None:
    run(name, site, Choices(runs=1))
