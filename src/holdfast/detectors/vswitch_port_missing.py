"""A port is missing when the switch has it no more while its device is still there.

libvirt takes a VM's port out only after the VM's device is gone, so a wanted stop is none of this.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.facts.vswitch import InterfaceGone, InterfaceSeen, LinkGone, bridge_subject
from holdfast.ports.detector import Detector
from holdfast.ports.held import Held, Turned

CONDITION = "vswitch-port-missing"
HOLD_MS = 400  # Somebody who moves a port to another bridge takes it out first.
CLEAR_MS = 0
NAMED = 8  # Enough to see which; a bridge may have hundreds.


class _Bridge(Struct):
    missing: set[str] = field(default_factory=set)
    said: frozenset[str] = frozenset()


class VswitchPortMissing:
    def __init__(self, *, hold_ms: float = HOLD_MS, clear_ms: float = CLEAR_MS) -> None:
        self._hold_ms = hold_ms
        self._held = Held(clear_ms=clear_ms)
        self._bridges: dict[str, _Bridge] = {}
        self._of: dict[str, str] = {}  # A missing interface's bridge.

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case InterfaceGone(has_device=True):
                self._bridge(seen.bridge).missing.add(seen.interface)
                self._of[seen.interface] = seen.bridge
                return list(self._judge(seen.bridge, seen.at))
            case InterfaceSeen():
                known = seen.bridge in self._bridges
                back = list(self._back(seen.interface, seen.at))
                return back if known else [*back, *self._judge(seen.bridge, seen.at)]
            case InterfaceGone():
                return list(self._back(seen.interface, seen.at))
            case LinkGone():
                return list(self._back(seen.device, seen.at))
            case _:
                return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return [self._said(turned, now) for turned in self._held.take(now)]

    def deadline(self) -> Instant | None:
        return self._held.first()

    def _bridge(self, name: str) -> _Bridge:
        return self._bridges.setdefault(name, _Bridge())

    def _back(self, interface: str, at: Instant) -> Iterator[Verdict]:
        """It is in a bridge again, or its device is gone too: then it belongs nowhere."""
        bridge = self._of.pop(interface, None)
        if bridge is not None:
            self._bridge(bridge).missing.discard(interface)
            yield from self._judge(bridge, at)

    def _judge(self, name: str, at: Instant) -> Iterator[Verdict]:
        bridge = self._bridge(name)
        if bridge.missing:
            self._held.bad(name, at, self._hold_ms)
        else:
            self._held.good(name, at)
        turns = list(self._held.take(at))
        is_said = name in self._held and bool(bridge.missing) and not turns
        if is_said and bridge.missing != bridge.said:  # One alarm for all: it is said anew.
            turns.append(Turned(key=name, is_bad=True, since=at))
        yield from (self._said(turned, at) for turned in turns)

    def _said(self, turned: Turned, now: Instant) -> Verdict:
        name, bridge = turned.key, self._bridge(turned.key)
        bridge.said = frozenset(bridge.missing)
        if not turned.is_bad:
            return FaultCleared(
                detector="vswitch_port_missing",
                condition=CONDITION,
                subject=bridge_subject(name),
                at=now,
                reason=f"no port is missing from {name}",
            )
        ports = sorted(bridge.missing)
        names = ", ".join(ports[:NAMED]) + (" ..." if len(ports) > NAMED else "")
        what = f"port {names} is" if len(ports) == 1 else f"{len(ports)} ports ({names}) are"
        return FaultRaised(
            detector="vswitch_port_missing",
            condition=CONDITION,
            subject=bridge_subject(name),
            effect=Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            fault_at=turned.since,
            detected_at=now,
            reason=f"{what} missing from {name}, though the device is there",
            cause="somebody, or a program, took it out of the switch",
            evidence={"ports": names},
        )


PLUGIN: type[Detector] = VswitchPortMissing
