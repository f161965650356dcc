"""A bridge lost its uplink when no device that leads out of this host has a carrier any more."""

from collections.abc import Iterable, Iterator

from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.facts.vswitch import (
    InterfaceGone,
    InterfaceSeen,
    LinkGone,
    LinkSeen,
    bridge_subject,
)
from holdfast.ports.detector import Detector
from holdfast.ports.held import Held, Turned

CONDITION = "vswitch-uplink-lost"
CLEAR_MS = 1_000
NEVER_WORKED_MS = 10_000  # After a boot a link takes seconds to come up.


class VswitchUplinkLost:
    def __init__(
        self, *, clear_ms: float = CLEAR_MS, never_worked_ms: float = NEVER_WORKED_MS
    ) -> None:
        self._never_worked_ms = never_worked_ms
        self._held = Held(clear_ms=clear_ms)
        self._uplinks: dict[str, InterfaceSeen] = {}
        self._taken_out: set[str] = set()  # No more in the bridge, though the device is there.
        self._links: dict[str, bool] = {}  # What the kernel says: whether it works.
        self._have_worked: set[str] = set()  # Bridges.

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case InterfaceSeen():
                return list(self._interface(seen))
            case InterfaceGone() if seen.interface in self._uplinks:
                if seen.has_device:
                    self._taken_out.add(seen.interface)
                else:
                    del self._uplinks[seen.interface]
                return list(self._judge(seen.bridge, seen.at))
            case LinkSeen():
                self._links[seen.device] = seen.is_up and seen.has_carrier
            case LinkGone() if seen.device in self._uplinks:
                self._links[seen.device] = False
            case LinkGone():
                self._links.pop(seen.device, None)
            case _:
                return ()
        uplink = self._uplinks.get(seen.device)
        return list(self._judge(uplink.bridge, seen.at)) if uplink else ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return [self._said(turned, now) for turned in self._held.take(now)]

    def deadline(self) -> Instant | None:
        return self._held.first()

    def _interface(self, seen: InterfaceSeen) -> Iterator[Verdict]:
        before = self._uplinks.pop(seen.interface, None)
        self._taken_out.discard(seen.interface)
        if seen.is_uplink:
            self._uplinks[seen.interface] = seen
            yield from self._judge(seen.bridge, seen.at)
        if before is not None and (before.bridge != seen.bridge or not seen.is_uplink):
            yield from self._judge(before.bridge, seen.at)

    def _judge(self, bridge: str, at: Instant) -> Iterator[Verdict]:
        uplinks = self._of(bridge)
        if not uplinks:
            if self._held.forget(bridge):
                yield self._cleared(bridge, at, f"{bridge} has no uplink any more that could work")
            self._have_worked.discard(bridge)
            return
        if any(map(self._works, uplinks)):
            self._have_worked.add(bridge)
            self._held.good(bridge, at)
        else:
            has_worked = bridge in self._have_worked
            self._held.bad(bridge, at, 0.0 if has_worked else self._never_worked_ms)
        yield from (self._said(turned, at) for turned in self._held.take(at))

    def _of(self, bridge: str) -> list[InterfaceSeen]:
        return [each for each in self._uplinks.values() if each.bridge == bridge]

    def _works(self, uplink: InterfaceSeen) -> bool:
        """The kernel knows before the switch does."""
        if uplink.interface in self._taken_out:
            return False
        return self._links.get(uplink.interface, uplink.link != "down")

    def _said(self, turned: Turned, now: Instant) -> Verdict:
        bridge = turned.key
        names = ", ".join(sorted(each.interface for each in self._of(bridge)))
        if not turned.is_bad:
            return self._cleared(bridge, now, f"{bridge} has an uplink that works: {names}")
        reason = f"{bridge} lost its uplink: nothing works of {names}"
        return FaultRaised(
            detector="vswitch_uplink_lost",
            condition=CONDITION,
            subject=bridge_subject(bridge),
            effect=Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            fault_at=turned.since,
            # Since when it was so before somebody looked is not known.
            not_before=None if bridge in self._have_worked else turned.since,
            detected_at=now,
            reason=f"{reason}; its VMs reach nothing outside of this host through it",
            cause=f"no carrier, or taken out of the switch: {names}",
            evidence={"uplinks": names},
        )

    @staticmethod
    def _cleared(bridge: str, at: Instant, reason: str) -> Verdict:
        return FaultCleared(
            detector="vswitch_uplink_lost",
            condition=CONDITION,
            subject=bridge_subject(bridge),
            at=at,
            reason=reason,
        )


PLUGIN: type[Detector] = VswitchUplinkLost
