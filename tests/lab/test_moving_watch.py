"""The observer of VMs that move: two that run at once are seen, a guest that changes hosts is not.

covers: H2
"""

from pathlib import Path

import pytest

from holdfast.lab.drills.copies import MOST_GAP_S, RAN_NS, MovingWatch

SOURCE, TARGET = Path("/proc/10"), Path("/proc/20")
LOOK_S = 0.06
RUNS = 2 * RAN_NS


def watch(source: str, target: str, look_s: float = LOOK_S) -> bool:
    """Whether the VM was seen twice. Each look has a letter: `r` where its CPUs ran since the one
    before, `-` where they did not."""
    seen = MovingWatch(["vm"])
    used = {SOURCE: 1, TARGET: 1}
    at_s = 0.0
    seen.judge({"vm": [SOURCE, TARGET]}, used, at_s)
    for one, other in zip(source, target, strict=True):
        at_s += look_s
        used = {
            SOURCE: used[SOURCE] + RUNS * (one == "r"),
            TARGET: used[TARGET] + RUNS * (other == "r"),
        }
        seen.judge({"vm": [SOURCE, TARGET]}, used, at_s)
    return seen.twice == {"vm"}


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("rrrrrr", "------"),
        ("rrrr---", "---rrrr"),  # It changed hosts within a look.
        ("rrrr--", "--rrrr"),  # And the CPUs of its target were made in the look before.
        ("r-r-r-", "-r-r-r"),
    ],
)
def test_one_after_the_other_is_once(source: str, target: str) -> None:
    assert not watch(source, target)


@pytest.mark.parametrize(
    ("source", "target"), [("rrrrrr", "rrrrrr"), ("rrrrr", "--rrr"), ("rrr--", "rrrrr")]
)
def test_both_at_once_are_twice(source: str, target: str) -> None:
    assert watch(source, target)


def test_who_was_kept_from_looking_says_nothing_of_that_time() -> None:
    assert not watch("rrrrrr", "rrrrrr", look_s=2 * MOST_GAP_S)
