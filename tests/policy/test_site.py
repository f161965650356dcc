"""What is said of hosts, step by step; the laws are checked at each.

covers: H5 H7
"""

import msgspec

from holdfast.facts import site as told
from holdfast.facts.alarms import Alarm
from holdfast.policy import timing
from holdfast.policy.host_states import HostState
from tests.policy.site_scene import SiteScene, at


def test_a_lost_host_and_its_vms_are_reported_at_once_with_one_root() -> None:
    scene = SiteScene()
    assert scene.wrong("h1", "host-lost") == [
        "+ host-lost h1",
        "+ vm-on-lost-host web1 < host-lost",
        "incident of h1 open",
        "ask h1",
    ]
    assert scene.world.hosts["h1"].state is HostState.LOST


def test_heard_in_the_same_boot_all_of_it_is_retracted() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    assert scene.right("h1", "host-lost", was_wrong=True) == [
        "- host-lost h1",
        "- vm-on-lost-host web1 < host-lost",
        "incident of h1 closed",
    ]
    assert scene.heard("h1") == []
    assert scene.world.hosts["h1"].state is HostState.SERVING
    [text] = {a.text for a in scene.world.reported.values()}
    assert text == "retracted: h1 is well"


def test_heard_in_a_new_boot_it_is_over_and_its_vms_are_its_agents_again() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    scene.right("h1", "host-lost")
    scene.heard("h1", boot=2)
    assert scene.open() == []
    assert scene.world.hosts["h1"].vms == ()
    scene.vms("h1", "web1", boot=2)
    assert scene.wrong("h1", "host-lost", boot=2)[:2] == [
        "+ host-lost h1",
        "+ vm-on-lost-host web1 < host-lost",
    ]


def test_what_is_known_better_takes_the_place_of_what_was_said() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    assert scene.wrong("h1", "host-frozen") == [
        "+ host-frozen h1",
        "~ vm-on-lost-host web1 < host-frozen",
        "- host-lost h1",
        "incident of h1 open",
    ]
    assert scene.right("h1", "host-lost") == [], "it was replaced already"
    assert scene.world.hosts["h1"].state is HostState.STUCK


def test_a_host_that_is_only_cut_off_keeps_its_vms() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    scene.wrong("h1", "host-cut-off")
    assert scene.right("h1", "host-lost", was_wrong=True) == [
        "- host-lost h1",
        "- vm-on-lost-host web1 < host-lost",
        "incident of h1 open, needs a person",
    ]
    assert scene.open() == ["host-cut-off h1"]
    assert scene.world.hosts["h1"].state is HostState.IMPAIRED
    assert scene.right("h1", "host-cut-off") == ["- host-cut-off h1", "incident of h1 closed"]


def test_what_was_wrong_before_hangs_below_the_loss() -> None:
    scene = SiteScene()
    scene.wrong("h1", "agent-away")
    scene.ms += 100
    assert "~ agent-away h1 < host-lost" in scene.wrong("h1", "host-lost")
    scene.right("h1", "host-lost", was_wrong=True)
    assert scene.open() == ["agent-away h1"]
    assert scene.world.hosts["h1"].state is HostState.IMPAIRED


def test_hosts_of_one_rack_lost_together_are_one_alarm() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    scene.ms += 50
    assert scene.wrong("h2", "host-lost") == [
        "+ racks-lost rack/A",
        "+ host-lost h2 < racks-lost",
        "+ vm-on-lost-host web2 < host-lost",
        "~ host-lost h1 < racks-lost",
        "incident of h1 open",
        "ask h2",
    ]
    assert scene.world.hosts["h1"].incident == scene.world.hosts["h2"].incident
    scene.right("h1", "host-lost", was_wrong=True)
    assert "racks-lost rack/A" in scene.open()
    assert "incident of h1 closed" in scene.right("h2", "host-lost", was_wrong=True)
    assert scene.open() == []


def test_hosts_of_other_racks_or_lost_later_are_their_own() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    scene.ms += 50
    assert scene.wrong("h3", "host-lost")[0] == "+ host-lost h3"
    scene.ms += timing.TOGETHER_LOST_MS
    assert scene.wrong("h2", "host-lost")[0] == "+ host-lost h2"


def test_a_planned_stop_is_said_and_its_silence_is_not() -> None:
    scene = SiteScene()
    assert scene.wrong("h1", "host-stopping") == ["+ host-stopping h1"]
    assert scene.wrong("h1", "agent-away") == []
    assert scene.wrong("h1", "host-lost") == []
    assert scene.right("h1", "host-stopping") == ["- host-stopping h1"]
    scene.heard("h1", boot=2)
    assert scene.wrong("h1", "host-lost", boot=2)[0] == "+ host-lost h1"


