"""A lease that runs out, and a watchdog that bites, for real, on one site of five hosts.

covers: H7 H9
"""

from collections.abc import Iterator

import pytest

from holdfast.facts.lease_times import END_MS, LEASE_MS, PROOF_MS, WATCHDOG_MS
from holdfast.lab.drills.figures import Spread
from holdfast.lab.drills.scene import Choices
from holdfast.lab.drills.site_stage import SiteStage
from tests.lab.drilling import drill_of, must_pass, site_of

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(420)]
HOSTS = 5
SLACK_MS = 15_000  # The machine may be busy with other tests.


@pytest.fixture(scope="module")
def site() -> Iterator[SiteStage]:
    with site_of(HOSTS, "lease") as stage:
        yield stage


@pytest.mark.parametrize(
    ("name", "ended_by_ms", "bites"),
    [
        ("lease-runs-out", LEASE_MS + END_MS, 0),
        ("watchdog-bites", LEASE_MS + END_MS + WATCHDOG_MS, 1),
    ],
)
def test_what_relies_on_a_lease_ends_and_then_lives_elsewhere(
    site: SiteStage, name: str, ended_by_ms: int, bites: int
) -> None:
    result = must_pass(drill_of(name), site, Choices(runs=1, vms=1))
    assert (result.ran_twice, result.vms_stopped) == (0, 0)
    assert result.figures["watchdog_bites"] == bites
    ended, proven = result.figures["fault_to_ended_ms"], result.confirmed_ms
    assert isinstance(ended, Spread)
    assert isinstance(proven, Spread)
    assert LEASE_MS - 1_000 < ended.max < ended_by_ms + SLACK_MS
    assert PROOF_MS - 1_000 < proven.max < PROOF_MS + SLACK_MS
    assert isinstance(result.fault_to_answering_ms, Spread)
