"""Interleavings in which a fence or a recovery would be lost, believed too much, or never end.

covers: H2 H7 H9
"""

from msgspec import structs

from holdfast.facts import site as told
from holdfast.facts.fencing import FenceStep
from holdfast.facts.recoveries import Recovery
from holdfast.facts.tenure import DeathProof, ProofKind
from tests.policy.fence_scene import NEEDS, SIZE, FenceScene
from tests.policy.site_scene import at

SMALL = structs.replace(NEEDS, memory_mib=100)


class Refusing(FenceScene):
    """Its store refuses to place, when a test says so."""

    refuses = False

    def recovery_set(self, one: Recovery) -> None:
        if not self.refuses:
            super().recovery_set(one)


def only_h1_fits(scene: FenceScene) -> None:
    for host in ("h2", "h3", "h5"):
        scene.size(host, structs.replace(SIZE, bridges=()))


def booted(scene: FenceScene, *heard: str, **ages_ms: int) -> None:
    """This controller's host was booted, and the store is read anew."""
    fences = list(scene.world.fences.values())
    scene.ms = 0.0
    scene.give(told.SiteBegan(at=at(0), controller="c1", boot="cb2"))
    scene.lead(2)
    for host in heard:
        scene.heard(host)
    for fence in fences:
        scene.fence_set(fence, age_ms=ages_ms.get(fence.host, 10_000), is_read=True)


# What is believed of a proof.


def test_who_says_that_it_stops_while_it_is_switched_off_is_proven_dead() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.heard("h4")
    scene.wait(100)
    scene.wrong("h4", "host-stopping")
    scene.wait(1_000)
    scene.wrong("h4", "host-lost")
    scene.wait(1_000)
    scene.off("h4")
    scene.wait(3_000)
    fence = scene.world.fences["h4"]
    assert (fence.step, fence.doubt) == (FenceStep.OFF, "")


def test_whom_a_person_settles_while_it_is_switched_off_does_not_pulse() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.heard("h4")
    scene.wait(100)
    scene.wrong("h4", "host-lost")
    scene.settle(scene.world.hosts["h4"].incident)
    scene.wait(100)
    scene.off("h4")
    scene.wait(3_000)
    assert scene.world.fences["h4"].doubt == ""


def test_who_was_booted_takes_nobody_for_heard_whom_it_has_not_heard() -> None:
    scene = FenceScene()
    scene.wait(60_000)
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    fence = scene.world.fences["h4"]
    booted(scene)
    proof = DeathProof(kind=ProofKind.POWER, host="h4", boot=fence.boot)
    off = structs.replace(fence, step=FenceStep.OFF, proof=proof, proven_utc_ms=1_000)
    scene.fence_set(off, age_ms=3_600_000, is_read=True)
    scene.wait(100)
    assert "host-not-dead h4" not in scene.open_alarms


def test_after_a_boot_of_its_own_a_leader_still_sees_that_a_device_lies() -> None:
    scene = FenceScene()
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    booted(scene, "h1", "h2", "h3", "h5")
    scene.wait(3_000)
    scene.heard("h4")
    scene.wait(100)
    scene.off("h4")
    scene.wait(3_000)
    assert "pulses" in scene.world.fences["h4"].doubt


def test_after_a_boot_of_its_own_a_leader_still_counts_the_fences_before() -> None:
    scene = FenceScene()
    scene.lose("h4")
    booted(scene, "h1", "h2", "h3", "h5")
    scene.wait(20_000)
    scene.did.clear()
    scene.wrong("h5", "host-lost")
    scene.wait(60_000)
    assert "put intended of h5 (1)" not in scene.did


def test_who_was_dead_before_did_not_fall_silent_because_of_a_fence() -> None:
    """A controller that was booted in the middle of a fence misses the dead of before anew."""
    scene = FenceScene(hosts=8)
    scene.lose("h5")
    scene.wait(700_000)
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    booted(scene, "h1", "h2", "h3", "h6", "h7", "h8", h5=703_000)
    scene.wait(10_000)
    scene.wrong("h5", "host-lost")
    scene.wrong("h4", "host-lost")
    scene.wait(5_000)
    scene.off("h4")
    scene.wait(3_000)
    assert scene.world.fences["h4"].doubt == ""


def test_a_proof_outlasts_its_host_for_as_long_as_a_vm_needs_it() -> None:
    """The store keeps it, too, when the host's certificates are revoked."""
    scene = FenceScene(hosts=3)
    for host in ("h1", "h3"):
        scene.size(host, structs.replace(SIZE, bridges=()))
    scene.lose("h2")
    scene.give(told.HostLeft(at=scene.now, host="h2"))
    scene.size("h1")
    scene.wait(20_000)
    assert "start web2 on h1 (2)" in scene.did


# Where there is room.


def test_what_was_placed_takes_room_though_its_dead_host_listed_it() -> None:
    scene = FenceScene(hosts=2)
    for vm in ("web1", "web2"):
        scene.give(told.PromiseEnded(at=scene.now, vm=vm))
    scene.vms("h1")
    scene.size("h1", structs.replace(SIZE, memory_mib=2_500))
    for vm in ("a", "b"):
        scene.promise(vm, "h2", structs.replace(NEEDS, memory_mib=1_500))
    scene.runs("h2", "a", "b")
    scene.lose("h2")
    scene.wait(30_000)
    assert len([line for line in scene.did if "put placed" in line]) == 1


def test_a_target_that_was_asked_for_in_vain_is_not_busy_for_ever() -> None:
    scene = Refusing()
    for vm in ("a", "b", "c"):
        scene.promise(vm, "h4", SMALL)
    only_h1_fits(scene)
    scene.wrong("h4", "host-lost")
    scene.wait(3_100)
    scene.off("h4")
    scene.refuses = True  # It greets in this moment, and is granted all of them again.
    scene.wait(600)
    assert "put placed of c on h1 (2)" in scene.did
    scene.heard("h4", boot=2)
    for vm in ("a", "b", "c", "web4"):
        scene.hold(vm, structs.replace(scene.tenures[vm], boot="h4b2", revision=1))
    scene.runs("h4", "a", "b", "c", "web4", boot=2)
    scene.wait(900_000)
    assert scene.world.fences["h4"].step is FenceStep.CLOSED
    scene.refuses = False
    scene.lose("h5")
    assert "start web5 on h1 (2)" in scene.did


def test_a_target_is_not_busy_with_what_is_not_promised_any_more() -> None:
    scene = FenceScene()
    for vm in ("a", "b", "c", "d"):
        scene.promise(vm, "h4", SMALL)
    scene.give(told.PromiseEnded(at=scene.now, vm="web4"))
    only_h1_fits(scene)
    scene.lose("h4")
    assert scene.did[-1] == "start d on h1 (2)"
    for vm in ("a", "b", "c", "d"):
        scene.give(told.PromiseEnded(at=scene.now, vm=vm))
    scene.wait(900_000)
    scene.lose("h5")
    assert "start web5 on h1 (2)" in scene.did
