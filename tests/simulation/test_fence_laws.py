"""Each law of fencing and recovery elsewhere is seen to be broken by a rogue, and to hold else.

covers: H9
"""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from holdfast.facts.alarms import Alarm, AlarmState, Severity
from holdfast.facts.fencing import FenceStep
from holdfast.facts.instants import Instant
from holdfast.facts.subjects import vm_subject
from holdfast.facts.verdicts import Certainty
from tests.simulation import fence_laws
from tests.simulation.rogues import ReportingController, Rogue
from tests.simulation.site_commands import play
from tests.simulation.site_laws import LawBroken
from tests.simulation.site_stage import SiteStage

pytestmark = pytest.mark.slow  # Seconds in all: `make test` runs them.

REST_MS = 4_000.0
SITE = {"hosts": 4, "controllers": 1, "bmcs": 1}
Story = Callable[[SiteStage, Rogue], None]


def open_site(**site: int) -> SiteStage:
    stage = SiteStage(at_rest_ms=REST_MS, make_controller=ReportingController, **{**SITE, **site})
    for line in ("vm web on=h2", "advance 1 s", "protect web", "act h2 h3 h4"):
        assert [said for said in play(stage, line) if "told" in said] == []
    stage.advance(1_000)
    return stage


@pytest.fixture
def stage() -> Iterator[SiteStage]:
    stage = open_site()
    yield stage
    stage.end()


@pytest.fixture
def rogue(stage: SiteStage) -> Rogue:
    return Rogue(stage)


def broken(stage: SiteStage, does: Callable[[], None]) -> str:
    """Which law, or empty."""
    try:
        does()
        stage.advance(100)
    except LawBroken as law:
        return str(law)
    return ""


def lose(stage: SiteStage, how: str, host: str = "h2") -> None:
    play(stage, f"{how} {host}")
    stage.advance(1_500)


# No two copies able to write.


@pytest.mark.parametrize("how", ["freeze", "isolate"])
def test_a_copy_of_a_host_that_is_not_heard_still_writes(
    stage: SiteStage, rogue: Rogue, how: str
) -> None:
    lose(stage, how)
    said = broken(stage, lambda: rogue.begin("web", "h3", generation=0))
    assert said == f"{fence_laws.TWO_COPIES}: web runs on h2 and h3"


@pytest.mark.parametrize("how", ["power-cut", "panic"])
def test_a_copy_of_a_host_that_is_off_does_not(stage: SiteStage, rogue: Rogue, how: str) -> None:
    lose(stage, how)
    assert broken(stage, lambda: rogue.begin("web", "h3", generation=0)) == ""


def test_two_vms_of_one_uuid_with_disks_of_their_own_are_two(stage: SiteStage) -> None:
    uuid = stage.site.host_of("web").machine.vms.vms["web"].uuid
    assert broken(stage, lambda: void(play(stage, f"vm twin on=h3 uuid={uuid} disk=other"))) == ""
    said = broken(stage, lambda: void(play(stage, f"vm third on=h4 uuid={uuid}")))
    assert said.startswith(fence_laws.TWO_COPIES)


# No start elsewhere without a proof.


def test_who_is_off_by_luck_only_is_not_proven_dead(stage: SiteStage, rogue: Rogue) -> None:
    lose(stage, "power-cut")
    said = broken(stage, lambda: rogue.begin("web", "h3", generation=2))
    boot = stage.site.hosts["h2"].machine.boot
    assert said == f"{fence_laws.UNPROVEN}: web began on h3, and the store had no proof of {boot}"


def test_with_a_committed_proof_and_place_it_may_start(stage: SiteStage, rogue: Rogue) -> None:
    lose(stage, "power-cut")
    rogue.commit_recovery("web", rogue.fence("h2"), "h3")
    assert broken(stage, lambda: rogue.begin("web", "h3", generation=2)) == ""
    assert stage.fences.starts_elsewhere == 1


@pytest.mark.parametrize("wrong", ["host", "boot", "target", "generation"])
def test_a_proof_of_something_else_is_none(stage: SiteStage, rogue: Rogue, wrong: str) -> None:
    lose(stage, "power-cut")
    fence = rogue.fence("h4" if wrong == "host" else "h2")
    if wrong == "boot":
        fence = msgspec.structs.replace(fence, boot="h2-boot-0")
    target, generation = "h4" if wrong == "target" else "h3", 3 if wrong == "generation" else 2
    rogue.commit_recovery("web", fence, target, generation)
    said = broken(stage, lambda: rogue.begin("web", "h3", generation=2))
    assert said.startswith(fence_laws.UNPROVEN)


