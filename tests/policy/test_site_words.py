"""What is said of hosts that are fenced, or not: why it is over, and what a person can do.

covers: H7 H9
"""

from msgspec import structs

from holdfast.facts import site as told
from holdfast.facts.definitions import VmNeeds
from holdfast.facts.fencing import FenceStep, HostMode
from holdfast.facts.incidents import Incident
from holdfast.facts.tenure import DeathProof, ProofKind
from tests.policy.fence_scene import NEEDS, FenceScene


def newest(scene: FenceScene) -> Incident:
    return list(scene.world.incidents.values())[-1]


def over(scene: FenceScene, condition: str, subject: str) -> str:
    """The text with which its newest alarm was cleared."""
    found = [
        alarm.text
        for key, alarm in scene.world.reported.items()
        if not scene.world.is_open(key)
        and (alarm.condition, alarm.subject.id) == (condition, subject)
    ]
    return found[-1]


def failed(scene: FenceScene) -> None:
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.not_off("h4")
    assert "it does not answer" in scene.open_alarms["fence-failed h4"]


def test_a_fence_that_worked_after_all_ends_its_alarm_with_what_was_read() -> None:
    scene = FenceScene()
    failed(scene)
    scene.wait(30_000)
    scene.off("h4")
    scene.wait(600)
    assert over(scene, "fence-failed", "h4") == "its power is off"


def test_a_vm_whose_next_host_died_too_is_told_there() -> None:
    scene = FenceScene(hosts=10)
    scene.lose("h4")
    scene.runs("h1", "web1", "web4", is_serving=False)
    scene.lose("h1")
    assert over(scene, "vm-on-lost-host", "web4") == (
        "web4 was h1's by then, and is down with that: see its alarm there"
    )


def test_what_is_unprotected_while_it_is_down_says_so() -> None:
    scene = FenceScene()
    scene.lose("h4")
    scene.heard("h4", boot=2)
    scene.runs("h4", boot=2)
    scene.give(told.PromiseEnded(at=scene.now, vm="web4"))
    assert over(scene, "vm-on-lost-host", "web4") == (
        "web4 is not protected any more: nobody is to bring it back"
    )


def test_where_a_proof_would_win_nothing_no_person_is_asked_for_one() -> None:
    scene = FenceScene()
    scene.promise("web4", "h4", VmNeeds(memory_mib=1, vcpus=1, obstacle="its disk is local"))
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    assert newest(scene).step == (
        "is not switched off: none of its VMs could start elsewhere: web4: its disk is local"
    )
    assert newest(scene).needs_you.startswith("find out why h4 is silent, and bring it back")


def test_while_people_have_disarmed_it_they_are_asked_to_arm() -> None:
    scene = FenceScene()
    scene.disarm()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    assert newest(scene).step == "is not switched off: ann disarmed recovery: works"
    assert newest(scene).needs_you.startswith("holdfast arm, as soon as it may act again")


def test_while_a_kernel_writes_its_dump_there_is_nothing_to_do() -> None:
    scene = FenceScene()
    scene.mode("h4", HostMode.ACT, dump_wait_s=20)
    scene.wrong("h4", "host-panicked")
    scene.wait(4_000)
    assert "has 20 s to write its dump" in newest(scene).step
    assert newest(scene).needs_you == ""


def test_a_host_that_shares_its_incident_is_named_in_it() -> None:
    scene = FenceScene(hosts=10)
    for host in ("h3", "h4"):
        scene.give(told.HostSet(at=scene.now, host=host, name=host, rack="rack9"))
    scene.promise("web3", "h3", NEEDS)
    scene.wrong("h3", "host-lost")
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    (shared,) = {one.incident for one in scene.world.hosts.values() if one.incident}
    incident = scene.world.incidents[shared]
    assert (incident.name, incident.step, incident.needs_you) == (
        "h3",
        "h4 is not switched off: 2 hosts of rack rack9 fell silent together",
        "see that h4 is off, then: holdfast host confirm-dead h4 --because WHY",
    )


def test_a_host_that_is_proven_dead_is_called_that_where_no_host_is_left() -> None:
    scene = FenceScene(hosts=3)
    scene.promise("web2", "h2", VmNeeds(memory_mib=9_000, vcpus=1))
    scene.lose("h2")
    text = scene.open_alarms["vm-on-lost-host web2"]
    assert text.endswith("; h2: it is dead; h3: it has 3000 MiB left, and 9000 are needed")


def test_a_persons_word_is_the_proof_and_what_they_looked_at_stands_beside_it() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    fence = scene.world.fences["h4"]
    proof = DeathProof(
        kind=ProofKind.PERSON,
        host="h4",
        boot=fence.boot,
        shown=("ann says that it is dead: it burns", "its power: off", "plane a: none", "b: none"),
        by="ann",
    )
    scene.fence_set(structs.replace(fence, step=FenceStep.OFF, proof=proof, by="ann"))
    assert scene.open_alarms["host-lost h4"] == (
        "h4 is dead: ann says that it is dead: it burns; its power: off "
        "(and 2 things more: holdfast explain h4)"
    )
    alarm = next(one for one in scene.world.reported.values() if one.subject.id == "h4")
    assert alarm.details["looked_at"] == "plane a: none; b: none"
