"""What is done about a switch: only where it was asked for, after its daemons, and once.

covers: H1 H18
"""

from holdfast.facts.actions import Action, Report, TryRepair
from holdfast.facts.guards import READY_MADE
from holdfast.facts.mending import HANDED_OVER, HELD_BACK, REPAIR, RepairLadder
from holdfast.facts.subjects import Subject
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised
from holdfast.facts.vswitch import bridge_subject, port_subject
from holdfast.policy import timing
from holdfast.policy.process_ladders import ladders_of
from holdfast.policy.vswitch_ladders import DAEMON, DATABASE, with_switch
from tests.policy.ladder_scene import LadderScene, at, cleared, raised

GUARDS = tuple(READY_MADE[name] for name in (DATABASE, DAEMON))
FLOWS, PORT, UPLINK = "vswitch-flows-lost", "vswitch-port-missing", "vswitch-uplink-lost"
BRIDGE, TUNNEL = bridge_subject("br-int"), port_subject("br-tun", "v1")


def ladders(*, repair: bool = True, runs: int = 1) -> tuple[RepairLadder, ...]:
    return with_switch(ladders_of(GUARDS, "/run/m"), "/run/m", repair=repair, runs_an_hour=runs)


def lost(ms: float, condition: str, subject: Subject = BRIDGE) -> FaultRaised:
    return FaultRaised(
        detector="test",
        condition=condition,
        subject=subject,
        effect=Effect.DEGRADED,
        certainty=Certainty.CERTAIN,
        fault_at=at(ms),
        detected_at=at(ms),
        reason=f"{condition} of {subject.name}",
    )


def back(ms: float, condition: str, subject: Subject = BRIDGE) -> FaultCleared:
    return FaultCleared(
        detector="test", condition=condition, subject=subject, at=at(ms), reason="it is there"
    )


class Scene(LadderScene):
    """Its laws are about one fault of each subject: here a bridge has several."""

    def _judge(self, action: Action) -> None:
        match action:
            case TryRepair():
                self.orders.append(action)
            case Report():
                self.alarms[action.alarm.key] = action.alarm
            case _:
                pass

    def _judge_hand_overs(self) -> None:
        """Each test says what it awaits."""

    def repair_of(self, condition: str) -> str:
        found = [one for one in self.alarms.values() if one.condition == condition]
        return found[-1].details.get(REPAIR, "")

    def acts(self) -> list[tuple[str, ...]]:
        return [order.step.args for order in self.orders]


def test_flows_ports_and_links_have_each_their_own_step_and_their_own_budget() -> None:
    scene = Scene(ladders())
    for number, condition in enumerate((FLOWS, PORT, UPLINK)):
        scene.step(lost(1_000 + number, condition))
    mark = "/run/m/vswitch"
    assert scene.acts() == [("flows", mark), ("ports", mark), ("links", mark)]


def test_what_goes_a_second_time_within_the_hour_is_meant() -> None:
    scene = Scene(ladders())
    scene.step(lost(1_000, FLOWS))
    scene.done(1_100)
    scene.step(back(2_000, FLOWS))
    scene.step(lost(5_000, FLOWS))
    assert len(scene.orders) == 1
    assert scene.repair_of(FLOWS) == HANDED_OVER


def test_nothing_of_the_switch_is_mended_unless_the_settings_ask_for_it() -> None:
    scene = Scene(ladders(repair=False))
    for condition in (FLOWS, PORT, UPLINK):
        scene.step(lost(1_000, condition))
    assert scene.orders == []
    assert scene.repair_of(FLOWS) == ""
    assert not any(
        "switch" in one.condition for one in with_switch((), "", repair=False, runs_an_hour=1)
    )


def test_all_that_a_dead_daemon_causes_waits_for_it_and_comes_back_with_it() -> None:
    for repair in (True, False):
        scene = Scene(ladders(repair=repair))
        scene.step(raised(1_000, DAEMON))
        told = ((FLOWS, BRIDGE), (UPLINK, BRIDGE), ("bfd-down", TUNNEL))
        for number, (condition, subject) in enumerate(told):
            scene.step(lost(1_100 + number, condition, subject))
        assert [order.subject.id for order in scene.orders] == [DAEMON]
        waiting = [one for one in scene.alarms.values() if one.subject.id != DAEMON]
        assert {one.root for one in waiting} == {scene.alarm(DAEMON).key}
        scene.done(2_000)
        scene.step(cleared(3_000, DAEMON))
        for condition, subject in told:
            scene.step(back(4_000, condition, subject))
        assert len(scene.orders) == 1
        assert scene.decider.world.mends.open == {}


def test_what_has_no_repair_waits_for_its_cause_whatever_the_budget_is() -> None:
    scene = Scene(ladders(runs=0))
    scene.step(raised(1_000, DAEMON))
    scene.step(lost(1_100, "bfd-down", TUNNEL))
    scene.step(lost(1_101, FLOWS))
    assert scene.repair_of("bfd-down") == HELD_BACK
    assert scene.repair_of(FLOWS) == HANDED_OVER


def test_what_does_not_come_back_with_the_daemon_is_mended_or_handed_over_itself() -> None:
    scene = Scene(ladders())
    scene.step(raised(1_000, DAEMON))
    scene.step(lost(1_100, FLOWS))
    scene.step(lost(1_101, "bfd-down", TUNNEL))
    scene.done(2_000)
    scene.step(cleared(3_000, DAEMON))
    scene.advance(3_000 + timing.AFTER_CAUSE_MS + 1)
    assert [order.step.args[0] for order in scene.orders] == ["restart", "flows"]
    assert scene.repair_of("bfd-down") == HANDED_OVER


def test_a_path_that_is_lost_by_itself_is_only_told() -> None:
    scene = Scene(ladders())
    scene.step(lost(1_000, "bfd-down", TUNNEL))
    assert scene.decider.world.mends.open == {}
    assert scene.repair_of("bfd-down") == ""


def test_a_daemon_keeps_its_flows_and_the_database_takes_no_daemon_along() -> None:
    made = {one.subject: one.steps[0] for one in ladders() if one.subject}
    assert made[DAEMON].mender == made[DATABASE].mender == "switch"
    assert made[DAEMON].args == ("restart", "unit", "ovs-vswitchd.service")
    assert made[DATABASE].args == ("start", "ovsdb-server.service")
