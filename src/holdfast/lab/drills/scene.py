"""What every drill has at hand: a host with Holdfast on it, its choices, and the counts so far."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from holdfast.lab.drills.inbox import Arrival
from holdfast.lab.drills.stage import Say, Stage
from holdfast.lab.event_watch import EventWatch
from holdfast.lab.hosts import Host

# Later alarms for the same fault, and false ones, are looked for so long after the last run.
AFTERMATH_S = 2.0


@dataclass(frozen=True)
class Choices:
    """What the command line chose. `runs` is None for the drill's own number."""

    runs: int | None = None
    memory_mib: int | None = None
    is_busy: bool = False
    vms: int | None = None


@dataclass
class Scene:
    """One drill under way. `expected` are the alarms that injections must raise, once each."""

    host: Host
    stage: Stage
    events: EventWatch
    choices: Choices
    say: Say
    lost: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    overran: list[str] = field(default_factory=list)
    _judged_ns: int = field(default_factory=time.monotonic_ns)
    _explained: set[tuple[str, int]] = field(default_factory=set)

    def wait_alarm(
        self, vm: str, conditions: Iterable[str], since_ns: int, limit_s: float, what: str
    ) -> Arrival | None:
        """Wait for the alarm that an injection must raise; without it the injection is lost."""
        wanted = set(conditions)
        arrival = self.stage.inbox.wait(
            lambda one: one.is_raised and one.vm == vm and one.condition in wanted,
            since_ns=since_ns,
            limit_s=limit_s,
        )
        if arrival is None:
            self.lost.append(f"{what}: no alarm within {limit_s:g} s")
            self.say(f"LOST: {self.lost[-1]}")
        else:
            self._explained.add((arrival.stream, arrival.sequence))
        return arrival

    def judge(self, allowed: Callable[[Arrival], bool] = lambda _: False) -> None:
        """Whatever else was raised since the last judgement is false, unless it is allowed."""
        for one in self.stage.inbox.list_raised(self._judged_ns):
            if (one.stream, one.sequence) in self._explained or allowed(one):
                continue
            self._explained.add((one.stream, one.sequence))
            self.false_alarms.append(f"{one.condition}: {one.text}")
            self.say(f"FALSE: {self.false_alarms[-1]}")

    def overrun(self, what: str) -> None:
        """A wait reached its limit."""
        self.overran.append(what)
        self.say(f"OVERRAN: {what}")
