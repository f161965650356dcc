"""Random sites with BMCs and promises end well, and rogue controllers there are found.

As in test_site_swarm.py: `make swarm SEED=7` plays one of these, too.

covers: H9
"""

import os

import pytest

from tests.simulation.fence_mutants import MUTANTS
from tests.simulation.fence_swarm import FenceSwarm
from tests.simulation.rebuild_swarm import RebuildSwarm
from tests.simulation.site_mutants import Mutant

FIRST = int(os.environ.get("SEED") or 0)
WORLDS = int(os.environ.get("SEEDS") or (1 if os.environ.get("SEED") else 6))
GROUPS = min(WORLDS, 6)
MUTANT_WORLDS = 12


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_random_sites_with_fencing_end_well(group: int) -> None:
    for seed in range(FIRST + group, FIRST + WORLDS, GROUPS):
        try:
            FenceSwarm(seed).run()
        except AssertionError as failure:
            raise AssertionError(f"seed {seed} (make swarm SEED={seed}): {failure}") from None


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_random_sites_with_disks_of_one_host_end_well(group: int) -> None:
    for seed in range(FIRST + group, FIRST + WORLDS, GROUPS):
        RebuildSwarm(seed).run()


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_site_that_breaks_a_law_of_fencing_is_found(mutant: Mutant) -> None:
    for seed in range(MUTANT_WORLDS):
        try:
            FenceSwarm(seed, trouble=mutant.trouble, **mutant.parts).run(turns=6)
        except AssertionError as failure:
            if mutant.law in str(failure).partition("\nafter this story")[0]:
                return
    raise AssertionError(f"{MUTANT_WORLDS} random sites did not show that {mutant.name}")
