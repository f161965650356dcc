"""Some hundred random worlds end well; `make swarm SEED=7` plays one, or more with SEEDS=.

covers: H6 H9 H20
"""

import pytest

from tests.simulation.seeds import Seeds
from tests.simulation.swarm import Swarm

SEEDS = Seeds(300, groups=10)


FAST_GROUPS = 1  # Of `make check`.


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(group, marks=[pytest.mark.slow] if group >= FAST_GROUPS else [])
        for group in SEEDS.groups
    ],
)
def test_random_worlds_end_well(group: int) -> None:
    SEEDS.play(Swarm, group)


def test_a_world_is_the_same_each_time() -> None:
    first, second = Swarm(3), Swarm(3)
    first.run()
    second.run()
    assert first.script == second.script
    assert first.stage.executor.reported == second.stage.executor.reported


@pytest.mark.slow
def test_random_worlds_are_eventful() -> None:
    """A swarm in which nothing happens proves nothing."""
    swarms = [Swarm(seed) for seed in range(40)]
    for swarm in swarms:
        swarm.run()
    assert sum(swarm.stage.lawful.restarts for swarm in swarms) > 20
    assert sum(swarm.stage.lawful.ends for swarm in swarms) > 5
    assert sum(len(swarm.failures) for swarm in swarms) > 40