def test_a_person_hears_of_what_stands_and_may_settle_it() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    assert "incident of h1 open, needs a person" in scene.wait(timing.PAGE_AFTER_MS)
    assert scene.settle(scene.world.hosts["h1"].incident) == [
        "- host-lost h1",
        "- vm-on-lost-host web1 < host-lost",
        "incident of h1 closed",
    ]
    assert scene.world.hosts["h1"].state is HostState.SETTLED
    assert scene.wrong("h1", "host-frozen") == [], "that is known to be dealt with"
    scene.heard("h1", boot=2)
    assert scene.wrong("h1", "host-lost", boot=2)[0] == "+ host-lost h1"


def test_witnesses_are_asked_less_and_less_often() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    asked = [line for line in scene.wait(180_000) if line == "ask h1"]
    assert 5 <= len(asked) <= 8


def test_vms_told_after_the_loss_are_reported_too() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    assert scene.vms("h1", "web1", "db") == ["+ vm-on-lost-host db < host-lost"]


def test_the_controllers_own_alarms_need_no_leader() -> None:
    scene = SiteScene(leads=False)
    assert scene.wrong("h1", "controller-cut-off") == ["+ controller-cut-off controller"]
    assert scene.right("h1", "controller-cut-off") == ["- controller-cut-off controller"]


def test_a_host_that_leaves_takes_its_alarms_along() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    said = scene.give(told.HostLeft(at=at(1), host="h1"))
    assert said[:2] == ["- host-lost h1", "- vm-on-lost-host web1 < host-lost"]
    assert "h1" not in scene.world.hosts


# Several controllers.


def lost_by(leader: SiteScene) -> list[Alarm]:
    leader.wrong("h1", "host-lost")
    return list(leader.world.reported.values())


def test_who_does_not_lead_reports_when_nobody_else_did() -> None:
    scene = SiteScene(leads=False)
    assert [x for x in scene.wrong("h1", "host-lost") if x[0] in "+~-"] == []
    assert scene.wait(timing.SHARE_WAIT_MS - 1) == []
    assert scene.wait(2) == ["+ host-lost h1", "+ vm-on-lost-host web1 < host-lost"]


def test_who_does_not_lead_says_nothing_that_was_said() -> None:
    scene = SiteScene(leads=False)
    scene.wrong("h1", "host-lost")
    for alarm in lost_by(SiteScene(name="c2")):
        scene.share(alarm)
    said = scene.wait(timing.SHARE_WAIT_MS * 2)
    assert said == []
    assert scene.right("h1", "host-lost") == ["incident of h1 closed"], "the leader clears it"
    assert scene.open() == ["host-lost h1", "vm-on-lost-host web1"]


def test_what_it_said_alone_it_takes_back_itself() -> None:
    scene = SiteScene(leads=False)
    scene.wrong("h1", "host-cut-off")
    assert scene.wait(timing.SHARE_WAIT_MS + 1) == ["+ host-cut-off h1"]
    assert scene.right("h1", "host-cut-off")[0] == "- host-cut-off h1"


def test_a_new_leader_goes_on_where_the_old_one_stopped() -> None:
    scene = SiteScene(leads=False)
    scene.wrong("h1", "host-lost")
    for alarm in lost_by(SiteScene(name="c2")):
        scene.share(alarm)
    assert scene.lead(2) == [], "it is said already"
    assert scene.right("h1", "host-lost", was_wrong=True)[:2] == [
        "- host-lost h1",
        "- vm-on-lost-host web1 < host-lost",
    ]
    assert scene.world.reported["h1/h1b1:host-lost"].revision == 2


def test_a_new_leader_ends_what_is_over_when_it_has_listened() -> None:
    scene = SiteScene(leads=False)
    for alarm in lost_by(SiteScene(name="c2")):
        scene.share(alarm)
    scene.lead(2)
    assert scene.wait(timing.TAKE_OVER_MS - 1) == []
    assert scene.wait(2) == ["- host-lost h1", "- vm-on-lost-host web1 < host-lost"]


def test_a_restart_forgets_nothing_that_was_said() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    scene.reborn()
    said = scene.give(told.SiteBegan(at=at(1_000), controller="c1", boot="cb1"))
    assert said == ["+ host-lost h1", "+ vm-on-lost-host web1 < host-lost"], "should it be lost"
    scene.lead(2)
    assert scene.right("h1", "host-lost", was_wrong=True)[0] == "- host-lost h1"


