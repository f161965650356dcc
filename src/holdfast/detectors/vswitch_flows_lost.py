"""A bridge lost its flows when most of them went at once, or when no frame crosses it any more."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.facts.vswitch import (
    BridgeGone,
    CanaryCrossed,
    CanaryLost,
    FlowsCounted,
    bridge_subject,
)
from holdfast.ports.detector import Detector
from holdfast.ports.held import Held, Turned

CONDITION = "vswitch-flows-lost"
CLEAR_MS = 1_000
KEPT_SHARE = 0.5  # What is left after an ordinary change: flows of one VM, of one network.


class _Bridge(Struct):
    flows: int = -1  # Not counted yet.
    had: int = 0  # How many there were before they went.
    uncrossed: str = ""  # Why the canary does not cross; empty: it does, or nobody tried.

    said: str = ""

    @property
    def has_few(self) -> bool:
        return 0 <= self.flows < self.had

    @property
    def reasons(self) -> str:
        few = f"it has {self.flows} of {self.had} flows" if self.has_few else ""
        return "; ".join(each for each in (few, self.uncrossed) if each)


class VswitchFlowsLost:
    def __init__(self, *, clear_ms: float = CLEAR_MS, kept_share: float = KEPT_SHARE) -> None:
        self._kept_share = kept_share
        self._held = Held(clear_ms=clear_ms)
        self._bridges: dict[str, _Bridge] = {}

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case FlowsCounted():
                self._count(self._bridge(seen.bridge), seen)
            case CanaryCrossed():
                self._bridge(seen.bridge).uncrossed = ""
            case CanaryLost():
                self._bridge(seen.bridge).uncrossed = seen.reason
            case BridgeGone():
                self._bridges.pop(seen.bridge, None)
                reason = f"{seen.bridge} is no bridge any more"
                was_said = self._held.forget(seen.bridge)
                return [_cleared(seen.bridge, seen.at, reason)] if was_said else []
            case _:
                return ()
        return list(self._judge(seen.bridge, seen.at))

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return [self._said(turned, now) for turned in self._held.take(now)]

    def deadline(self) -> Instant | None:
        return self._held.first()

    def _bridge(self, name: str) -> _Bridge:
        return self._bridges.setdefault(name, _Bridge())

    def _count(self, bridge: _Bridge, seen: FlowsCounted) -> None:
        """What is left is measured by what was there last, until there is as much again; at first
        by what was recorded: they may have gone while no agent looked."""
        is_first = bridge.flows < 0
        least = bridge.had if bridge.has_few else seen.recorded if is_first else bridge.flows
        bridge.flows = flows = seen.flows
        if flows >= least * self._kept_share:
            bridge.had = 0
        elif not bridge.had:
            bridge.had = least

    def _judge(self, name: str, at: Instant) -> Iterator[Verdict]:
        bridge = self._bridge(name)
        if bridge.has_few or bridge.uncrossed:
            self._held.bad(name, at)
        elif bridge.flows >= 0 or name in self._held:  # Before the first count nobody knows.
            self._held.good(name, at)
        turns = list(self._held.take(at))
        is_said = name in self._held and bool(bridge.reasons) and not turns
        if is_said and bridge.reasons != bridge.said:
            turns.append(Turned(key=name, is_bad=True, since=at))
        yield from (self._said(turned, at) for turned in turns)

    def _said(self, turned: Turned, now: Instant) -> Verdict:
        name, bridge = turned.key, self._bridge(turned.key)
        if not turned.is_bad:
            return _cleared(name, now, f"{name} has its flows, and frames cross it")
        bridge.said = bridge.reasons
        carries_nothing = bool(bridge.uncrossed) or bridge.flows == 0
        return FaultRaised(
            detector="vswitch_flows_lost",
            condition=CONDITION,
            subject=bridge_subject(name),
            effect=Effect.STUCK if carries_nothing else Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            fault_at=turned.since,
            detected_at=now,
            reason=f"{name} lost its flows: {bridge.reasons}",
            cause=bridge.reasons,
        )


def _cleared(bridge: str, at: Instant, reason: str) -> FaultCleared:
    return FaultCleared(
        detector="vswitch_flows_lost",
        condition=CONDITION,
        subject=bridge_subject(bridge),
        at=at,
        reason=reason,
    )


PLUGIN: type[Detector] = VswitchFlowsLost
