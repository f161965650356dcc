"""What a host hands over of its hardware: what nothing is at work on, with the worst advice.

covers: H1 H5
"""

from holdfast.facts.hardware import ADVICE, MEMORY, Advice, Part, PartKind, part_subject
from holdfast.facts.instants import Instant
from holdfast.facts.mending import Risk
from holdfast.facts.settings_hardware import Repair
from holdfast.facts.verdicts import Certainty, Effect, FaultRaised
from holdfast.policy.decide import Decider
from holdfast.policy.hand_overs import handed_over
from holdfast.policy.hardware_ladders import ASKED_FOR, HARMLESS, hardware_ladders

FAN = Part(kind=PartKind.FAN, id="1", name="fan 1")


def fault(condition: str, part: Part, advice: str) -> FaultRaised:
    return FaultRaised(
        detector="d",
        condition=condition,
        subject=part_subject(part),
        effect=Effect.DEGRADED,
        certainty=Certainty.CERTAIN,
        fault_at=Instant(1),
        detected_at=Instant(1),
        reason=f"{part.name}: {condition}",
        evidence={ADVICE: advice},
    )


def over(*faults: FaultRaised) -> dict[str, tuple[str, str]]:
    decider = Decider()
    for one in faults:
        decider.step(one)
    return {what: (one.reason, one.advice) for what, one in handed_over(decider.world).items()}


def test_what_harms_nothing_is_an_alarm_and_no_hand_over() -> None:
    assert over(fault("fan-failed", FAN, Advice.NOTHING)) == {}
    assert over(fault("fan-failed", FAN, Advice.QUARANTINE)) == {
        "fan:1": ("fan 1: fan-failed", "quarantine")
    }


def test_of_two_faults_of_a_part_the_worst_advice_counts() -> None:
    corrects = fault("memory-corrected", MEMORY, Advice.QUARANTINE)
    lost = fault("memory-fatal", MEMORY, Advice.DRAIN)
    for faults in ((corrects, lost), (lost, corrects)):
        [(_, advice)] = over(*faults).values()
        assert advice == "drain"


def test_a_word_that_nobody_knows_moves_nothing() -> None:
    [(_, advice)] = over(fault("fan-failed", FAN, "evacuate")).values()
    assert advice == "quarantine"


def test_by_default_nothing_is_begun_that_vms_may_feel() -> None:
    assert hardware_ladders(Repair.NONE) == ()
    by_default = hardware_ladders(Repair.HARMLESS)
    assert {step.risk for one in by_default for step in one.steps} == {Risk.NONE}
    assert by_default == HARMLESS
    assert {one.condition for one in by_default} == {"memory-corrected"}
    felt = [s.risk for one in ASKED_FOR if one.condition != "raid-degraded" for s in one.steps]
    assert set(felt) == {Risk.GUESTS}, "only when it is certain"
    assert hardware_ladders(Repair.ALL) == (*HARMLESS, *ASKED_FOR)
