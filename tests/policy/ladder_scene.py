"""A host that mends itself, for tests of the ladder: its laws are checked at every input.

The laws follow the inputs on their own and know nothing of what policy believes.
"""

from dataclasses import dataclass, field

from holdfast.facts import commands as told
from holdfast.facts import outcomes as came
from holdfast.facts.actions import Action, Report, TryRepair
from holdfast.facts.alarms import Alarm, AlarmState
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.mending import HANDED_OVER, REPAIR, RepairLadder, RepairStep, Risk
from holdfast.facts.promises import Disarm
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised
from holdfast.policy import timing
from holdfast.policy.decide import Decider, Input

CONDITION = "process-failed"
TOTAL_MS, RUNS = 30_000, 3
HOUR_MS = 3_600_000


def step(name: str, *, risk: Risk = Risk.SERVICE) -> RepairStep:
    return RepairStep(
        name=name,
        says=f"{name} it",
        mender="command",
        budget_ms=5_000,
        verify_ms=3_000,
        verified="it runs",
        risk=risk,
    )


def ladder(subject: str = "nova", needs: tuple[str, ...] = ()) -> RepairLadder:
    return RepairLadder(
        condition=CONDITION,
        subject=subject,
        steps=(step("restart"), step("reset")),
        total_ms=TOTAL_MS,
        runs_an_hour=RUNS,
        needs=needs,
    )


LADDERS = (ladder("libvirt"), ladder("nova", ("libvirt",)))


def at(ms: float) -> Instant:
    return Instant(round(ms * NS_PER_MS))


def subject_of(name: str) -> Subject:
    return Subject(kind=SubjectKind.PROCESS, id=name, name=name)


def raised(
    ms: float,
    name: str = "nova",
    effect: Effect = Effect.GONE,
    certainty: Certainty = Certainty.CERTAIN,
) -> FaultRaised:
    return FaultRaised(
        detector="test",
        condition=CONDITION,
        subject=subject_of(name),
        effect=effect,
        certainty=certainty,
        fault_at=at(ms),
        detected_at=at(ms),
        reason=f"{name} is {effect}",
    )


def cleared(ms: float, name: str = "nova", *, was_wrong: bool = False) -> FaultCleared:
    return FaultCleared(
        detector="test",
        condition=CONDITION,
        subject=subject_of(name),
        at=at(ms),
        reason=f"{name} runs",
        was_wrong=was_wrong,
    )


def disarmed(ms: float, until_ms: float) -> told.Disarmed:
    disarm = Disarm(owner="ann", reason="work", since_utc_ms=0, until_utc_ms=1)
    return told.Disarmed(at=at(ms), disarm=disarm, until=at(until_ms))


def booted(ms: float, boot: str = "b1") -> told.Booted:
    return told.Booted(at=at(ms), host="h1", host_name="h1", boot=boot, state_id="s")


@dataclass
class _Truth:
    """Of one subject, as the inputs tell."""

    is_faulty: bool = False
    raised_at: float = 0.0
    in_flight: TryRepair | None = None
    ends_by: float = 0.0
    runs: list[float] = field(default_factory=list)
    steps_since: int = 0
    is_handed_over: bool = False


