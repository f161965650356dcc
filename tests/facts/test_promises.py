"""What a person may ask for: how long a disarm lasts, and the numbers of a group."""

import math

import pytest

from holdfast.facts.promises import DISARM_S, disarm_seconds, group_problem


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
        ({"restarts_window_s": "60"}, "restarts_window_s must be from 1 to 604800, not '60'"),
    ],
)
def test_a_number_of_a_group_that_does_not_fit_is_named(
    values: dict[str, object], problem: str
) -> None:
    assert group_problem(values) == problem
