"""A path is lost when its BFD session is down: the link is there, and nothing comes through."""

from collections.abc import Iterable

from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.facts.vswitch import InterfaceGone, InterfaceSeen, port_subject
from holdfast.ports.detector import Detector
from holdfast.ports.held import Held, Turned

CONDITION = "bfd-down"
NEVER_UP_MS = 10_000  # The other end may be configured a little later.
CLEAR_MS = 2_000


class BfdDown:
    def __init__(self, *, never_up_ms: float = NEVER_UP_MS, clear_ms: float = CLEAR_MS) -> None:
        self._never_up_ms = never_up_ms
        self._held = Held(clear_ms=clear_ms)
        self._newest: dict[str, InterfaceSeen] = {}
        self._have_been_up: set[str] = set()

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case InterfaceSeen(bfd="") | InterfaceGone():
                return self._ended(seen.interface, seen.at)
            case InterfaceSeen():
                name = seen.interface
                self._newest[name] = seen
                if seen.bfd == "up":
                    self._have_been_up.add(name)
                    self._held.good(name, seen.at)
                else:
                    was_up = name in self._have_been_up
                    self._held.bad(name, seen.at, 0.0 if was_up else self._never_up_ms)
                return [self._said(turned, seen.at) for turned in self._held.take(seen.at)]
            case _:
                return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return [self._said(turned, now) for turned in self._held.take(now)]

    def deadline(self) -> Instant | None:
        return self._held.first()

    def _ended(self, name: str, at: Instant) -> list[Verdict]:
        gone = self._newest.pop(name, None)
        self._have_been_up.discard(name)
        if gone is None or not self._held.forget(name):
            return []
        return [_cleared(gone, at, f"{name} has no BFD session any more")]

    def _said(self, turned: Turned, now: Instant) -> Verdict:
        seen = self._newest[turned.key]
        if not turned.is_bad:
            return _cleared(seen, now, f"the BFD session of {seen.interface} is up")
        why = f" ({seen.bfd_diagnostic})" if seen.bfd_diagnostic else ""
        has_been = seen.interface in self._have_been_up
        since = "" if has_been else ", and has never been up"
        return FaultRaised(
            detector="bfd_down",
            condition=CONDITION,
            subject=port_subject(seen.bridge, seen.interface),
            effect=Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            fault_at=turned.since,
            not_before=None if has_been else turned.since,
            detected_at=now,
            reason=f"the BFD session of {seen.interface} is {seen.bfd}{why}{since}",
            cause=f"nothing comes through {seen.interface}, or the other end is gone",
        )


def _cleared(seen: InterfaceSeen, at: Instant, reason: str) -> FaultCleared:
    return FaultCleared(
        detector="bfd_down",
        condition=CONDITION,
        subject=port_subject(seen.bridge, seen.interface),
        at=at,
        reason=reason,
    )


PLUGIN: type[Detector] = BfdDown