def test_after_a_boot_of_its_own_host_it_listens_before_it_ends_anything() -> None:
    scene = SiteScene()
    scene.ms = 50_000
    scene.wrong("h1", "host-lost")
    scene.wrong("h3", "host-lost")
    scene.reborn()
    scene.ms = 500
    scene.give(told.SiteBegan(at=at(500), controller="c1", boot="cb2"))
    scene.lead(2)
    scene.heard("h1")
    scene.ms = 10_500
    scene.wrong("h3", "host-lost")
    scene.wait(timing.TAKE_OVER_MS)
    assert scene.open() == ["host-lost h3", "vm-on-lost-host web3"]


def test_a_snapshot_holds_the_whole_world() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-lost")
    scene.ms += 20
    scene.wrong("h2", "host-lost")
    before = scene.world
    scene.reborn()
    assert msgspec.to_builtins(scene.world) == msgspec.to_builtins(before)


def test_what_a_restarted_controller_does_not_find_anew_is_over() -> None:
    scene = SiteScene()
    scene.wrong("h1", "controller-cut-off")
    scene.wrong("h2", "agent-away")
    scene.wrong("h3", "host-plane-lost")
    scene.reborn()
    said = scene.give(told.SiteBegan(at=at(scene.ms), controller="c1", boot="cb1"))
    assert "- controller-cut-off controller" in said
    scene.lead(2)
    scene.wrong("h3", "host-plane-lost")
    assert scene.wait(timing.TAKE_OVER_MS + 1) == ["- agent-away h2", "incident of h2 closed"]
    assert scene.open() == ["host-plane-lost h3"]


def test_a_host_that_was_stopping_before_a_restart_is_still_expected_to_be_silent() -> None:
    scene = SiteScene()
    scene.wrong("h1", "host-stopping")
    scene.reborn()
    scene.give(told.SiteBegan(at=at(1_000), controller="c1", boot="cb1"))
    scene.lead(2)
    scene.wait(10_000)
    assert scene.wrong("h1", "host-lost") == []
    scene.wait(timing.TAKE_OVER_MS)
    assert scene.open() == ["host-stopping h1"]
    assert scene.heard("h1") == ["- host-stopping h1"], "it goes on after all"


def test_what_another_has_just_cleared_is_not_raised_at_once() -> None:
    scene, other = SiteScene(leads=False, name="c1"), SiteScene(leads=False, name="c2")
    scene.wrong("h1", "host-lost")
    other.wrong("h1", "host-lost")
    other.wait(timing.SHARE_WAIT_MS + 1)
    for alarm in list(other.world.reported.values()):
        scene.share(alarm)
    assert scene.lead(1) == []
    other.right("h1", "host-lost", was_wrong=True)
    for alarm in list(other.world.reported.values()):
        assert scene.share(alarm) == []
    assert scene.wait(timing.SHARE_WAIT_MS - 1) == []
    assert scene.right("h1", "host-lost", was_wrong=True) == ["incident of h1 closed"]
    assert scene.open() == []


def test_what_another_has_cleared_and_the_leader_still_finds_is_raised_again() -> None:
    scene, other = SiteScene(leads=False, name="c1"), SiteScene(leads=False, name="c2")
    scene.wrong("h1", "host-lost")
    other.wrong("h1", "host-lost")
    other.wait(timing.SHARE_WAIT_MS + 1)
    for alarm in list(other.world.reported.values()):
        scene.share(alarm)
    scene.lead(1)
    other.right("h1", "host-lost", was_wrong=True)
    for alarm in list(other.world.reported.values()):
        scene.share(alarm)
    assert scene.wait(timing.SHARE_WAIT_MS + 1) == [
        "+ host-lost h1",
        "+ vm-on-lost-host web1 < host-lost",
    ]


def test_a_leader_leaves_to_another_what_only_that_one_believes() -> None:
    leader, other = SiteScene(name="c1"), SiteScene(leads=False, name="c2")
    other.wrong("h1", "host-cut-off")
    other.wait(timing.SHARE_WAIT_MS + 1)
    for alarm in list(other.world.reported.values()):
        assert leader.share(alarm) == []
    assert leader.open() == ["host-cut-off h1"]
    assert leader.wait(timing.TAKE_OVER_MS * 2) == []


def test_a_new_boot_ends_whatever_was_said_of_the_one_before() -> None:
    leader, other = SiteScene(name="c1"), SiteScene(leads=False, name="c2")
    other.wrong("h1", "host-lost")
    other.wait(timing.SHARE_WAIT_MS + 1)
    for alarm in list(other.world.reported.values()):
        leader.share(alarm)
    assert leader.heard("h1", boot=2) == ["- host-lost h1", "- vm-on-lost-host web1 < host-lost"]
