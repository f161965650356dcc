"""Sites that are broken on purpose: one for each law, given to the swarm in place of the real."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from holdfast.adapters.simulated.outbox import OutboxInMemory
from holdfast.facts.actions import Action, Report
from holdfast.facts.alarms import AlarmRecord, AlarmState
from holdfast.facts.commands import Woke
from holdfast.facts.site import SiteFact
from holdfast.facts.verdicts import Certainty, FaultCleared, HostHeard
from holdfast.policy.site import SiteDecider
from holdfast.policy.site_world import HostRecord, SiteWorld
from tests.simulation.agents import SimulatedAgent
from tests.simulation.controllers import SimulatedController
from tests.simulation.ears import SimulatedEar
from tests.simulation.site_laws import OF_LOSS

FEAR_S = 2.0


class PatientController(SimulatedController):
    """It waits for forty missed pulses before a host is silent."""

    def _make_ear(self, module: str, args: list[str], heard: Callable[[Any], None]) -> SimulatedEar:
        ear = super()._make_ear(module, args, heard)
        send = ear.send

        def send_patience(message: Any) -> None:
            send({**message, "misses": 40} if "misses" in message else message)

        ear.send = send_patience  # type: ignore[method-assign]
        return ear


class CertainDecider(SiteDecider):
    """What it suspects it calls certain."""

    def step(self, fact: SiteFact) -> list[Action]:
        return [_certain(action) for action in super().step(fact)]


def _certain(action: Action) -> Action:
    if not isinstance(action, Report):
        return action
    return Report(alarm=msgspec.structs.replace(action.alarm, certainty=Certainty.CERTAIN))


class StubbornDecider(SiteDecider):
    """It never says that something is over."""

    def step(self, fact: SiteFact) -> list[Action]:
        return [action for action in super().step(fact) if not _clears(action)]


def _clears(action: Action) -> bool:
    return isinstance(action, Report) and action.alarm.state is AlarmState.CLEARED


class DeafDecider(SiteDecider):
    """A suspicion that was wrong is not taken back: who is heard again stays lost."""

    def step(self, fact: SiteFact) -> list[Action]:
        is_over = isinstance(fact, FaultCleared) and fact.condition in OF_LOSS
        if is_over or isinstance(fact, HostHeard):
            return []
        return super().step(fact)


class ProudDecider(SiteDecider):
    """It never asks a person."""

    def _page(self, _record: HostRecord) -> list[Action]:
        return []


class SleepyDecider(SiteDecider):
    """It asks to be woken, and does nothing when it is."""

    def step(self, fact: SiteFact) -> list[Action]:
        return [] if isinstance(fact, Woke) else super().step(fact)


class ForgetfulOutbox(OutboxInMemory):
    """What was answered, and what came right after it, counts as sent."""

    def acknowledge(self, stream: str, sequence: int) -> None:
        super().acknowledge(stream, sequence)
        super().acknowledge(stream, sequence + 1)


class RepeatingController(SimulatedController):
    """It tells the earlier revision once more after the later one."""

    def _tell(self, record: AlarmRecord) -> None:
        before = self.told.get(record.alarm.key)
        super()._tell(record)
        if before is not None:
            self.courier.hand(before)
        self.told[record.alarm.key] = record

    @property
    def told(self) -> dict[str, AlarmRecord]:
        told: Any = self.machine.disk.setdefault("told", {})
        return cast(dict[str, AlarmRecord], told)


class SecretiveController(SimulatedController):
    """Each pages what it told itself, as if it were alone."""

    def _make_replicas(self) -> None:
        super()._make_replicas()
        patience = self.pager.patience
        assert patience is not None
        patience.told_elsewhere = lambda _record: False
        patience.absorb = lambda _record, **_: False  # type: ignore[method-assign]


class FrightenedAgent(SimulatedAgent):
    """Without a controller it ends its VMs, as one that fences itself by mistake."""

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(super()._run())
            group.create_task(self._fear())

    async def _fear(self) -> None:
        alone_s = 0.0
        while True:
            await asyncio.sleep(0.5)
            is_alone = self.uplink is not None and not self.uplink.is_up
            alone_s = alone_s + 0.5 if is_alone else 0.0
            if alone_s >= FEAR_S:
                for name, vm in self.machine.vms.vms.items():
                    if vm.runs and not vm.is_ending:
                        self.machine.vms.destroy(name)


def deciding(kind: type[SiteDecider]) -> type[SimulatedController]:
    """A controller with this decider."""

    class Controller(SimulatedController):
        def make_decider(self, world: SiteWorld | None) -> SiteDecider:
            return kind(world)

    return Controller


class ForgetfulController(SimulatedController):
    make_outbox = ForgetfulOutbox


@dataclass(frozen=True)
class Mutant:
    """`law` is what the swarm must say; `trouble` what it plays, so that few worlds show it."""

    name: str
    law: str
    parts: dict[str, Any]
    trouble: dict[str, int] = field(default_factory=dict)


LOSSES = {"power-cut {host}": 3, "boot {host}": 3, "freeze {host}": 2, "resume {host}": 3}
CONTROLLERS = {"kill-controller {controller}": 3, "start-controller {controller}": 1}

MUTANTS = (
    Mutant(
        "a host is silent only after two seconds",
        "every pushed fault is reported within one second",
        {"make_controller": PatientController},
        LOSSES,
    ),
    Mutant(
        "a suspicion is called certain",
        "nothing is confirmed that lives",
        {"make_controller": deciding(CertainDecider)},
        LOSSES,
    ),
    Mutant(
        "nothing is ever cleared",
        "alarms end cleared, or with a person",
        {"make_controller": deciding(StubbornDecider)},
        LOSSES,
    ),
    Mutant(
        "whom another one paged is not told that it is over",
        "who was paged has",
        {"make_controller": SecretiveController, "pauses": ("100 ms", "40 s")},
        {"isolate {host}": 3, "mend": 2, "kill-controller {controller}": 3},
    ),
    Mutant(
        "a suspicion is never retracted",
        "alarms end cleared, or with a person",
        {"make_controller": deciding(DeafDecider)},
        LOSSES,
    ),
    Mutant(
        "nobody is asked about a host that stays silent",
        "nobody is asked about",
        {"make_controller": deciding(ProudDecider), "pauses": ("20 s", "40 s")},
        {"power-cut {host}": 1},
    ),
    Mutant(
        "who is woken sleeps on",
        "no state without an exit",
        {"make_controller": deciding(SleepyDecider)},
        LOSSES,
    ),
    Mutant(
        "an agent without controllers ends its VMs",
        "losing controllers or store stops no VM",
        {"make_agent": FrightenedAgent},
        CONTROLLERS,
    ),
    Mutant(
        "a report is forgotten",
        "no report is lost",
        {"make_controller": ForgetfulController},
        {**LOSSES, "kill {vm}": 3},
    ),
    Mutant(
        "an earlier revision is told again",
        "revisions keep their order",
        {"make_controller": RepeatingController},
        LOSSES,
    ),
)
