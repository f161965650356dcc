"""A silent host is fenced only with everybody's leave, and its VMs start elsewhere only with proof.

covers: H2 H7 H9
"""

import pytest
from msgspec import structs

from holdfast.facts import site as told
from holdfast.facts.definitions import HostSize, VmNeeds
from holdfast.facts.fencing import FenceStep, HostMode
from holdfast.facts.hearing import Dump
from holdfast.facts.instants import spoken
from holdfast.facts.tenure import Wanted
from holdfast.policy import brakes, timing
from tests.policy.fence_scene import NEEDS, FenceScene


def test_a_dead_host_is_fenced_and_its_vm_starts_elsewhere_once() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.taken("web4")
    target = scene.tenures["web4"].host
    scene.runs(target, "web1" if target == "h1" else "web4", "web4", is_serving=False)
    scene.runs(target, "web4")
    scene.wait(60_000)
    assert scene.did == [
        "put intended of h4 (1)",
        "switch off h4",
        "put off of h4 (1)",
        "put placed of web4 on h1 (2)",
        "start web4 on h1 (2)",
        "put started of web4 on h1 (2)",
        "put answered of web4 on h1 (2)",
    ]


def test_nothing_happens_before_witnesses_were_asked_twice() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(2_900)
    assert scene.did == []
    scene.wait(200)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]


def test_who_is_heard_again_in_time_is_left_alone() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(2_000)
    scene.right("h4", "host-lost", was_wrong=True)
    scene.heard("h4")
    scene.wait(60_000)
    assert scene.did == []


def test_a_host_in_report_mode_is_only_reported() -> None:
    scene = FenceScene()
    scene.mode("h4", HostMode.REPORT)
    scene.wrong("h4", "host-lost")
    scene.wait(600_000)
    assert scene.did == []
    assert "switched off" not in scene.step, "nobody wants it to be"


def test_a_host_that_is_put_back_into_report_mode_is_not_switched_off_any_more() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.mode("h4", HostMode.REPORT)
    scene.not_off("h4")
    scene.wait(60_000)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]


def test_nothing_is_done_while_disarmed_and_it_goes_on_when_armed() -> None:
    scene = FenceScene()
    scene.disarm()
    scene.wrong("h4", "host-lost")
    scene.wait(20_000)
    assert scene.did == []
    assert "ann disarmed recovery" in scene.step
    scene.arm()
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]


def test_a_disarm_after_the_intent_holds_the_power_and_the_starts() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.not_off("h4")
    scene.disarm()
    scene.wait(60_000)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]
    scene.arm()
    scene.off("h4")
    scene.disarm()
    scene.wait(5_000)
    assert "put placed" not in " ".join(scene.did)


def test_too_many_hosts_lost_at_once_are_left_to_a_person() -> None:
    scene = FenceScene(hosts=6)
    scene.wrong("h1", "host-lost")
    scene.wait(1_500)
    scene.wrong("h4", "host-lost")
    scene.wait(60_000)
    assert scene.did == []
    assert "recovery-braked the site" in scene.open_alarms
    assert "2 of 6 hosts" in scene.open_alarms["recovery-braked the site"]
    scene.heard("h1")
    scene.wait(1_000)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]
    assert "recovery-braked the site" not in scene.open_alarms


def test_a_second_host_soon_after_the_first_is_left_to_a_person() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.wait(100_000)
    scene.did.clear()
    scene.wrong("h1", "host-lost")
    scene.wait(60_000)
    assert "put intended of h1 (1)" not in scene.did
    scene.wait(600_000)
    assert "put intended of h1 (1)" in scene.did


def test_hosts_of_a_rack_that_fall_silent_together_are_left_to_a_person() -> None:
    scene = FenceScene(hosts=12)
    scene.wrong("h1", "host-lost")
    scene.wrong("h2", "host-lost")
    scene.wait(60_000)
    assert scene.did == []
    assert "fell silent together" in scene.step


def test_a_controller_in_trouble_switches_nobody_off() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wrong("c1", "controller-cut-off")
    scene.wait(60_000)
    assert scene.did == []


def test_a_controller_that_does_not_lead_does_nothing() -> None:
    scene = FenceScene()
    scene.lead(0)
    scene.wrong("h4", "host-lost")
    scene.wait(60_000)
    assert scene.did == []
    scene.lead(3)
    scene.wait(2_900)
    assert scene.did == []
    scene.wait(200)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]


def test_a_host_that_writes_its_crash_dump_is_waited_for_but_not_for_ever() -> None:
    scene = FenceScene()
    scene.mode("h4", HostMode.ACT, dump_wait_s=60)
    scene.mode("h5", HostMode.ACT, dump_wait_s=60)
    scene.wrong("h4", "host-panicked")
    scene.wait(20_000)
    assert scene.did == []
    assert "its kernel panicked, and has 60 s to write its dump" in scene.step
    scene.wait(40_000)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]


def test_a_dump_that_is_over_is_waited_for_no_longer() -> None:
    scene = FenceScene()
    scene.mode("h4", HostMode.ACT, dump_wait_s=600)
    scene.wrong("h4", "host-panicked", evidence={"dump": Dump.WRITTEN})
    scene.wait(300_000)
    assert scene.did == []
    scene.wrong("h4", "host-panicked", evidence={"dump": Dump.OVER})
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]


def test_a_dump_that_is_being_written_is_not_waited_for_for_ever() -> None:
    scene = FenceScene()
    scene.mode("h4", HostMode.ACT, dump_wait_s=60)
    scene.wrong("h4", "host-panicked", evidence={"dump": Dump.WRITTEN})
    scene.wait(60_000)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]


