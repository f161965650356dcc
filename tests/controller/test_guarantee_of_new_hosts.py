"""What could be lost is reckoned anew as soon as a host came or went."""

from tests.controller.test_guaranteeing import by_hand, made, run
from tests.policy.fence_scene import FenceScene


def test_a_host_that_came_counts_at_once() -> None:
    async def work() -> None:
        scene = FenceScene(hosts=2)
        with by_hand():
            guarantees = made(scene)
            away = scene.world.hosts.pop("h2")  # As for a leader that has not heard of it yet.
            assert (await guarantees.newest()).hosts == 1
            scene.world.hosts["h2"] = away
            assert (await guarantees.newest()).hosts == 2

    run(work)
