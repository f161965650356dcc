"""Whom the controllers of a simulated site tell: a VIM beyond the network, and a pager there."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.machine import Machine
from holdfast.facts.alarms import Alarm, AlarmRecord, AlarmState
from holdfast.ports.notifier import Notice, NotifyFailed

NAME, PAGER = "vim", "pager"
LINKS = "a"
ANSWER_LIMIT_S = 2.0
WORK_MS = 1.0


@dataclass
class Arrived:
    """One notice with an alarm, as the receiver read it."""

    at: int
    controller: str
    notice: Notice
    record: AlarmRecord


@dataclass
class Receiver:
    """It keeps the highest revision of each alarm, and hears the same one from many."""

    clock: Clock
    arrived: list[Arrived] = field(default_factory=list)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    is_away: bool = False
    is_slow_ms: float = 0.0
    heard: Callable[[Arrived], None] = lambda _: None

    def take(self, controller: str, notice: Notice) -> None:
        if notice.record is None:
            return
        arrived = Arrived(self.clock.now, controller, notice, notice.record)
        self.arrived.append(arrived)
        alarm = notice.record.alarm
        known = self.alarms.get(alarm.key)
        if known is None or known.revision < alarm.revision:
            self.alarms[alarm.key] = alarm
        self.heard(arrived)

    def open(self) -> list[Alarm]:
        return [alarm for alarm in self.alarms.values() if alarm.state is not AlarmState.CLEARED]


class SimulatedWebhook:
    """See ports.notifier.Notifier: one controller's way to the receiver."""

    def __init__(self, machine: Machine, receiver: Receiver, name: str = NAME) -> None:
        self.name, self.heartbeat_s = name, 0.0
        self._machine, self._receiver = machine, receiver
        self.loses_answers = 0

    async def notify(self, notice: Notice) -> None:
        machine, network, receiver = self._machine, self._machine.network, self._receiver
        await asyncio.sleep((self._way_ms() + WORK_MS + receiver.is_slow_ms) / 1_000)
        is_reached = network.talk(machine.name, NAME, LINKS) and not receiver.is_away
        if is_reached:
            receiver.take(machine.name, notice)
        if self.loses_answers:
            self.loses_answers -= 1
            is_reached = False
        if not is_reached:
            await asyncio.sleep(ANSWER_LIMIT_S)
            raise NotifyFailed("the VIM does not answer")
        await asyncio.sleep(self._way_ms() / 1_000)

    async def close(self) -> None:
        pass

    def _way_ms(self) -> float:
        return self._machine.network.delay_ms(LINKS)


class SimulatedPager(SimulatedWebhook):
    """A program of the machine's own: no weather slows it down."""

    def __init__(self, machine: Machine, receiver: Receiver) -> None:
        super().__init__(machine, receiver, PAGER)

    def _way_ms(self) -> float:
        return 0.0
