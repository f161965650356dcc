"""What a person settled with the leader is settled with every controller, and nothing beside it.

covers: H5 H7
"""

import pytest

from holdfast.facts.alarms import AlarmState
from holdfast.policy import timing
from holdfast.policy.host_states import HostState
from tests.policy.site_scene import SiteScene


def share_all(one: SiteScene, other: SiteScene) -> None:
    for alarm in list(one.world.reported.values()):
        other.share(alarm)


def test_what_a_person_settled_with_the_leader_is_settled_everywhere() -> None:
    leader, other = SiteScene(name="c2"), SiteScene(leads=False)
    other.wrong("h1", "host-lost")
    leader.wrong("h1", "host-lost")
    share_all(leader, other)
    leader.settle(leader.world.hosts["h1"].incident)
    for alarm in list(leader.world.reported.values()):
        assert alarm.state is AlarmState.CLEARED
        other.share(alarm)
    assert other.world.hosts["h1"].state is HostState.SETTLED
    assert other.lead(2) == []


@pytest.mark.parametrize(
    "conditions",
    [
        ("host-plane-lost",),
        ("agent-away",),
        ("agent-away", "host-plane-lost"),
        ("agent-away", "host-stopping"),
    ],
    ids=", ".join,
)
def test_what_a_person_settled_of_a_host_that_lives_is_settled_everywhere(
    conditions: tuple[str, ...],
) -> None:
    leader, other = SiteScene(name="c2"), SiteScene(leads=False)
    for condition in conditions:
        for scene in (leader, other):
            scene.wrong("h1", condition)
    share_all(leader, other)
    leader.settle(leader.world.hosts["h1"].incident)
    share_all(leader, other)
    for scene in (leader, other):
        record = scene.world.hosts["h1"]
        assert (record.faults, record.incident) == ({}, "")
    assert other.world.hosts["h1"].state is leader.world.hosts["h1"].state
    leader.lead(0)
    assert other.lead(2) == []
    assert other.wait(2 * timing.TAKE_OVER_MS) == []


def test_what_was_not_settled_stays_when_a_person_settled_something_else() -> None:
    leader, other = SiteScene(name="c2"), SiteScene(leads=False)
    leader.wrong("h1", "host-cut-off")
    other.wrong("h1", "host-lost")
    share_all(leader, other)
    leader.settle(leader.world.hosts["h1"].incident)
    share_all(leader, other)
    assert other.world.hosts["h1"].state is HostState.LOST, "that person knew that it lives"
    other.lead(2)
    assert "+ host-lost h1" in other.wait(timing.SHARE_WAIT_MS)


def test_what_was_settled_of_an_earlier_boot_settles_nothing_of_this_one() -> None:
    leader, other = SiteScene(name="c2"), SiteScene(leads=False)
    leader.wrong("h1", "host-lost")
    leader.settle(leader.world.hosts["h1"].incident)
    other.heard("h1", boot=2)
    for condition in ("agent-away", "host-lost"):
        other.wrong("h1", condition, boot=2)
    share_all(leader, other)
    assert other.world.hosts["h1"].state is HostState.LOST
    other.lead(2)
    assert "+ host-lost h1" in other.wait(timing.SHARE_WAIT_MS)
