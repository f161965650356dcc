"""Random sites in which VMs rely on leases end well.

covers: H9
"""

import pytest

from tests.simulation.lease_swarm import LeaseSwarm
from tests.simulation.seeds import Seeds

SEEDS = Seeds(3, groups=3)


@pytest.mark.slow
@pytest.mark.parametrize("group", SEEDS.groups)
def test_random_sites_with_leases_end_well(group: int) -> None:
    SEEDS.play(LeaseSwarm, group)
