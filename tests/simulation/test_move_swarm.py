"""Random sites whose VMs move and whose hosts are drained end well, and rogues there are found.

As in test_fence_swarm.py: `make swarm SEED=7` plays one of these, too.

covers: H2 H9
"""

import pytest

from tests.simulation.move_mutants import MUTANTS
from tests.simulation.move_swarm import MoveSwarm
from tests.simulation.seeds import Seeds, must_be_found
from tests.simulation.site_mutants import Mutant

SEEDS = Seeds(6, groups=6)


@pytest.mark.slow
@pytest.mark.parametrize("group", SEEDS.groups)
def test_random_sites_with_moves_end_well(group: int) -> None:
    SEEDS.play(MoveSwarm, group)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_site_that_breaks_a_law_of_moves_is_found(mutant: Mutant) -> None:
    must_be_found(mutant, MoveSwarm)