class LadderScene:
    """`alarms` are the newest revisions, `orders` all steps that were asked for."""

    def __init__(self, ladders: tuple[RepairLadder, ...] = LADDERS) -> None:
        self.decider = Decider()
        self.alarms: dict[str, Alarm] = {}
        self.orders: list[TryRepair] = []
        self.said: list[str] = []
        self._truth: dict[str, _Truth] = {}
        self._ladders = {one.subject: one for one in ladders}
        self._is_disarmed = False
        self._now = 0.0
        self.step(booted(0))
        self.step(told.LaddersSet(at=at(0), ladders=ladders))

    def truth(self, name: str) -> _Truth:
        return self._truth.setdefault(name, _Truth())

    def step(self, fact: Input) -> list[Action]:
        self._follow(fact)
        actions = self.decider.step(fact)
        for action in actions:
            self._judge(action)
        return actions

    def advance(self, to_ms: float) -> None:
        """Let policy's deadlines come, each in its time."""
        for _ in range(100):
            due = self.decider.deadline()
            if due is None or due > at(to_ms):
                break
            self.step(told.Woke(at=max(due, self.decider.world.now)))
        else:
            raise AssertionError("policy asks to be woken for ever")
        if self.decider.world.now < at(to_ms):
            self.step(told.Woke(at=at(to_ms)))
        self._judge_hand_overs()

    def done(self, ms: float, said: str = "done") -> list[Action]:
        """The newest order says that it was done."""
        order = self.orders[-1]
        return self.step(
            came.StepDone(
                incident=order.incident, at=at(ms), key=order.key, number=order.number, said=said
            )
        )

    def failed(self, ms: float, reason: str = "no", *, overran: bool = False) -> list[Action]:
        order = self.orders[-1]
        return self.step(
            came.StepFailed(
                incident=order.incident,
                at=at(ms),
                key=order.key,
                number=order.number,
                reason=reason,
                overran=overran,
            )
        )

    def alarm(self, name: str = "nova") -> Alarm:
        return next(one for one in self.alarms.values() if one.subject.id == name)

    def repair(self, name: str = "nova") -> str:
        return self.alarm(name).details.get(REPAIR, "")

    # What is true.

    def _follow(self, fact: Input) -> None:
        instant = fact.detected_at if isinstance(fact, FaultRaised) else fact.at
        self._now = max(self._now, instant / NS_PER_MS)
        world = self.decider.world
        if world.disarmed_until is not None and isinstance(fact, told.Woke):
            self._is_disarmed &= world.disarmed_until > fact.at
        match fact:
            case FaultRaised():
                truth = self.truth(fact.subject.id)
                if not truth.is_faulty:
                    truth.steps_since, truth.is_handed_over = 0, False
                    truth.raised_at = self._now
                truth.is_faulty = True
            case FaultCleared():
                self.truth(fact.subject.id).is_faulty = False
            case told.Disarmed():
                self._is_disarmed = True
            case told.Armed():
                self._is_disarmed = False
            case told.Booted() | told.Restarted():
                for truth in self._truth.values():
                    truth.in_flight = None
            case came.StepDone() | came.StepFailed():
                for truth in self._truth.values():
                    order = truth.in_flight
                    if order and (order.key, order.number) == (fact.key, fact.number):
                        truth.in_flight = None
            case _:
                pass

    # The laws.

    def _judge(self, action: Action) -> None:
        match action:
            case TryRepair():
                self._judge_order(action)
                self.orders.append(action)
            case Report():
                self._judge_report(action.alarm)
            case _:
                pass

    def _judge_order(self, order: TryRepair) -> None:
        name = order.subject.id
        truth, ladder = self.truth(name), self._ladders[name]
        known = self.alarms.get(order.key)
        assert known is not None, "a step was tried before the fault was told"
        assert known.state is not AlarmState.CLEARED, "a step for what is over"
        assert not truth.is_handed_over, "a step after the VIM was told to take it"
        assert not self._is_disarmed, "a step while disarmed"
        assert order.limit_ms <= order.step.budget_ms, "a step without its budget"
        assert order.limit_ms > 0, "a step without time"
        is_free = truth.in_flight is None or self._now >= truth.ends_by
        assert is_free, "two steps of one fault at once"
        for cause in ladder.needs:
            other = self._truth.get(cause)
            is_held = other is not None and other.is_faulty and not other.is_handed_over
            assert not is_held, "its cause is mended first"
        truth.steps_since += 1
        assert truth.steps_since <= 2 * len(ladder.steps), "a ladder without an end"
        if order.step == ladder.steps[0] and order.number == 1:
            truth.runs.append(self._now)
            recent = [one for one in truth.runs if self._now - one < HOUR_MS]
            assert len(recent) <= ladder.runs_an_hour, "more runs than its budget of the hour"
        truth.in_flight = order
        truth.ends_by = self._now + order.limit_ms + timing.STEP_SAID_MS

    def _judge_report(self, alarm: Alarm) -> None:
        if alarm.condition != CONDITION:
            return
        truth = self.truth(alarm.subject.id)
        if alarm.state is AlarmState.CLEARED and "booted" not in alarm.text:
            assert not truth.is_faulty, "cleared on the word of a step, with nobody having looked"
        truth.is_handed_over |= alarm.details.get(REPAIR) == HANDED_OVER
        self.alarms[alarm.key] = alarm
        self.said.append(f"{self._now / 1_000:.1f} s {alarm.state}: {alarm.text}; {alarm.repair}")

    def _judge_hand_overs(self) -> None:
        """Whatever happened: after its time the VIM has it, or it is over."""
        for alarm in self.alarms.values():
            if alarm.state is AlarmState.CLEARED:
                continue
            truth = self.truth(alarm.subject.id)
            waits = len(self._ladders[alarm.subject.id].needs)
            limit = truth.raised_at + (1 + 3 * waits) * TOTAL_MS + timing.STEP_SAID_MS
            is_due = self._now > limit
            assert truth.is_handed_over or not is_due, "its time is over, and nobody was told"
