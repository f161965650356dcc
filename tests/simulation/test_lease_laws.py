"""Each rule of leases: a site in which one part breaks it is found by the laws, and the real holds.

covers: H9
"""

from collections.abc import Iterable
from typing import Any

import pytest

from tests.simulation import fence_laws
from tests.simulation.lease_mutants import (
    Cruel,
    Eager,
    Hasty,
    Newcomer,
    Pretending,
    Restless,
    Sweeping,
    Trusting,
    leading,
    obeying,
)
from tests.simulation.site_commands import play
from tests.simulation.site_laws import LawBroken
from tests.simulation.site_stage import SiteStage

pytestmark = pytest.mark.slow  # Seconds each: `make test` runs them.

REST_MS = 4_000.0
HOSTS = {"hosts": 4, "controllers": 3}
SITE = (
    "vm web on=h4",
    "vm db on=h4",
    "advance 1 s",
    "group leased lease=on",
    "protect web group=leased",
    "protect db",
    "act h4",
    "advance 4 s",
)
STOPPED = "losing controllers or store stops no VM"
CUT_OFF = ("isolate h4", "advance 60 s")
FROZEN = ("freeze-agent h4", "isolate h4", "advance 60 s")
LED_ANEW = ("isolate h4", "advance 6 s", "kill-controller leader", "advance 20 s")
UNLED = ("kill-controller h1 h2 h3", "advance 40 s")
UNASKED = ("vm app on=h3", "advance 1 s", "protect app", "advance 4 s")
HUNG = ("freeze h4 kernel=dead", "advance 60 s")


def broken(lines: Iterable[str], **parts: Any) -> str:
    """Which law, or empty."""
    stage = SiteStage(at_rest_ms=REST_MS, **HOSTS, **parts)
    try:
        for line in (*SITE, *lines):
            play(stage, line)
    except LawBroken as law:
        return str(law)
    finally:
        stage.end()
    return ""


@pytest.mark.parametrize(
    ("parts", "lines", "law"),
    [
        (leading(Hasty), CUT_OFF, fence_laws.UNPROVEN),
        (leading(Newcomer), LED_ANEW, fence_laws.UNPROVEN),
        (leading(Sweeping), CUT_OFF, fence_laws.UNPROVEN),
        (leading(Trusting), CUT_OFF, fence_laws.UNPROVEN),
        (leading(Eager), UNASKED, fence_laws.UNASKED),
        (obeying(Cruel), UNLED, STOPPED),
        (obeying(Pretending), CUT_OFF, fence_laws.UNPROVEN),
        (obeying(Restless), CUT_OFF, fence_laws.UNPROVEN),
    ],
)
def test_a_part_that_breaks_a_rule_is_found(
    parts: dict[str, Any], lines: tuple[str, ...], law: str
) -> None:
    assert broken(lines, **parts).startswith(law)


@pytest.mark.parametrize("lines", [CUT_OFF, FROZEN, LED_ANEW, UNLED, HUNG])
def test_the_real_parts_break_none(lines: tuple[str, ...]) -> None:
    assert broken(lines) == ""


@pytest.mark.parametrize("lines", [FROZEN, HUNG])
def test_a_watchdog_is_trusted_where_nothing_else_on_the_host_can_be(
    lines: tuple[str, ...],
) -> None:
    """One that says that it runs and never bites makes a proof that is wrong: that is told on the
    operators' page, and is why a device that switches the power off comes first."""
    said = broken(("watchdog h4 broken", *lines))
    assert said.startswith(fence_laws.UNPROVEN)
    assert broken(("watchdog h4 broken", *CUT_OFF)) == ""  # Its agent has ended web.
