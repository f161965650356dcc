"""A small scene for tests of policy: one VM, and what befalls it, through the laws."""

from collections.abc import Iterable

from holdfast.facts.actions import (
    Action,
    Report,
)
from holdfast.facts.alarms import Alarm
from holdfast.facts.commands import (
    Woke,
)
from holdfast.facts.instants import NS_PER_MS
from holdfast.facts.outcomes import (
    LastWordsCaptured,
)
from holdfast.facts.subjects import Incarnation
from holdfast.policy.decide import Input
from holdfast.policy.vm_states import VmState
from holdfast.policy.world import VmRecord
from tests.policy import inputs
from tests.policy.inputs import at, life
from tests.policy.laws import Lawful

WEB1, WEB2, WEB3 = life(1), life(2), life(3)
UUID = "uuid-web"


class Scene:
    """A protected VM web runs as its first life. `ms` is the instant of the next fact."""

    def __init__(self, *, is_protected: bool = True, has_run: bool = True) -> None:
        self.lawful = Lawful()
        self.ms = 1_000.0
        self.step(inputs.booted(0), inputs.group_set(1))
        if has_run:
            self.step(inputs.ran(2, WEB1))
        if is_protected and has_run:
            self.step(inputs.granted(3))

    def step(self, *facts: Input) -> list[Action]:
        return [action for fact in facts for action in self.lawful.step(fact)]

    def later(self, ms: float = 10) -> float:
        self.ms += ms
        return self.ms

    def wake(self) -> list[Action]:
        """Sleep until policy wants to be woken."""
        due = self.lawful.deadline()
        assert due is not None, "nobody wants to be woken"
        self.ms = max(self.ms, due / NS_PER_MS)
        return self.step(Woke(at=due))

    @property
    def web(self) -> VmRecord:
        return self.lawful.decider.world.vms[UUID]

    def state(self) -> VmState:
        return self.web.state

    @property
    def incident(self) -> str:
        assert self.web.incident, "no incident is open"
        return self.web.incident

    @property
    def open_alarms(self) -> set[str]:
        return {alarm.condition for alarm in self.lawful.decider.world.alarms.values()}

    def kill(self, which: Incarnation = WEB1) -> list[Action]:
        now = self.later()
        return self.step(inputs.failed(now, which), inputs.ended(now + 1, which))

    def prove(self, which: Incarnation = WEB1, wanted: str = "") -> list[Action]:
        return self.step(inputs.proven(self.later(), self.incident, which, wanted))

    def restart(self, old: Incarnation = WEB1, new: Incarnation = WEB2) -> None:
        """From a kill to the new life."""
        self.kill(old)
        self.prove(old)
        while self.state() is VmState.WAITING:
            self.wake()
            self.prove(old)
        incident = self.incident
        self.step(inputs.ran(self.later(), new), inputs.started(self.later(), incident, new))

    def stick(self) -> list[Action]:
        return self.step(inputs.stuck(self.later(), WEB1))

    def capture(self) -> list[Action]:
        done = LastWordsCaptured(incident=self.incident, at=at(self.later()), bundle="b")
        return self.step(done)


def kinds(actions: Iterable[Action]) -> list[type]:
    return [type(action) for action in actions]


def alarms_in(actions: Iterable[Action]) -> list[Alarm]:
    return [action.alarm for action in actions if isinstance(action, Report)]
