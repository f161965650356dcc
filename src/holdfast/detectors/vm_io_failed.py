"""A VM's I/O failed when QEMU says that a disk returned an error, to the guest or to a halt."""

from collections.abc import Iterable

from msgspec import Struct, field

from holdfast.facts.instants import Instant, after
from holdfast.facts.observations import (
    DomainStateRead,
    LifecycleSeen,
    Observation,
    QemuProcessGone,
    QmpEventSeen,
    VmAppeared,
    VmRenamed,
)
from holdfast.facts.subjects import Incarnation, Subject, SubjectKind
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.lives import Lives

QUIET_MS = 60_000  # Guests repeat a failed request within 30 s (Linux's SCSI and NVMe time-outs).
CHANGE_EVERY_MS = 1_000  # A disk that fails fails thousands of times a second.
DISKS_NAMED = 8  # Enough to see which; a VM may have hundreds.

CONDITION = "vm-io-error"


class _Life(Struct, kw_only=True):
    life: Incarnation
    is_raised: bool = False
    is_halted: bool = False
    fault_at: Instant = Instant(0)
    resumed_at: Instant | None = None
    said_at: Instant | None = None
    errors: int = 0
    errors_said: int = 0
    cause: str = ""
    disks: list[str] = field(default_factory=list)
    quiet_from: Instant = Instant(0)
    is_unsure: bool = False  # It ran before we looked: an error of before may still be raised.

    def count(self, at: Instant) -> None:
        self.errors += 1
        self.fault_at = self.fault_at if self.is_raised else at
        self.quiet_from = max(self.quiet_from, at)


class VmIoFailed:
    def __init__(
        self, *, quiet_ms: float = QUIET_MS, change_every_ms: float = CHANGE_EVERY_MS
    ) -> None:
        self.quiet_ms = quiet_ms
        self.change_every_ms = change_every_ms
        self._lives: Lives[_Life] = Lives(lambda life: _Life(life=life))

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case VmAppeared():
                life = self._lives.of(seen.incarnation)
                life.is_unsure |= seen.found
                life.quiet_from = max(life.quiet_from, seen.at)
                self._lives.call(seen.incarnation.vm, seen.name)
            case VmRenamed():
                self._lives.call(seen.vm, seen.name)
            case QemuProcessGone():
                self._lives.forget(seen.incarnation)
            case QmpEventSeen(event="BLOCK_IO_ERROR"):
                return self._on_error(seen)
            case DomainStateRead(state="paused", reason="I/O error"):
                return self._on_halt_read(seen)
            case QmpEventSeen(event="RESUME") | LifecycleSeen(event="resumed"):
                return self._on_resumed(seen)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        verdicts: list[Verdict] = []
        for life in self._lives:
            due = self._due(life)
            if due is None or due > now:
                continue
            if life.errors > life.errors_said:
                verdicts.append(self._raise(life, now))
            else:
                verdicts.append(self._clear(life, now))
        return verdicts

    def deadline(self) -> Instant | None:
        dues = (self._due(life) for life in self._lives)
        return min((due for due in dues if due is not None), default=None)

    def _due(self, life: _Life) -> Instant | None:
        """When there is more to say: errors that were held back, or that it is over."""
        if not life.is_raised and not life.is_unsure:
            return None
        if life.errors > life.errors_said and life.said_at is not None:
            return after(life.said_at, self.change_every_ms)
        return None if life.is_halted else after(life.quiet_from, self.quiet_ms)

    def _on_error(self, seen: QmpEventSeen) -> list[Verdict]:
        life = self._lives.newest(seen.vm)
        if life is None:
            return []
        details = seen.details()
        was_resumed = life.resumed_at is not None and life.resumed_at > seen.at
        halts = details.get("action") == "stop" and not life.is_halted and not was_resumed
        life.is_halted |= halts
        life.count(seen.at)
        disk = str(details.get("device") or details.get("qom-path") or details.get("node-name", ""))
        if disk and disk not in life.disks and len(life.disks) < DISKS_NAMED:
            life.disks.append(disk)
        life.cause = _cause(details)
        due = self._due(life)
        is_held_back = life.is_raised and not halts and due is not None and due > seen.at
        return [] if is_held_back else [self._raise(life, seen.at)]

    def _on_halt_read(self, seen: DomainStateRead) -> list[Verdict]:
        """The halt is there and its event was lost: libvirt or the agent was away."""
        life = self._lives.newest(seen.vm)
        if life is None or life.is_halted:
            return []
        life.is_halted = True
        life.count(seen.at)
        life.cause = life.cause or "a request failed while nobody looked"
        return [self._raise(life, seen.at)]

    def _on_resumed(self, seen: QmpEventSeen | LifecycleSeen) -> list[Verdict]:
        life = self._lives.newest(seen.vm)
        if life is None:
            return []
        life.resumed_at = max(seen.at, life.resumed_at or seen.at)
        if not life.is_halted or seen.at < life.quiet_from:
            return []
        life.is_halted = False
        life.quiet_from = seen.at
        return [self._raise(life, seen.at)]

    def _raise(self, life: _Life, now: Instant) -> Verdict:
        life.is_raised, life.said_at, life.errors_said = True, now, life.errors
        name = self._lives.name(life.life.vm)
        halted = ", and it is halted until somebody resumes it" if life.is_halted else ""
        return FaultRaised(
            detector="vm_io_failed",
            condition=CONDITION,
            subject=_disks_of(life.life.vm, name),
            effect=Effect.STUCK if life.is_halted else Effect.DEGRADED,
            certainty=Certainty.CERTAIN,
            fault_at=life.fault_at,
            detected_at=now,
            reason=f"a disk of {name} returns errors: {life.cause}{halted}",
            life=life.life,
            cause=life.cause,
            evidence={"errors": str(life.errors), "disks": ", ".join(life.disks)},
        )

    def _clear(self, life: _Life, now: Instant) -> Verdict:
        life.is_raised, life.is_unsure, life.said_at = False, False, None
        life.errors = life.errors_said = 0
        life.disks = []
        return FaultCleared(
            detector="vm_io_failed",
            condition=CONDITION,
            subject=_disks_of(life.life.vm, self._lives.name(life.life.vm)),
            at=now,
            reason="it has run for a minute without a further error",
            life=life.life,
        )


def _disks_of(vm: str, name: str) -> Subject:
    """It befell the disks: a restart of the VM would meet the same ones."""
    return Subject(kind=SubjectKind.DISK, id=f"{vm}:disks", name=f"the disks of {name}")


def _cause(details: dict[str, object]) -> str:
    if details.get("nospace"):
        return "no space is left where the disk is kept"
    operation = details.get("operation", "request")
    reason = details.get("reason")
    return f"a {operation} failed" + (f" ({reason})" if reason else "")


PLUGIN: type[Detector] = VmIoFailed
