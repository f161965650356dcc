"""The laws of the ladder hold for any order of inputs, and random orders reach what they forbid.

covers: H1
"""

import random

import pytest

from holdfast.facts.commands import Armed, Restarted
from holdfast.facts.verdicts import Certainty, Effect
from tests.policy.ladder_scene import LadderScene, at, cleared, disarmed, raised

STEPS_MS = (1, 20, 300, 1_000, 4_000, 30_000)
NAMES = ("nova", "libvirt")


def play(seed: int, steps: int = 80) -> LadderScene:
    """A random hour of two processes, one of which needs the other."""
    rng, scene, ms = random.Random(seed), LadderScene(), 10.0
    for _ in range(steps):
        ms += rng.choice(STEPS_MS)
        scene.advance(ms)
        name = rng.choice(NAMES)
        match rng.randrange(9):
            case 0 | 1:
                effect = rng.choice((Effect.GONE, Effect.STUCK))
                certainty = rng.choice((Certainty.CERTAIN, Certainty.SUSPECTED))
                scene.step(raised(ms, name, effect, certainty))
            case 2:
                scene.step(cleared(ms, name, was_wrong=rng.random() < 0.1))
            case 3 | 4 | 5 if scene.orders:
                order = rng.choice(scene.orders[-3:])
                scene.orders.append(order)  # It may be a late word, of an earlier order.
                if rng.random() < 0.6:
                    scene.done(ms)
                else:
                    scene.failed(ms, overran=rng.random() < 0.3)
                scene.orders.remove(order)
            case 6 if rng.random() < 0.3:
                scene.step(disarmed(ms, ms + rng.choice(STEPS_MS)))
            case 7 if rng.random() < 0.3:
                scene.step(Armed(at=at(ms), by="ann"))
            case 8 if rng.random() < 0.2:
                scene.step(Restarted(at=at(ms)))
            case _:
                pass
    scene.advance(ms + 300_000)
    return scene


@pytest.mark.parametrize("part", range(4))
def test_the_laws_hold_for_any_order_of_inputs(part: int) -> None:
    for seed in range(part * 50, part * 50 + 50):
        play(seed)


def test_random_orders_reach_what_the_laws_forbid() -> None:
    """Laws that nothing tempts prove nothing."""
    orders, words = 0, ""
    for seed in range(60):
        scene = play(seed)
        orders += len(scene.orders)
        words += "".join(scene.said)
    assert orders > 100
    for word in (
        *("mended here", "came back by itself", "no step is left", "is mended first"),
        *("disarmed recovery", "within the last hour", "could not be mended", "not verified"),
    ):
        assert word in words, word


def test_a_journal_gives_the_same_steps_again() -> None:
    assert play(7).said == play(7).said
