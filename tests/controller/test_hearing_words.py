"""What the ear process says becomes a fact."""

from typing import Any

import pytest

from holdfast.controller.hearing import read_observation
from holdfast.facts import hearing as heard
from holdfast.facts.hearing import Layer, LayerState, Plan
from holdfast.facts.instants import Instant


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        (
            {"is": "crossed", "host": "h", "boots": ["x", "y"], "senders": ["1", "2"]},
            heard.BootsCrossed(at=Instant(7), host="h", boots=("x", "y"), senders=("1", "2")),
        ),
        (
            {"is": "gasp", "host": "h", "text": "Kernel panic"},
            heard.LastGasp(at=Instant(7), host="h", text="Kernel panic"),
        ),
        (
            {
                "is": "said",
                "host": "h",
                "boot": "x",
                "plan": "host-stops",
                "limit_ms": 9,
                "layers": {"agent": "stale"},
            },
            heard.PulseSaid(
                at=Instant(7),
                host="h",
                boot="x",
                layers={Layer.AGENT: LayerState.STALE},
                plan=Plan.HOST_STOPS,
                plan_limit_ms=9,
            ),
        ),
        ({"is": "new"}, None),
    ],
)
def test_what_the_ear_says_becomes_a_fact(said: dict[str, Any], seen: heard.Hearing | None) -> None:
    assert read_observation(said, Instant(7)) == seen
