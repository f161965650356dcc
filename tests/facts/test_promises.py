"""What a person may ask for: how long a disarm lasts, and the numbers of a group."""

import math

import msgspec
import pytest

from holdfast.facts.promises import (
    DISARM_S,
    Admission,
    Group,
    Owner,
    Spread,
    disarm_seconds,
    group_problem,
)


@pytest.mark.parametrize("value", [0, -1, 86_401, math.nan, math.inf, [1], {}, True, "soon", b"60"])
def test_a_disarm_of_another_length_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="1 s to 24 h"):
        disarm_seconds(value)


def test_a_disarm_lasts_as_long_as_said() -> None:
    assert disarm_seconds(None) == disarm_seconds("") == DISARM_S
    assert disarm_seconds("90") == disarm_seconds(90.0) == 90


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({}, ""),
        ({"level": 3, "restarts": 0, "restarts_window_s": 604_800}, ""),
        ({"restarts": -1}, "restarts must be from 0 to 1000, not -1"),
        ({"level": 4}, "level must be from 1 to 3, not 4"),
        ({"level": True}, "level must be from 1 to 3, not True"),
        ({"priority": -101}, "priority must be from -100 to 100, not -101"),
        ({"restarts_window_s": "60"}, "restarts_window_s must be from 1 to 604800, not '60'"),
    ],
)
def test_a_number_of_a_group_that_does_not_fit_is_named(
    values: dict[str, object], problem: str
) -> None:
    assert group_problem(values) == problem


class GroupOfTheVersionBefore(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    owner: Owner = Owner.HOLDFAST
    level: int = 3
    restarts: int = 5
    restarts_window_s: int = 600
    dump: bool = False


def test_versions_side_by_side_read_each_others_groups() -> None:
    """An agent of the version before is told of a group, and a store was written by it."""
    group = Group(name="a", level=1, priority=5, spread=Spread.RACK, admit=Admission.REFUSE)
    before = GroupOfTheVersionBefore(name="a", level=1)
    assert msgspec.json.decode(msgspec.json.encode(group), type=type(before)) == before
    assert msgspec.convert(msgspec.to_builtins(group), type(before)) == before
    assert msgspec.json.decode(msgspec.json.encode(before), type=Group) == Group(name="a", level=1)
