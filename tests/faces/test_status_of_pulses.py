"""Status says what the controller's ear hears, what it refused, and what it does without."""

from typing import Any

import pytest

from holdfast.faces.cli.status_view import make_view

PULSES: dict[str, Any] = {
    "is_up": True,
    "is_doubted": False,
    "hosts": 5,
    "shut_out": [],
    "lacks": [],
    "planes": {"a": "10.0.0.1", "b": "10.1.0.1"},
    "refused": {},
}


@pytest.mark.parametrize(
    ("changed", "is_well", "said"),
    [
        ({}, True, "of 5 hosts awaited on plane a, b"),
        ({"is_up": False}, False, "nobody listens: the ear is begun again"),
        (
            {"is_doubted": True, "why": "UDP port 7312 of 10.0.0.1 cannot be used: it is taken"},
            False,
            (
                "nobody listens: UDP port 7312 of 10.0.0.1 cannot be used: it is taken;"
                " the ear is begun again"
            ),
        ),
        ({"is_doubted": True}, False, "the ear was slow: it hears all hosts anew"),
        (
            {"is_doubted": True, "let_in": ["10.0.0.4"]},
            False,
            (
                "the ear was slow: it hears all hosts anew; a flood bears the address of a host"
                " that pulses, and is read: 10.0.0.4"
            ),
        ),
        (
            {"refused": {"wrong key": 3, "repeated": 1, "malformed": 0}},
            True,
            "of 5 hosts awaited on plane a, b; refused: repeated 1, wrong key 3",
        ),
        (
            {"shut_out": ["10.9.9.9"], "lacks": ["real-time priority: Operation not permitted"]},
            True,
            (
                "of 5 hosts awaited on plane a, b; a flood is shut out, from 10.9.9.9;"
                " without real-time priority: Operation not permitted"
            ),
        ),
    ],
)
def test_status_says_what_the_ear_hears(changed: dict[str, Any], is_well: bool, said: str) -> None:
    view = make_view({"pulses": {**PULSES, **changed}}, None)
    [part] = [one for one in view.parts if one.name == "pulses"]
    assert (part.is_well, part.said) == (is_well, said)


def test_a_controller_of_the_version_before_says_nothing_of_pulses() -> None:
    assert [one.name for one in make_view({}, None).parts] == ["controller", "agent"]
