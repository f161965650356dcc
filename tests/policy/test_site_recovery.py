"""VMs of a dead host: each is placed where there is room, by one target at a time, or told of.

covers: H2 H9 H15
"""

from typing import Any

import pytest
from msgspec import structs

from holdfast.facts import site as told
from holdfast.facts.commands import GroupSet
from holdfast.facts.cpus import CpuNeeds, HostCpu
from holdfast.facts.definitions import HostSize, VmNeeds
from holdfast.facts.fencing import HostMode
from holdfast.facts.promises import Group, Spread
from holdfast.facts.recoveries import RecoveryStep
from holdfast.facts.tenure import TenureState, Wanted
from holdfast.policy.host_states import HostState
from holdfast.policy.site_deaths import left_down
from tests.policy.fence_scene import NEEDS, SIZE, FenceScene


def placed(scene: FenceScene) -> list[str]:
    return [line for line in scene.did if line.startswith("put placed")]


def test_the_largest_comes_first_and_goes_where_there_is_most_room() -> None:
    scene = FenceScene()
    scene.promise("small", "h4", structs.replace(NEEDS, memory_mib=500))
    scene.promise("large", "h4", structs.replace(NEEDS, memory_mib=2_000))
    scene.size("h3", HostSize(memory_mib=64_000, cpus=4, bridges=("br0",)))
    scene.lose("h4")
    assert placed(scene) == [
        "put placed of large on h3 (2)",
        "put placed of web4 on h3 (2)",
        "put placed of small on h3 (2)",
    ]


def test_what_no_host_has_room_for_is_told_with_the_reason() -> None:
    scene = FenceScene()
    scene.promise("web4", "h4", structs.replace(NEEDS, memory_mib=9_000))
    scene.lose("h4")
    assert placed(scene) == []
    text = scene.open_alarms["vm-on-lost-host web4"]
    assert "no host is left to start it on" in text
    assert "9000 are needed" in text
    scene.size("h2", HostSize(memory_mib=64_000, cpus=4, bridges=("br0",)))
    assert placed(scene) == ["put placed of web4 on h2 (2)"]


def test_what_others_take_is_not_given_twice() -> None:
    scene = FenceScene(hosts=3)
    for number in range(6):
        scene.promise(f"vm{number}", "h2")
    scene.size("h3", HostSize(memory_mib=3_000, cpus=4, bridges=("br0",)))
    scene.size("h1", HostSize(memory_mib=2_000, cpus=4, bridges=("br0",)))
    scene.lose("h2")
    assert len(placed(scene)) == 3, "one beside web1, two beside web3"


def test_a_network_that_a_host_lacks_keeps_a_vm_from_it() -> None:
    scene = FenceScene(hosts=3)
    scene.promise("web2", "h2", structs.replace(NEEDS, bridges=("br7",)))
    scene.lose("h2")
    assert placed(scene) == []
    assert "it has no bridge br7" in scene.open_alarms["vm-on-lost-host web2"]


def test_a_cpu_that_a_host_lacks_keeps_a_vm_from_it() -> None:
    scene = FenceScene(hosts=3)
    old, new = (
        structs.replace(SIZE, processors=(HostCpu(kind="kvm", arch="x86_64", features=names),))
        for names in (("sse2",), ("avx2", "sse2"))
    )
    scene.size("h1", old)
    scene.size("h3", old)
    cpu = CpuNeeds(kind="kvm", arch="x86_64", mode="host-model", requires=("avx2",))
    scene.promise("web2", "h2", structs.replace(NEEDS, cpu=cpu))
    scene.lose("h2")
    assert placed(scene) == []
    assert "h1: it has no CPU with avx2" in scene.open_alarms["vm-on-lost-host web2"]
    scene.size("h3", new)
    assert placed(scene) == ["put placed of web2 on h3 (2)"]


def test_a_vm_that_starts_from_nothing_takes_the_cpu_that_it_finds() -> None:
    """Only one that keeps running while it moves needs an equal one."""
    scene = FenceScene(hosts=2)
    for host, identity in (("h1", "old"), ("h2", "new")):
        cpu = HostCpu(kind="kvm", arch="x86_64", identity=identity)
        scene.size(host, structs.replace(SIZE, processors=(cpu,)))
    same = CpuNeeds(kind="kvm", arch="x86_64", mode="host-passthrough")
    scene.promise("web2", "h2", structs.replace(NEEDS, cpu=same, live=same))
    scene.lose("h2")
    assert placed(scene) == ["put placed of web2 on h1 (2)"]


def test_a_local_disk_keeps_a_vm_in_place() -> None:
    scene = FenceScene()
    scene.promise("local", "h4", structs.replace(NEEDS, obstacle="its disk a.img is local"))
    scene.lose("h4")
    assert placed(scene) == ["put placed of web4 on h1 (2)"]
    assert "its disk a.img is local" in scene.open_alarms["vm-on-lost-host local"]