def test_a_host_that_only_fell_silent_writes_no_dump() -> None:
    scene = FenceScene()
    scene.mode("h4", HostMode.ACT, dump_wait_s=60)
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]


def test_a_host_of_which_nothing_would_start_elsewhere_is_not_switched_off() -> None:
    scene = FenceScene()
    scene.promise("web4", "h4", structs.replace(NEEDS, obstacle="its disk a.img is local"))
    scene.wrong("h4", "host-lost")
    scene.wait(60_000)
    assert scene.did == []
    assert "its disk a.img is local" in scene.step


def test_a_stopped_vm_is_no_reason_to_switch_its_host_off() -> None:
    scene = FenceScene()
    scene.hold("web4", structs.replace(scene.tenures["web4"], wanted=Wanted.STOPPED))
    scene.wrong("h4", "host-lost")
    scene.wait(60_000)
    assert scene.did == []


def test_pulses_that_are_not_believed_are_a_persons() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost", evidence={"refused": "wrong key"})
    scene.wait(60_000)
    assert scene.did == []


def test_a_device_that_fails_is_tried_again_ever_later_and_told_of() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(60_000)
    failed_at = scene.now
    for _ in range(3):
        scene.not_off("h4")
        scene.wait(30_000)
    [alarm] = [one for one in scene.world.reported.values() if one.condition == "fence-failed"]
    assert alarm.fault_at == failed_at, "its devices were at it until then: no report was late"
    assert scene.did.count("switch off h4") == 4
    assert "it does not answer" in scene.open_alarms["fence-failed h4"]
    assert "confirm-dead h4" in list(scene.world.incidents.values())[-1].needs_you


def test_a_host_that_falls_silent_while_another_is_switched_off_casts_doubt() -> None:
    scene = FenceScene(hosts=12)
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.wrong("h1", "host-lost")
    scene.off("h4")
    scene.wait(10_000)
    assert scene.world.fences["h4"].doubt.startswith("h1 fell silent while h4")
    scene.lead(0)
    scene.lead(2)
    scene.wait(100_000)
    assert scene.world.fences["h4"].step is FenceStep.INTENDED
    assert not any(line.startswith("put placed of web4") for line in scene.did)


def test_a_host_that_pulses_though_it_was_read_off_is_not_believed_dead() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.off("h4")
    scene.heard("h4")
    scene.wait(10_000)
    assert scene.world.fences["h4"].step is FenceStep.INTENDED
    assert "pulses, though its power was read back off" in scene.open_alarms["fence-failed h4"]


def test_a_doubt_is_over_when_the_host_is_back_in_a_new_boot() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.off("h4")
    scene.heard("h4")
    scene.wait(10_000)
    assert "fence-failed h4" in scene.open_alarms
    assert "put closed of h4 (1)" not in scene.did
    scene.heard("h4", boot=2)
    scene.runs("h4", "web4", boot=2)
    assert scene.did[-1] == "put closed of h4 (1)"
    assert "fence-failed h4" not in scene.open_alarms


def test_a_host_that_pulses_after_its_proof_stops_what_has_not_begun() -> None:
    scene = FenceScene()
    scene.promise("big", "h4", VmNeeds(memory_mib=9_000, vcpus=1))
    scene.lose("h4")
    scene.heard("h4")
    scene.size("h1", HostSize(memory_mib=64_000, cpus=4))
    scene.wait(60_000)
    assert "host-not-dead h4" in scene.open_alarms
    assert not any("of big" in line for line in scene.did)


@pytest.mark.parametrize("step", ["intended", "off"])
def test_the_next_leader_goes_on_where_the_store_says(step: str) -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    if step == "off":
        scene.off("h4")
        scene.wait(600)
    scene.did.clear()
    scene.lead(0)
    scene.lead(2)
    scene.wait(3_000)
    if step == "intended":
        assert scene.did == ["put intended of h4 (1)", "switch off h4"]
    else:
        assert scene.did == ["put placed of web4 on h1 (2)", "start web4 on h1 (2)"]


def test_a_store_that_does_not_answer_is_asked_again_and_nothing_is_done_meanwhile() -> None:
    scene = FenceScene()
    scene.is_stored = False
    scene.wrong("h4", "host-lost")
    scene.wait(8_000)
    assert set(scene.did) == {"put intended of h4 (1)"}
    assert 2 <= len(scene.did) <= 4
    scene.is_stored = True
    scene.wait(3_000)
    assert scene.did[-1] == "switch off h4"


def test_a_site_may_wait_longer_before_it_fences_and_never_shorter_than_its_witnesses_need() -> (
    None
):
    for wanted_ms, waits_ms in ((10_000, 10_000), (100, timing.FENCE_AFTER_MS)):
        scene = FenceScene()
        scene.give(told.ActingSet(at=scene.now, fence_after_ms=wanted_ms, brake_percent=30))
        scene.wrong("h4", "host-lost")
        scene.wait(waits_ms - 1)
        assert scene.did == []
        scene.wait(1)
        assert scene.did == ["put intended of h4 (1)", "switch off h4"]
        assert f"for more than {spoken(waits_ms)}" in scene.world.fences["h4"].reason


def test_how_many_may_be_lost_at_once_is_what_the_site_says_within_bounds() -> None:
    for percent, most in ((30, 3), (50, 5), (10, 1), (99, 5), (0, 1)):
        scene = FenceScene(hosts=10)
        scene.give(told.ActingSet(at=scene.now, fence_after_ms=3_000, brake_percent=percent))
        assert brakes.allowed(scene.world) == most
        for number in range(most + 1):
            scene.wrong(f"h{number + 1}", "host-lost")
        assert scene.world.brake
        assert f"more than the {most} that Holdfast may act on" in scene.world.brake
