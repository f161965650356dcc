"""Drills in which hosts are fenced and VMs live elsewhere, for real, on one site of five hosts.

covers: H7 H9
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from holdfast.lab.drills.director import SiteDrill
from holdfast.lab.drills.figures import Result, Spread
from holdfast.lab.drills.leaders_die import ControllersAllLost
from holdfast.lab.drills.scene import Choices
from holdfast.lab.drills.site_stage import SiteStage
from tests.lab.drilling import drill_of, must_pass, site_of

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(420)]
HOSTS = 5
# Loose: the machine may be busy with other tests. Only figures of `make bench` say how fast it is.
SECOND_MS = 1_000


@pytest.fixture(scope="module")
def site() -> Iterator[SiteStage]:
    with site_of(HOSTS, "recover") as stage:
        yield stage


def run(name: str, site: SiteStage) -> Result:
    return perform(drill_of(name), site)


def perform(drill: SiteDrill, site: SiteStage) -> Result:
    """Once: `make bench` repeats them."""
    result = must_pass(drill, site, Choices(runs=1, vms=1))
    assert (result.ran_twice, result.vms_stopped) == (0, 0)
    return result


@pytest.mark.parametrize("name", ["host-power-cut", "host-frozen", "host-cut-off"])
def test_the_vms_of_a_lost_host_live_elsewhere(site: SiteStage, name: str) -> None:
    result = run(name, site)
    assert isinstance(result.fault_to_vim_ms, Spread)
    assert result.fault_to_vim_ms.max < SECOND_MS
    assert isinstance(result.confirmed_ms, Spread)
    assert isinstance(result.fault_to_answering_ms, Spread)
    assert isinstance(result.figures["fence_agent_ms"], Spread)


@pytest.mark.parametrize("name", ["fencer-broken", "bmc-gone-with-host"])
def test_nothing_starts_without_a_proof(site: SiteStage, name: str) -> None:
    assert run(name, site).confirmed_ms is not None


def test_a_host_that_returns_starts_nothing_and_is_one_of_the_site_again(site: SiteStage) -> None:
    assert run("host-returns", site).fault_to_answering_ms is not None


def test_more_hosts_than_die_at_once_are_left_alone(site: SiteStage) -> None:
    assert run("too-many-hosts-lost", site).fault_to_answering_ms is not None


def test_a_leader_that_dies_leaves_each_vm_in_one_place(site: SiteStage) -> None:
    assert run("leader-dies-in-recovery", site).figures["starts_of_each_vm"] == [1]


def test_nobody_is_hurt_while_all_controllers_are_lost(site: SiteStage) -> None:
    drill = drill_of("controllers-all-lost")
    assert isinstance(drill, ControllersAllLost)
    perform(replace(drill, away_s=15.0), site)