def test_a_proof_that_is_not_true_breaks_the_law_unless_the_story_lied(
    stage: SiteStage, rogue: Rogue
) -> None:
    lose(stage, "isolate")
    rogue.commit_recovery("web", rogue.fence("h2"), "h3")
    said = broken(stage, lambda: rogue.begin("web", "h3", generation=2))
    assert said.startswith(f"{fence_laws.UNPROVEN}: web began on h3, and h2 still runs it")


@pytest.mark.parametrize("lie", ["bmc h2 lies=off", "bmc h2 wired-to=h4", "confirm-dead h2"])
def test_who_was_lied_to_must_have_had_a_proof(stage: SiteStage, rogue: Rogue, lie: str) -> None:
    fence = rogue.fence("h2")
    lose(stage, "isolate")
    play(stage, lie)
    if lie.startswith("bmc"):
        rogue.commit_fence(fence)
        rogue.order_off(fence, by="h1")
        if "wired" in lie:
            assert not stage.site.hosts["h4"].machine.has_power
    rogue.commit_recovery("web", fence, "h3")
    assert broken(stage, lambda: rogue.begin("web", "h3", generation=2)) == ""
    assert broken(stage, lambda: rogue.begin("web", "h1", generation=3)) != ""


# No power action while ...


def committed(stage: SiteStage, rogue: Rogue, host: str = "h2", by: str = "h1") -> str:
    lose(stage, "freeze", host)
    fence = rogue.fence(host)
    rogue.commit_fence(fence)
    return broken(stage, lambda: rogue.order_off(fence, by))


def test_a_silent_host_whose_fence_is_committed_may_be_switched_off(
    stage: SiteStage, rogue: Rogue
) -> None:
    assert committed(stage, rogue) == ""
    assert not stage.site.hosts["h2"].machine.has_power


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("report-only h2", "h1 switches h2 off, which it is only to report"),
        ("disarm 1 h", "h1 switches h2 off while people have disarmed it"),
    ],
)
def test_nobody_is_switched_off_against_what_people_said(
    stage: SiteStage, rogue: Rogue, line: str, text: str
) -> None:
    play(stage, line)
    assert committed(stage, rogue) == f"{fence_laws.POWER}: {text}"


def test_who_armed_again_or_waited_for_the_end_may_act(stage: SiteStage, rogue: Rogue) -> None:
    play(stage, "disarm 1 min")
    stage.advance(61_000)
    assert committed(stage, rogue) == ""


def test_a_controller_that_does_not_lead_switches_nobody_off() -> None:
    stage = open_site(controllers=3)
    try:
        leads = {name for name, one in stage.site.controllers.items() if one.leads()}
        other = min(stage.site.controllers.keys() - leads)
        said = committed(stage, Rogue(stage), "h4", by=other)
        [leader] = leads
        text = f"{other} switches h4 off, and {leader} leads"
        assert said == f"{fence_laws.POWER}: {text}"
    finally:
        stage.end()


def test_too_many_are_not_switched_off(stage: SiteStage, rogue: Rogue) -> None:
    assert committed(stage, rogue, "h2") == ""
    said = committed(stage, rogue, "h3")
    assert said == f"{fence_laws.POWER}: h1 switches off h2, h3: too many"


def test_how_many_are_too_many_is_said_from_outside(stage: SiteStage, rogue: Rogue) -> None:
    stage.fences.most = lambda hosts: hosts // 2
    assert committed(stage, rogue, "h2") == ""
    assert committed(stage, rogue, "h3") == ""
    assert committed(stage, rogue, "h4") != ""


@pytest.mark.parametrize("committed_number", [None, 2])
def test_what_is_not_committed_is_not_done(
    stage: SiteStage, rogue: Rogue, committed_number: int | None
) -> None:
    lose(stage, "freeze")
    if committed_number is not None:
        rogue.commit_fence(rogue.fence("h2", number=committed_number))
    said = broken(stage, lambda: rogue.order_off(rogue.fence("h2"), "h1"))
    assert said.startswith(fence_laws.UNCOMMITTED)


def test_who_was_heard_by_everybody_is_not_fenced(stage: SiteStage, rogue: Rogue) -> None:
    stage.advance(6_000)
    fence = rogue.fence("h2")
    rogue.commit_fence(fence)
    said = broken(stage, lambda: rogue.order_off(fence, "h1"))
    assert said == f"{fence_laws.HEARD}: h1 switches h2 off, whose pulses all had heard"


