"""The heart of agent and controller: what was seen is judged, then decided, then done.

Everything here happens within one turn of the event loop, so that a report leaves before anything
else begins. An input is journaled before policy consumes it, so that after a kill -9 the journal
gives the same world again.
"""

import asyncio
import collections
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from holdfast.facts.actions import Action
from holdfast.facts.commands import Woke
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Verdict
from holdfast.ports.clock import now as now  # noqa: PLC0414
from holdfast.ports.defects import Defects
from holdfast.ports.detector import Detector
from holdfast.ports.journal import Journal

OBSERVATIONS_KEPT = 2_000
_LATEST_WAKE_S = 3_600.0
_SOONEST_WAKE_S = 0.001
_AFTER_DEFECT_S = 1.0  # What fails at its deadline would fail again at once, for ever.


Fact = TypeVar("Fact", bound=Struct)
Fact_contra = TypeVar("Fact_contra", bound=Struct, contravariant=True)


class Decides(Protocol[Fact_contra]):
    """A policy: one fact in, the actions it calls for out."""

    def step(self, fact: Fact_contra | Verdict | Woke) -> Sequence[Action]: ...

    def deadline(self) -> Instant | None: ...


class Turns(Generic[Fact]):
    """`act` carries out one action; it must return at once (what takes time becomes a task).

    A defect of policy or of an action costs that input, or that action, and nothing else.
    """

    def __init__(
        self,
        panel: Detector,
        decider: Decides[Fact],
        journal: Journal,
        act: Callable[[Action], None],
        defects: Defects | None = None,
        clock: Callable[[], Instant] = now,
    ) -> None:
        self._decider = decider
        self.defects = defects or Defects()
        self.observations: collections.deque[Observation] = collections.deque(
            maxlen=OBSERVATIONS_KEPT
        )
        self._panel = panel
        self._clock = clock
        self._journal = journal
        self._act = act
        self._timer: asyncio.TimerHandle | None = None
        self.after_turn: Callable[[], None] = lambda: None
        self._waiting: collections.deque[Fact | Verdict | Woke] = collections.deque()
        self._is_consuming = False

    def see(self, seen: Observation) -> None:
        """Hand an observation to the detectors, and what they say to policy."""
        self.observations.append(seen)
        self._consume_all(self._panel.observe(seen))

    def consume(self, fact: Fact | Verdict | Woke) -> None:
        """Give policy one input. What comes out of an action of this turn waits its turn."""
        self._waiting.append(fact)
        if self._is_consuming:
            return
        self._is_consuming = True
        try:
            while self._waiting:
                self._turn(self._waiting.popleft())
        finally:
            self._is_consuming = False
        self._set_timer()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _turn(self, fact: Fact | Verdict | Woke) -> None:
        at = self._clock()
        self._journal.append("input", at, fact)
        try:
            actions = self._decider.step(fact)
        except Exception as defect:  # noqa: BLE001  Counted, logged and shown.
            self.defects.note("policy", defect)
            return
        for action in actions:
            try:
                self._act(action)
            except Exception as defect:  # noqa: BLE001  Counted, logged and shown.
                self.defects.note(type(action).__name__, defect)
        for action in actions:
            self._journal.append("action", at, action)
        self.after_turn()

    def _consume_all(self, verdicts: Iterable[Verdict]) -> None:
        for verdict in verdicts:
            self.consume(verdict)
        self._set_timer()

    def _wake(self) -> None:
        self._timer = None
        known = sum(self.defects.counts.values())
        try:
            at = self._clock()
            due = self._panel.deadline()
            if due is not None and due <= at:
                self._consume_all(self._panel.wake(at))
            due = self._decider.deadline()
            if due is not None and due <= at:
                self.consume(Woke(at=at))
        finally:
            has_failed = sum(self.defects.counts.values()) > known
            self._set_timer(_AFTER_DEFECT_S if has_failed else _SOONEST_WAKE_S)

    def _set_timer(self, soonest_s: float = _SOONEST_WAKE_S) -> None:
        """Sleep exactly until the earliest deadline of detectors and policy."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        dues = [d for d in (self._panel.deadline(), self._decider.deadline()) if d is not None]
        if not dues:
            return
        wait_s = max(soonest_s, (min(dues) - self._clock()) / NS_PER_S)
        running = asyncio.get_running_loop()
        self._timer = running.call_later(min(wait_s, _LATEST_WAKE_S), self._wake)
