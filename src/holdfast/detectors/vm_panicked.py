"""A guest panicked when it told its panic device so, or when its crash dump takes too long."""

from collections.abc import Iterable

from msgspec import Struct

from holdfast.facts.instants import Instant, after, elapsed_ms, spoken
from holdfast.facts.observations import (
    AgentAnswered,
    DomainStateRead,
    LifecycleSeen,
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

DUMP_LIMIT_MS = 600_000  # A crash kernel writes 100 GB in some minutes; longer means that it hangs.
ON_ITS_WAY_MS = 2_000  # An answer that comes so soon may be from before the panic.

PANICKED, DUMPING = "vm-panicked", "vm-crash-dumping"
EFFECTS = {PANICKED: Effect.STUCK, DUMPING: Effect.DEGRADED}


class _Life(Struct, kw_only=True):
    life: Incarnation
    is_new: bool = True  # Nothing that it said since it began shows that it is well.
    condition: str = ""
    since: Instant = Instant(0)
    due: Instant | None = None
    mended_at: Instant | None = None


class VmPanicked:
    def __init__(self, *, dump_limit_ms: float = DUMP_LIMIT_MS) -> None:
        self.dump_limit_ms = dump_limit_ms
        self._lives: Lives[_Life] = Lives(lambda life: _Life(life=life))

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case VmAppeared():
                self._lives.of(seen.incarnation)
                self._lives.call(seen.incarnation.vm, seen.name)
            case VmRenamed():
                self._lives.call(seen.vm, seen.name)
            case QemuProcessGone():
                self._lives.forget(seen.incarnation)
            case AgentAnswered() if seen.incarnation in self._lives:
                return self._on_answer(self._lives.of(seen.incarnation), seen.at)
            case (
                LifecycleSeen(event="crashed", detail="panicked")
                | DomainStateRead(state="crashed", reason="panicked")
            ):
                return self._on_panic(seen.vm, seen.at, "")
            case QmpEventSeen():
                return self._on_qmp(seen)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        verdicts: list[Verdict] = []
        for life in self._lives:
            if life.due is not None and life.due <= now:
                took = spoken(self.dump_limit_ms)
                cause = f"its kernel crashed and wrote a dump for longer than {took}"
                verdicts += self._become(life, PANICKED, life.since, now, cause)
        return verdicts

    def deadline(self) -> Instant | None:
        return min((life.due for life in self._lives if life.due is not None), default=None)

    def _on_qmp(self, seen: QmpEventSeen) -> list[Verdict]:
        life = self._lives.newest(seen.vm)
        if life is None:
            return []
        match seen.event:
            case "GUEST_PANICKED":
                return self._on_panic(seen.vm, seen.at, _told(seen))
            case "GUEST_CRASHLOADED" if not life.condition and _is_after_mending(life, seen.at):
                life.due = after(seen.at, self.dump_limit_ms)
                cause = "its kernel crashed, and its crash kernel writes a dump"
                return self._become(life, DUMPING, seen.at, seen.at, cause)
            case "RESET":
                return self._on_mended(life.life, seen.at, "the guest was started anew")
            case _:
                return []

    def _on_panic(self, vm: str, at: Instant, told: str) -> list[Verdict]:
        life = self._lives.newest(vm)
        if life is None or life.condition == PANICKED or not _is_after_mending(life, at):
            return []
        cause = "its kernel panicked" + (f": {told}" if told else "")
        return self._become(life, PANICKED, at, at, cause)

    def _become(
        self, life: _Life, condition: str, fault_at: Instant, now: Instant, cause: str
    ) -> list[Verdict]:
        """Raise it, and then clear what it takes the place of: at no time the VM seems well."""
        replaced: list[Verdict] = []
        if life.condition:
            replaced.append(self._cleared(life, now, f"it is more than that: {cause}"))
        if condition == PANICKED:
            life.due = None
        life.condition, life.since = condition, fault_at
        name = self._lives.name(life.life.vm)
        raised = FaultRaised(
            detector="vm_panicked",
            condition=condition,
            subject=vm_subject(life.life.vm, name),
            effect=EFFECTS[condition],
            certainty=Certainty.CERTAIN,
            fault_at=fault_at,
            detected_at=now,
            reason=f"the guest of {name} does not serve: {cause}",
            life=life.life,
            cause=cause,
        )
        return [raised, *replaced]

    def _on_answer(self, life: _Life, at: Instant) -> list[Verdict]:
        if life.condition and elapsed_ms(life.since, at) < ON_ITS_WAY_MS:
            return []
        return self._on_mended(life.life, at, "the guest answers again")

    def _on_mended(self, which: Incarnation, at: Instant, reason: str) -> list[Verdict]:
        """A first sign of health is said even if nothing was raised: we may have been away."""
        life = self._lives.of(which)
        if life.condition and at < life.since:
            return []  # Older than the panic, and late.
        was_new, life.is_new = life.is_new, False
        life.mended_at = at
        if not life.condition and not was_new:
            return []
        conditions = [life.condition] if life.condition else [PANICKED, DUMPING]
        verdicts = []
        for condition in conditions:
            life.condition = condition
            verdicts.append(self._cleared(life, at, reason))
        life.condition, life.due = "", None
        return verdicts

    def _cleared(self, life: _Life, at: Instant, reason: str) -> Verdict:
        return FaultCleared(
            detector="vm_panicked",
            condition=life.condition,
            subject=vm_subject(life.life.vm, self._lives.name(life.life.vm)),
            at=at,
            reason=reason,
            life=life.life,
        )


def _is_after_mending(life: _Life, at: Instant) -> bool:
    """Whether an event is newer than the last sign of health, and not a late or second copy."""
    return life.mended_at is None or at > life.mended_at


def _told(seen: QmpEventSeen) -> str:
    """What the guest's panic device was told, where QEMU passes it on (Hyper-V, s390)."""
    info = seen.details().get("info")
    kind = info.get("type") if isinstance(info, dict) else None
    return f"reported through {kind}" if isinstance(kind, str) else ""


PLUGIN: type[Detector] = VmPanicked
