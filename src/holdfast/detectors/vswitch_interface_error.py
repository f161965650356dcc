"""An interface is in error when the switch says that it cannot use it."""

from collections.abc import Iterable

from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.facts.vswitch import InterfaceGone, InterfaceSeen, LinkGone, LinkSeen, port_subject
from holdfast.ports.detector import Detector
from holdfast.ports.held import Held, Turned

CONDITION = "vswitch-interface-error"
HOLD_MS = 400
# A VM's device goes with its process, and libvirt takes its port out some time later.
OF_VM_MS = 10_000
CLEAR_MS = 1_000


class VswitchInterfaceError:
    def __init__(
        self, *, hold_ms: float = HOLD_MS, of_vm_ms: float = OF_VM_MS, clear_ms: float = CLEAR_MS
    ) -> None:
        self._hold_ms, self._of_vm_ms = hold_ms, of_vm_ms
        self._held = Held(clear_ms=clear_ms)
        self._newest: dict[str, InterfaceSeen] = {}
        self._said_of: dict[str, str] = {}  # What the switch has against it, as it was said.
        self._absent: set[str] = set()  # Devices that the kernel had and has no more.

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case InterfaceSeen():
                self._newest[seen.interface] = seen
                return self._judge(seen, seen.at)
            case LinkGone() if seen.device in self._newest:
                self._absent.add(seen.device)
                return self._of_device(seen.device, seen.at)
            case LinkSeen() if seen.device in self._absent:
                self._absent.discard(seen.device)
                return self._of_device(seen.device, seen.at)
            case InterfaceGone() if seen.interface in self._newest:
                gone = self._newest.pop(seen.interface)
                self._said_of.pop(gone.interface, None)
                self._absent.discard(gone.interface)
                was_said = self._held.forget(seen.interface)
                reason = f"{gone.interface} is no port of {gone.bridge} any more"
                return [_cleared(gone, seen.at, reason)] if was_said else ()
            case _:
                return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        return [self._said(turned, now) for turned in self._held.take(now)]

    def deadline(self) -> Instant | None:
        return self._held.first()

    def _of_device(self, device: str, at: Instant) -> list[Verdict]:
        """The switch does not always say that a device went: that of user space never does."""
        seen = self._newest.get(device)
        return self._judge(seen, at) if seen is not None and seen.kind == "system" else []

    def _judge(self, seen: InterfaceSeen, at: Instant) -> list[Verdict]:
        name, error = seen.interface, self._error(seen)
        if error:
            self._held.bad(name, at, self._of_vm_ms if seen.vm else self._hold_ms)
        else:
            self._held.good(name, at)
        turns = list(self._held.take(at))
        is_said = name in self._held and bool(error) and not turns
        if is_said and error != self._said_of.get(name):
            turns = [Turned(key=name, is_bad=True, since=at)]
        return [self._said(turned, at) for turned in turns]

    def _error(self, seen: InterfaceSeen) -> str:
        is_absent = seen.kind == "system" and seen.interface in self._absent
        return seen.error or ("its device is gone" if is_absent else "")

    def _said(self, turned: Turned, now: Instant) -> Verdict:
        seen = self._newest[turned.key]
        if not turned.is_bad:
            self._said_of.pop(seen.interface, None)
            return _cleared(seen, now, f"the switch has nothing against {seen.interface}")
        error = self._said_of[seen.interface] = self._error(seen)
        return FaultRaised(
            detector="vswitch_interface_error",
            condition=CONDITION,
            subject=port_subject(seen.bridge, seen.interface),
            effect=Effect.GONE,
            certainty=Certainty.CERTAIN,
            fault_at=turned.since,
            detected_at=now,
            reason=f"the switch cannot use {seen.interface} of {seen.bridge}: {error}",
            cause=error,
            evidence={"vm": seen.vm} if seen.vm else {},
        )


def _cleared(seen: InterfaceSeen, at: Instant, reason: str) -> FaultCleared:
    return FaultCleared(
        detector="vswitch_interface_error",
        condition=CONDITION,
        subject=port_subject(seen.bridge, seen.interface),
        at=at,
        reason=reason,
    )


PLUGIN: type[Detector] = VswitchInterfaceError
