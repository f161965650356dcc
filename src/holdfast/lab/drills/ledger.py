"""What must arrive, what did, and what else did: each drill keeps one, on one host or on a site."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from holdfast.lab.drills.inbox import Arrival, Inbox

# Holdfast measures itself too. On a machine that others keep busy this is true, and no false alarm;
# how slow it was, the drill measures itself.
OF_ITSELF = "reporting-slow"
Say = Callable[[str], None]
Allowed = Callable[[Arrival], bool]


@dataclass
class Ledger:
    """`lost` injections without their alarm, `false_alarms` without an injection, waits overrun."""

    inbox: Inbox
    say: Say
    lost: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    overran: list[str] = field(default_factory=list)
    asides: list[str] = field(default_factory=list)
    _judged_ns: int = field(default_factory=time.monotonic_ns)
    _explained: set[tuple[str, int]] = field(default_factory=set)
    _known: set[tuple[str, int]] = field(default_factory=set)

    def wait_alarm(
        self, subject: str, conditions: Iterable[str], since_ns: int, limit_s: float, what: str
    ) -> Arrival | None:
        """Wait for the alarm that an injection must raise; without it the injection is lost.

        With no subject, anybody's alarm of these conditions will do.
        """
        wanted = set(conditions)
        arrival = self.inbox.wait(
            lambda one: (
                one.is_raised
                and one.condition in wanted
                and one.subject == (subject or one.subject)
            ),
            since_ns=since_ns,
            limit_s=limit_s,
        )
        if arrival is None:
            self.lost.append(f"{what}: no alarm within {limit_s:g} s")
            self.say(f"LOST: {self.lost[-1]}")
        else:
            self._explain(arrival)
        return arrival

    def judge(self, allowed: Allowed = lambda _: False) -> None:
        """Whatever else was raised since the last judgement is false, unless it is allowed.

        The same revision of the same alarm from another replica is no other alarm.
        """
        for one in self.inbox.list_raised(self._judged_ns):
            if (one.stream, one.sequence) in self._explained:
                continue
            is_repeat = (one.key, one.revision) in self._known
            self._explain(one)
            if is_repeat or allowed(one):
                continue
            if one.condition == OF_ITSELF:
                self.asides.append(f"it said of itself: {one.text}")
                continue
            self.false_alarms.append(f"{one.condition}: {one.text}")
            self.say(f"FALSE: {self.false_alarms[-1]}")

    def overrun(self, what: str) -> None:
        """A wait reached its limit."""
        self.overran.append(what)
        self.say(f"OVERRAN: {what}")

    def _explain(self, arrival: Arrival) -> None:
        self._explained.add((arrival.stream, arrival.sequence))
        self._known.add((arrival.key, arrival.revision))
