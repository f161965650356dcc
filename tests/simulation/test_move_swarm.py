"""Random sites whose VMs move and whose hosts are drained end well, and rogues there are found.

As in test_fence_swarm.py: `make swarm SEED=7` plays one of these, too.

covers: H2 H9
"""

import os

import pytest

from tests.simulation.move_mutants import MUTANTS
from tests.simulation.move_swarm import MoveSwarm
from tests.simulation.site_mutants import Mutant

FIRST = int(os.environ.get("SEED") or 0)
WORLDS = int(os.environ.get("SEEDS") or (1 if os.environ.get("SEED") else 6))
GROUPS = min(WORLDS, 6)
MUTANT_WORLDS = 12


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_random_sites_with_moves_end_well(group: int) -> None:
    for seed in range(FIRST + group, FIRST + WORLDS, GROUPS):
        try:
            MoveSwarm(seed).run()
        except AssertionError as failure:
            raise AssertionError(f"seed {seed} (make swarm SEED={seed}): {failure}") from None


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_site_that_breaks_a_law_of_moves_is_found(mutant: Mutant) -> None:
    for seed in range(MUTANT_WORLDS):
        try:
            MoveSwarm(seed, trouble=mutant.trouble, **mutant.parts).run(turns=6)
        except AssertionError as failure:
            if mutant.law in str(failure).partition("\nafter this story")[0]:
                return
    raise AssertionError(f"{MUTANT_WORLDS} random sites did not show that {mutant.name}")
