"""A guest's watchdog fired when QEMU says so; it is over when the guest answers, or runs anew."""

from collections.abc import Iterable

from msgspec import Struct

from holdfast.facts.instants import Instant, after, elapsed_ms
from holdfast.facts.observations import (
    AgentAnswered,
    Observation,
    QemuProcessGone,
    QmpEventSeen,
    VmAppeared,
    VmRenamed,
)
from holdfast.facts.subjects import Incarnation, vm_subject
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.lives import Lives

QUIET_MS = 60_000  # Longer than a watchdog's usual time-out (30 s): it would have fired again.
ON_ITS_WAY_MS = 2_000  # An answer that comes so soon may be from before the firing.

CONDITION = "vm-watchdog-fired"
ACTIONS = {
    "reset": "QEMU resets the guest",
    "shutdown": "QEMU asks the guest to power off",
    "poweroff": "QEMU ends at once",
    "pause": "QEMU pauses the guest",
    "none": "QEMU does nothing about it",
    "debug": "QEMU does nothing about it",
    "inject-nmi": "QEMU sends the guest an interrupt that cannot be masked",
}


class _Life(Struct, kw_only=True):
    life: Incarnation
    has_answered: bool = False
    is_unsure: bool = False  # It ran before we looked: a firing of before may still be raised.
    fired_at: Instant | None = None
    firings: int = 0
    heard_at: Instant | None = None  # The newest firing that was counted.
    due: Instant | None = None


class VmWatchdog:
    def __init__(self, *, quiet_ms: float = QUIET_MS) -> None:
        self.quiet_ms = quiet_ms
        self._lives: Lives[_Life] = Lives(lambda life: _Life(life=life))

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case VmAppeared():
                self._lives.of(seen.incarnation).is_unsure |= seen.found
                self._lives.call(seen.incarnation.vm, seen.name)
            case VmRenamed():
                self._lives.call(seen.vm, seen.name)
            case QemuProcessGone():
                self._lives.forget(seen.incarnation)
            case AgentAnswered() if seen.incarnation in self._lives:
                return self._on_answer(self._lives.of(seen.incarnation), seen.at)
            case QmpEventSeen(event="WATCHDOG"):
                return self._on_firing(seen)
            case QmpEventSeen(event="RESET"):
                life = self._lives.newest(seen.vm)
                # With an agent, only its answer shows that the guest came up again.
                has_fired = life is not None and (life.fired_at is not None or life.is_unsure)
                if life is not None and has_fired and not life.has_answered:
                    life.due = after(seen.at, self.quiet_ms)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        reason = "the guest was reset and its watchdog has not fired again"
        over = [life for life in self._lives if life.due is not None and life.due <= now]
        return [self._clear(life, now, reason) for life in over]

    def deadline(self) -> Instant | None:
        return min((life.due for life in self._lives if life.due is not None), default=None)

    def _on_firing(self, seen: QmpEventSeen) -> list[Verdict]:
        life = self._lives.newest(seen.vm)
        if life is None or (life.heard_at is not None and seen.at <= life.heard_at):
            return []  # An event that came twice, or late.
        life.heard_at = seen.at
        life.fired_at = life.fired_at or seen.at
        life.firings += 1
        life.due = None
        action = str(seen.details().get("action", ""))
        does = ACTIONS.get(action, f"its action is {action or 'not known'}")
        name = self._lives.name(seen.vm)
        return [
            FaultRaised(
                detector="vm_watchdog",
                condition=CONDITION,
                subject=vm_subject(seen.vm, name),
                effect=Effect.DEGRADED
                if action == "reset"
                else Effect.STUCK,  # Reset, it may mend.
                certainty=Certainty.CERTAIN,
                fault_at=life.fired_at,
                detected_at=seen.at,
                reason=f"the watchdog of {name} fired: {does}",
                life=life.life,
                cause="nothing in the guest petted its watchdog",
                evidence={"action": action, "firings": str(life.firings)},
            )
        ]

    def _on_answer(self, life: _Life, at: Instant) -> list[Verdict]:
        """Its first answer is said even if nothing was raised: we may have been away."""
        was_first, life.has_answered = not life.has_answered, True
        if life.heard_at is not None and elapsed_ms(life.heard_at, at) < ON_ITS_WAY_MS:
            return []
        if life.fired_at is None and not was_first:
            return []
        return [self._clear(life, at, "the guest answers again")]

    def _clear(self, life: _Life, at: Instant, reason: str) -> Verdict:
        life.fired_at, life.due, life.firings, life.is_unsure = None, None, 0, False
        return FaultCleared(
            detector="vm_watchdog",
            condition=CONDITION,
            subject=vm_subject(life.life.vm, self._lives.name(life.life.vm)),
            at=at,
            reason=reason,
            life=life.life,
        )


PLUGIN: type[Detector] = VmWatchdog