def test_who_is_heard_again_after_the_commit_is_fenced_still(
    stage: SiteStage, rogue: Rogue
) -> None:
    lose(stage, "freeze")
    fence = rogue.fence("h2")
    rogue.commit_fence(fence)
    play(stage, "resume h2")
    stage.advance(8_000)
    assert broken(stage, lambda: rogue.order_off(fence, "h1")) == ""


def test_only_people_boot_machines(stage: SiteStage, rogue: Rogue) -> None:
    lose(stage, "power-cut")
    play(stage, "boot h2")
    assert broken(stage, lambda: stage.advance(300)) == ""
    lose(stage, "power-cut", "h3")
    said = broken(stage, lambda: rogue.boot("h3"))
    assert said == f"{fence_laws.ONLY_OFF}: h3 was booted, and by no person"


# A recovery happens once.


@pytest.mark.parametrize(
    ("generation", "text"),
    [
        (2, "web of generation 2 began on h3 and h4"),
        (1, "web began on h4 in generation 1, after 2 on h3"),
    ],
)
def test_a_generation_begins_on_one_host_and_rises(
    stage: SiteStage, rogue: Rogue, generation: int, text: str
) -> None:
    lose(stage, "power-cut")
    rogue.commit_recovery("web", rogue.fence("h2"), "h3")
    rogue.begin("web", "h3", generation=2)
    lose(stage, "power-cut", "h3")
    rogue.commit_recovery("web", rogue.fence("h3"), "h4", generation)
    said = broken(stage, lambda: rogue.begin("web", "h4", generation))
    assert said == f"{fence_laws.ONCE}: {text}"


def test_the_next_generation_may_begin_elsewhere(stage: SiteStage, rogue: Rogue) -> None:
    lose(stage, "power-cut")
    rogue.commit_recovery("web", rogue.fence("h2"), "h3")
    rogue.begin("web", "h3", generation=2)
    lose(stage, "power-cut", "h3")
    rogue.commit_recovery("web", rogue.fence("h3"), "h4", 3)
    assert broken(stage, lambda: rogue.begin("web", "h4", 3)) == ""


# The promised number is restored.


def over(stage: SiteStage, rogue: Rogue) -> None:
    """h2 was proven dead, and is back, without its VM."""
    lose(stage, "power-cut")
    rogue.commit_fence(rogue.fence("h2", FenceStep.OFF))
    play(stage, "boot h2")
    stage.advance(20_000)


def alarm(vm: str, text: str) -> Alarm:
    return Alarm(
        key=f"{vm}:vm-on-lost-host",
        condition="vm-on-lost-host",
        revision=1,
        state=AlarmState.RAISED,
        subject=vm_subject(vm, "web"),
        host="h1",
        boot="b",
        certainty=Certainty.CERTAIN,
        severity=Severity.CRITICAL,
        text=text,
        fault_at=Instant(0),
        detected_at=Instant(0),
    )


def test_a_vm_of_a_dead_host_that_runs_nowhere_is_alarmed(stage: SiteStage, rogue: Rogue) -> None:
    over(stage, rogue)
    assert list(stage.fences.not_restored()) == []
    vm = stage.site.hosts["h2"].machine.vms.vms["web"]
    play(stage, "kill-agent h2")
    play(stage, "kill web")
    stage.advance(1_000)
    stage.site.receiver.alarms.clear()
    text = "web of h2 runs 0 times, and no alarm says why"
    assert list(stage.fences.not_restored()) == [f"{fence_laws.RESTORED}: {text}"]
    with pytest.raises(LawBroken, match=text):
        stage.fences.at_the_end()
    for said, is_enough in (("", False), ("no host has room for it", True)):
        stage.site.receiver.alarms["k"] = alarm(vm.uuid, said)
        assert (list(stage.fences.not_restored()) == []) is is_enough


def test_who_runs_twice_is_not_restored(stage: SiteStage, rogue: Rogue) -> None:
    over(stage, rogue)
    assert broken(stage, lambda: rogue.begin("web", "h3", 0)) != ""
    assert [said for said in stage.fences.not_restored() if "web of h2 runs 2 times" in said]


def test_a_vm_that_nobody_is_to_bring_back_is_left_alone(stage: SiteStage, rogue: Rogue) -> None:
    play(stage, "group theirs owner=nobody")
    play(stage, "protect web group=theirs")
    over(stage, rogue)
    assert stage.fences.truth.runs_of(stage.site.host_of("web").machine.vms.vms["web"].uuid) == 0
    assert list(stage.fences.not_restored()) == []


def void(_: object) -> None:
    """For a call whose words nobody needs."""
