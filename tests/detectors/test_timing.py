"""Detectors may not know policy: what both must agree on is compared here."""

from holdfast.detectors import agent_away, host_plane_lost, host_silent
from holdfast.policy import timing


def test_the_deadlines_of_hosts_are_those_of_policy() -> None:
    assert host_silent.FRESH_MS == timing.FRESH_MS
    assert host_silent.TOGETHER_MS == timing.TOGETHER_MS
    assert host_silent.FRESH_LOOK_MS == timing.FRESH_LOOK_MS
    assert host_silent.NEVER_HEARD_MS == timing.NEVER_HEARD_MS
    assert host_plane_lost.HOLD_MS == timing.PLANE_HOLD_MS
    assert host_plane_lost.NEVER_HEARD_MS == timing.NEVER_HEARD_MS
    assert agent_away.AWAY_MS == timing.AGENT_AWAY_MS
    assert agent_away.STALE_AGAIN_MS == timing.STALE_AGAIN_MS


def test_a_link_has_the_time_to_come_back() -> None:
    """An agent dials for up to five seconds before it tries anew (agent/uplink.py)."""
    assert agent_away.WELL_MS > timing.AGENT_AWAY_MS + 5_000