def test_a_definition_that_nobody_knows_is_said() -> None:
    scene = FenceScene()
    scene.promise("old", "h4", None)
    scene.lose("h4")
    assert "its definition is not known" in scene.open_alarms["vm-on-lost-host old"]


def test_a_vm_that_runs_somewhere_already_is_a_persons() -> None:
    scene = FenceScene()
    scene.runs("h2", "web2", "web4")
    scene.lose("h4")
    assert placed(scene) == []
    assert "h2 says that it runs there" in scene.open_alarms["vm-on-lost-host web4"]


def test_a_target_that_refuses_is_followed_by_another() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.given_back("web4")
    scene.wait(3_000)
    assert placed(scene) == ["put placed of web4 on h1 (2)", "put placed of web4 on h2 (3)"]


def test_a_target_that_refused_is_not_told_again_while_the_store_is_slow() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.is_stored = False
    scene.given_back("web4")
    scene.wait(1_500)
    assert scene.did.count("start web4 on h1 (2)") == 1


def test_a_target_that_does_not_answer_is_asked_again_and_nobody_else_is() -> None:
    scene = FenceScene()
    scene.lose("h4")
    for _ in range(4):
        scene.silent("web4")
        scene.wait(6_000)
    assert placed(scene) == ["put placed of web4 on h1 (2)"]
    assert scene.did.count("start web4 on h1 (2)") == 5


def test_a_target_that_gave_up_must_give_it_back_first() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.taken("web4")
    scene.gave_up("h1", "web4")
    assert scene.did[-1] == "take back web4 from h1"
    scene.silent("web4")
    scene.wait(4_000)
    assert placed(scene) == ["put placed of web4 on h1 (2)"]
    scene.wait(2_000)
    scene.given_back("web4")
    scene.wait(3_000)
    assert placed(scene)[1:] == ["put placed of web4 on h2 (3)"]


def test_a_target_that_dies_is_proven_dead_before_the_next() -> None:
    scene = FenceScene(hosts=10)
    scene.lose("h4")
    scene.taken("web4")
    scene.wrong("h1", "host-lost")
    scene.wait(3_100)
    assert placed(scene) == ["put placed of web4 on h1 (2)"]
    scene.off("h1")
    scene.wait(600)
    assert any(line.startswith("put placed of web4 on") for line in placed(scene)[1:])


def test_a_target_that_was_booted_is_told_anew() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.taken("web4")
    scene.heard("h1", boot=2)
    scene.hold("web4", structs.replace(scene.tenures["web4"], boot="h1b2"))
    scene.runs("h1", boot=2)
    scene.wait(3_000)
    assert scene.world.recoveries["web4"].target_boot == "h1b2"
    assert scene.did[-1] == "start web4 on h1 (2)"


def test_a_vm_that_was_stopped_on_purpose_meanwhile_is_not_revived() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.taken("web4")
    scene.hold("web4", structs.replace(scene.tenures["web4"], wanted=Wanted.STOPPED))
    scene.wait(60_000)
    assert scene.world.recoveries["web4"].step is RecoveryStep.ANSWERED
    assert scene.did.count("start web4 on h1 (2)") == 1


def test_an_answer_elsewhere_ends_the_alarm() -> None:
    scene = FenceScene()
    scene.lose("h4")
    assert "is being started on h1" in scene.open_alarms["vm-on-lost-host web4"]
    scene.runs("h1", "web1", "web4", is_serving=False)
    assert "its answer is awaited" in scene.open_alarms["vm-on-lost-host web4"]
    scene.runs("h1", "web1", "web4")
    assert "vm-on-lost-host web4" not in scene.open_alarms
    key = next(k for k, one in scene.world.reported.items() if one.subject.name == "web4")
    assert scene.world.reported[key].text == "web4 answers on h1"


def test_a_dead_host_is_called_dead_with_its_proof() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    assert scene.open_alarms["host-lost h4"] == "h4 has host-lost"
    scene.wait(3_100)
    scene.off("h4")
    scene.wait(600)
    assert scene.open_alarms["host-lost h4"] == "h4 is dead: its power is off"


def test_a_host_takes_only_so_many_at_once() -> None:
    scene = FenceScene(hosts=3)
    for number in range(9):
        scene.promise(f"vm{number}", "h2", VmNeeds(memory_mib=100, vcpus=1))
    scene.lose("h2")
    assert len(placed(scene)) == 8
    first = placed(scene)[0].split()[3]
    scene.runs(scene.tenures[first].host, first)
    assert len(placed(scene)) == 9


