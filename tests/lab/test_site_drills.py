"""Every drill on a site runs for real, on five hosts with three controllers and etcd."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from holdfast.lab.drills.director import SiteDrill
from holdfast.lab.drills.figures import Result, Spread
from holdfast.lab.drills.quiet import Quiet
from holdfast.lab.drills.scene import Choices
from holdfast.lab.drills.site_stage import SiteStage
from tests.lab.drilling import drill_of, must_pass, site_of

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(180)]
HOSTS = 5
# Loose: the machine may be busy with other tests. Only figures of `make bench` say how fast it is.
SECOND_MS = 1_000


@pytest.fixture(scope="module")
def site() -> Iterator[SiteStage]:
    with site_of(HOSTS, "site") as stage:
        yield stage


def run(name: str, site: SiteStage, runs: int = 1, vms: int | None = None) -> Result:
    return run_drill(drill_of(name), site, runs, vms)


def run_drill(drill: SiteDrill, site: SiteStage, runs: int, vms: int | None = None) -> Result:
    return must_pass(drill, site, Choices(runs=runs, vms=vms))


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("one-plane-lost", 2),
        ("agent-killed", 1),
        ("leader-killed", 1),
        ("leader-and-host-killed", 1),
    ],
)
def test_what_is_broken_is_told_by_its_name(site: SiteStage, name: str, runs: int) -> None:
    result = run(name, site, runs)
    assert isinstance(result.fault_to_vim_ms, Spread)
    assert result.fault_to_vim_ms.max < SECOND_MS


def test_planned_restarts_are_silent(site: SiteStage) -> None:
    run("agent-restarted", site)


def test_bad_days_without_a_fault_confirm_nothing(site: SiteStage) -> None:
    drill = drill_of("quiet")
    assert isinstance(drill, Quiet)
    result = run_drill(replace(drill, minute_s=15.0), site, 1)
    assert all(goal.is_met for goal in result.goals), result.notes


def test_every_vm_of_a_lost_host_is_told(site: SiteStage) -> None:
    result = run("storm", site, vms=10)
    assert result.fault_to_vim_ms is not None
    assert result.fault_to_vim_ms.max < SECOND_MS
