"""A host without a fence device: only what relies on its lease moves, and only with that proof.

covers: H9
"""

from msgspec import structs

from holdfast.facts import outcomes as came
from holdfast.facts import site as told
from holdfast.facts.fencing import HostMode
from holdfast.facts.leases import HostLease
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.policy import guarantee
from tests.policy.fence_scene import FenceScene
from tests.policy.site_scene import boot_of

HELD = "no controller granted its lease for 37 s"


class LeaseScene(FenceScene):
    """h4 has no fence device; web4 relies on its lease, and db4 does not."""

    def __init__(self, *vms: str) -> None:
        super().__init__()
        self.promise("db4", "h4")
        self.give(told.HostModeSet(at=self.now, host="h4", mode=HostMode.ACT))
        self.runs("h4", "web4", "db4")
        if vms:
            self.lease(*vms)

    def lease(self, *vms: str, boot: int = 1) -> None:
        lease = HostLease(host="h4", boot=boot_of("h4", boot), epoch=1, vms=vms)
        self.give(told.LeaseSet(at=self.now, lease=lease))

    def over(self, *vms: str) -> None:
        """The leader has waited, and what it waited for is proven."""
        fence = self.world.fences["h4"]
        proof = DeathProof(
            kind=ProofKind.WATCHDOG, host="h4", boot=fence.boot, vms=vms, shown=(HELD,)
        )
        self.give(
            came.SwitchedOff(
                incident=fence.incident, at=self.now, host="h4", number=fence.number, proof=proof
            )
        )
        self.wait(600)

    def cut_off(self, boot: int = 1) -> None:
        self.wrong("h4", "host-lost", boot)
        self.wait(3_100)


def test_only_what_relies_on_the_lease_starts_elsewhere() -> None:
    scene = LeaseScene("web4")
    scene.cut_off()
    assert scene.world.fences["h4"].is_lease
    scene.over("web4")
    scene.wait(60_000)
    placed = [line for line in scene.did if line.startswith("put placed")]
    assert placed == ["put placed of web4 on h1 (2)"]
    assert scene.tenures["db4"].host == "h4"


def test_what_is_not_proven_is_a_persons() -> None:
    scene = LeaseScene("web4")
    scene.cut_off()
    scene.over("web4")
    alarms = scene.open_alarms
    assert "it relies on no lease, so nobody ended it" in alarms["vm-on-lost-host db4"]
    assert alarms["host-lost h4"].endswith(HELD)
    assert "is dead" not in alarms["host-lost h4"]
    scene.wait(60_000)
    incident = list(scene.world.incidents.values())[-1]
    assert "holdfast host confirm-dead h4" in incident.needs_you


def test_without_a_lease_that_was_acknowledged_nothing_is_done() -> None:
    scene = LeaseScene()
    scene.cut_off()
    scene.wait(60_000)
    assert scene.did == []
    assert "no fence device is set for h4" in scene.step or "no VM of h4" in scene.step


def test_a_lease_of_an_earlier_boot_is_none() -> None:
    scene = LeaseScene("web4")
    scene.heard("h4", boot=2)
    scene.promise("web4", "h4", boot=2)
    scene.cut_off(boot=2)
    scene.wait(60_000)
    assert scene.did == []


def test_who_is_heard_before_the_proof_keeps_its_vms() -> None:
    scene = LeaseScene("web4")
    scene.cut_off()
    scene.heard("h4")
    scene.wait(60_000)
    assert scene.did == ["put intended of h4 (1)", "switch off h4", "put closed of h4 (1)"]


def test_who_is_heard_after_the_proof_refutes_nothing_and_comes_back_with_what_is_left() -> None:
    scene = LeaseScene("web4")
    scene.cut_off()
    scene.over("web4")
    scene.runs("h1", "web1", "web4")
    scene.heard("h4")
    scene.runs("h4", "db4")
    scene.wait(60_000)
    assert scene.did[-1] == "put closed of h4 (1)"
    assert not any("host-not-dead" in name for name in scene.open_alarms)


def test_who_is_heard_while_the_proof_is_committed_does_not_refute_it() -> None:
    """What relied on the lease has ended there: the host may well live."""
    scene = LeaseScene("web4")
    scene.cut_off()
    scene.is_stored = False
    scene.over("web4")
    scene.heard("h4")
    scene.is_stored = True
    scene.wait(60_000)
    assert not scene.world.fences["h4"].doubt
    assert "put off of h4 (1)" in scene.did


def test_a_host_that_still_runs_what_was_moved_does_not_come_back() -> None:
    scene = LeaseScene("web4")
    scene.cut_off()
    scene.over("web4")
    scene.heard("h4")
    scene.runs("h4", "db4", "web4")
    scene.wait(60_000)
    assert "put closed of h4 (1)" not in scene.did


def test_nothing_is_done_while_disarmed() -> None:
    scene = LeaseScene("web4")
    scene.disarm()
    scene.cut_off()
    scene.wait(60_000)
    assert scene.did == []


def test_where_there_are_devices_they_come_first() -> None:
    scene = LeaseScene("web4")
    scene.mode("h4", HostMode.ACT)
    scene.cut_off()
    assert not scene.world.fences["h4"].is_lease
    scene.heard("h4")  # Its power may be going off: it is too late.
    scene.wait(10_000)
    assert scene.did == ["put intended of h4 (1)", "switch off h4"]


def test_each_vm_says_whether_it_would_start_elsewhere() -> None:
    scene = LeaseScene("web4")

    def said(vm: str) -> str:
        return guarantee.elsewhere(scene.world, scene.world.promises[vm])

    assert said("web4") == ""
    assert said("db4") == "no fence device is set for h4, and it does not rely on its lease"
    record = scene.world.hosts["h4"]
    assert guarantee.inaction(scene.world, record) == ""
    scene.give(told.LeaseForgotten(at=scene.now, host="h4"))
    assert guarantee.inaction(scene.world, record) == "no fence device is set for h4"


def test_what_the_store_has_is_what_counts() -> None:
    scene = LeaseScene("web4")
    lease = scene.world.leases["h4"]
    scene.give(told.LeaseSet(at=scene.now, lease=structs.replace(lease, vms=(), is_over=True)))
    scene.cut_off()
    scene.wait(60_000)
    assert scene.did == []
