"""Some hundred random worlds end well; `make swarm SEED=7` plays one, or more with SEEDS=.

covers: H6 H9 H20
"""

import os

import pytest

from tests.simulation.swarm import Swarm

FIRST = int(os.environ.get("SEED") or 0)
WORLDS = int(os.environ.get("SEEDS") or (1 if os.environ.get("SEED") else 300))
GROUPS = min(WORLDS, 10)


FAST_GROUPS = 1  # Of `make check`.


@pytest.mark.parametrize(
    "group",
    [
        pytest.param(group, marks=[pytest.mark.slow] if group >= FAST_GROUPS else [])
        for group in range(GROUPS)
    ],
)
def test_random_worlds_end_well(group: int) -> None:
    for seed in range(FIRST + group, FIRST + WORLDS, GROUPS):
        try:
            Swarm(seed).run()
        except AssertionError as failure:
            raise AssertionError(f"seed {seed} (make swarm SEED={seed}): {failure}") from None


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
