"""Random sites in which VMs rely on leases end well.

covers: H9
"""

import os

import pytest

from tests.simulation.lease_swarm import LeaseSwarm

FIRST = int(os.environ.get("SEED") or 0)
WORLDS = int(os.environ.get("SEEDS") or (1 if os.environ.get("SEED") else 3))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FIRST, FIRST + WORLDS))
def test_random_sites_with_leases_end_well(seed: int) -> None:
    try:
        LeaseSwarm(seed).run()
    except AssertionError as failure:
        raise AssertionError(f"seed {seed}: {failure}") from None
