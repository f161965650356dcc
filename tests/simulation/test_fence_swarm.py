"""Random sites with BMCs and promises end well, and rogue controllers there are found.

As in test_site_swarm.py: `make swarm SEED=7` plays one of these, too.

covers: H9
"""

import pytest

from tests.simulation.fence_mutants import MUTANTS
from tests.simulation.fence_swarm import FenceSwarm
from tests.simulation.rebuild_swarm import RebuildSwarm
from tests.simulation.seeds import Seeds, must_be_found
from tests.simulation.site_mutants import Mutant

SEEDS = Seeds(6, groups=6)


@pytest.mark.slow
@pytest.mark.parametrize("group", SEEDS.groups)
def test_random_sites_with_fencing_end_well(group: int) -> None:
    SEEDS.play(FenceSwarm, group)


@pytest.mark.slow
@pytest.mark.parametrize("group", SEEDS.groups)
def test_random_sites_with_disks_of_one_host_end_well(group: int) -> None:
    SEEDS.play(RebuildSwarm, group)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_site_that_breaks_a_law_of_fencing_is_found(mutant: Mutant) -> None:
    must_be_found(mutant, FenceSwarm)