def grouped(scene: FenceScene, **fields: Any) -> None:
    """The group of all VMs here."""
    scene.give(GroupSet(at=scene.now, group=Group(name="default", **fields)))


def test_vms_that_are_kept_apart_do_not_meet() -> None:
    scene = FenceScene(hosts=3)
    grouped(scene, spread=Spread.HOST)
    scene.lose("h2")
    assert placed(scene) == []
    text = scene.open_alarms["vm-on-lost-host web2"]
    assert "web1 of the same group is on h1, and they are kept apart" in text
    grouped(scene)
    scene.wait(11_000)
    assert len(placed(scene)) == 1


def test_vms_that_are_kept_apart_by_rack_do_not_meet_in_one() -> None:
    scene = FenceScene(hosts=3)
    grouped(scene, spread=Spread.RACK)
    scene.lose("h1")
    text = scene.open_alarms["vm-on-lost-host web1"]
    assert "web2 of the same group is on h2" in text, "its own rack has another one"
    assert "web3 of the same group is on h3" in text


def test_a_group_of_higher_priority_comes_first() -> None:
    scene = FenceScene(hosts=3)
    scene.give(GroupSet(at=scene.now, group=Group(name="gold", priority=10)))
    scene.promise("gold", "h2", structs.replace(NEEDS, memory_mib=100), group="gold")
    scene.lose("h2")
    assert [line.split()[3] for line in placed(scene)] == ["gold", "web2"]


def test_a_stopped_vm_takes_no_room() -> None:
    scene = FenceScene(hosts=3)
    for number in range(4):
        scene.promise(f"off{number}", "h1")
        tenure = structs.replace(scene.tenures[f"off{number}"], wanted=Wanted.STOPPED)
        scene.hold(f"off{number}", tenure)
    scene.promise("big", "h2", structs.replace(NEEDS, memory_mib=2_900))
    scene.lose("h2")
    assert "put placed of big on h1 (2)" in placed(scene)


def test_a_host_in_trouble_is_asked_after_all_others() -> None:
    scene = FenceScene(hosts=3)
    scene.promise("other", "h2")
    scene.size("h1", structs.replace(SIZE, memory_mib=64_000, trouble="its libvirt is stuck"))
    scene.lose("h2")
    assert {line.split()[-2] for line in placed(scene)} == {"h3"}
    recovery = scene.world.recoveries["web2"]
    assert "h1: its libvirt is stuck" in recovery.rejected
    assert recovery.reason.startswith("h3 has the most room of those that are well")
    scene.given_back("web2")
    scene.wait(3_000)
    assert placed(scene)[-1] == "put placed of web2 on h1 (3)", "it is asked where nobody else is"


def test_who_settled_the_silence_of_a_host_has_its_vms_back_once_it_is_proven_dead() -> None:
    """A settled host is as silent as before: what its agent said last is no word of now."""
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.settle(scene.world.hosts["h4"].incident)
    assert scene.world.hosts["h4"].state is HostState.SETTLED
    scene.off("h4")
    scene.wait(1_000)
    assert placed(scene) == ["put placed of web4 on h1 (2)"]


def test_vms_that_a_settled_silence_would_leave_down_are_named() -> None:
    scene = FenceScene()
    scene.promise("db", "h4", NEEDS)
    scene.wrong("h4", "host-lost")
    incident = scene.world.hosts["h4"].incident
    assert left_down(scene.world, incident) == {"h4": ("db", "web4")}
    scene.wait(3_100)
    scene.off("h4")
    scene.wait(1_000)
    assert left_down(scene.world, incident) == {}, "others hold them by now"


def test_a_start_is_followed_to_its_answer_also_when_the_dead_host_is_back() -> None:
    """Nothing else is up then: its tenure must not say for ever that it is being recovered."""
    scene = FenceScene()
    scene.lose("h4")
    [target] = {one.target for one in scene.world.recoveries.values()}
    scene.heard("h4", boot=2)
    scene.runs("h4", boot=2)
    assert "put closed of h4 (1)" in scene.did
    scene.taken("web4")
    scene.runs(target, f"web{target[1]}", "web4")
    assert scene.world.recoveries["web4"].step is RecoveryStep.ANSWERED
    assert scene.tenures["web4"].state is TenureState.HELD


@pytest.mark.parametrize("devices", [("fence_ipmilan",), ()])
def test_vms_of_a_host_that_cannot_be_fenced_would_be_left_down_too(
    devices: tuple[str, ...],
) -> None:
    scene = FenceScene()
    mode = told.HostModeSet(at=scene.now, host="h4", mode=HostMode.REPORT, devices=devices)
    scene.give(mode)
    scene.wrong("h4", "host-lost")
    incident = scene.world.hosts["h4"].incident
    assert left_down(scene.world, incident) == {"h4": ("web4",)}
