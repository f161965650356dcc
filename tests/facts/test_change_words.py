"""Changes read as acts in the audit, and none is left without words."""

from typing import Any

import pytest

from holdfast.controller.questions import CHANGES
from holdfast.facts.change_words import known_changes, said


@pytest.mark.parametrize(
    ("what", "args", "words"),
    [
        (
            "join-new",
            {"controller": True, "for_s": 3600},
            "make a token for a controller to join, for 1 h",
        ),
        (
            "api-token-create",
            {"name": "noc", "role": "see", "seconds": 7_776_000.0},
            "make the API token noc with the role see, for 90 days",
        ),
        (
            "acknowledge",
            {"key": "3379064c/12f3b4c3-2ffa88d6:host-lost"},
            "say that the alarm host-lost was seen",
        ),
        (
            "disarm",
            {"reason": "disk swap", "seconds": 5_400},
            "switch recovery off, for 90 min (disk swap)",
        ),
        (
            "certificate-revoke",
            {"name": "h4", "reason": "gone"},
            "put h4 out of the site (gone)",
        ),
        ("of-a-later-version", {"a": 1}, "of-a-later-version (a 1)"),
    ],
)
def test_a_change_is_told_as_an_act(what: str, args: dict[str, Any], words: str) -> None:
    assert said(what, args) == words


def test_every_change_has_words() -> None:
    assert known_changes() == CHANGES
