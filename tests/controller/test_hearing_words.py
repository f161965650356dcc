"""What the ear process says becomes a fact."""

from typing import Any

import pytest

from holdfast.controller.ear_words import read_observation
from holdfast.controller.hearing import Hearing
from holdfast.facts import hearing as heard
from holdfast.facts.hearing import Layer, LayerState, Plan
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.settings import Settings
from holdfast.ports import clock


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
        ({"is": "dump", "host": "h"}, heard.DumpSeen(at=Instant(7), host="h")),
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


@pytest.mark.parametrize(
    ("boot", "passed_on"),
    [
        ("b1", []),  # It was heard again: that was no silence.
        ("b2", [("PlaneHeard", "b2")]),  # It was booted: that must not be missed.
    ],
)
def test_what_ends_a_silence_that_a_slow_controller_held(
    boot: str, passed_on: list[tuple[str, str]]
) -> None:
    seen: list[heard.Hearing] = []
    hearing = Hearing(Settings(), seen.append)
    now = clock.now()
    old = now - 30_000 * NS_PER_MS
    told: dict[str, Any] = {"host": "h1", "plane": "a"}
    silent = {"is": "silent", "at": old, "boot": "b1", "last": old, "missed": 4, "other": old}
    hearing._heard({**told, **silent})
    hearing._heard({**told, "is": "heard", "at": now - 400 * NS_PER_MS, "boot": boot})
    hearing._heard({"is": "tick", "at": clock.now()})
    planes = [one for one in seen if isinstance(one, heard.PlaneHeard | heard.PlaneSilent)]
    assert [(type(one).__name__, one.boot) for one in planes] == passed_on
