"""A guest is stuck when its agent is silent while its vCPUs do not run at all, or only spin."""

from collections.abc import Iterable

from msgspec import Struct

from holdfast.facts.instants import NS_PER_MS, Instant, elapsed_ms
from holdfast.facts.observations import (
    AgentAnswered,
    AgentLeft,
    AgentSilent,
    Observation,
    QemuProcessGone,
    QmpEventSeen,
    VcpusMeasured,
    VmAppeared,
    VmRenamed,
)
from holdfast.facts.subjects import Incarnation, vm_subject
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.lives import Lives

SILENCE_MS = 6_000  # Several pings lost; a guest under load answers late, but not that late.
BUSY_SHARE = 0.95  # Of the time of all vCPUs, running or waiting for a CPU of the host. Below it
# the guest finds time to halt: it lives.
FAIR_SHARE = 0.5  # Of that time it must really have run. Below it the host starves the guest, whose
# agent may then be silent for want of a CPU; with half of one, it answers within seconds.

CONDITION = "vm-stuck"
FROZEN = "QEMU itself is frozen by a signal (SIGSTOP)"
IDLE = "its vCPUs do not run at all"
SPINNING = "its vCPUs do nothing but spin"


class _Life(Struct, kw_only=True):
    life: Incarnation
    has_answered: bool = False
    answered_at: Instant | None = None
    silent_since: Instant | None = None
    bad_since: Instant | None = None  # Since then every measurement in the silence was bad.
    is_raised: bool = False
    is_asleep: bool = False  # Suspended by the guest itself (ACPI S3), until it wakes.


class VmStuck:
    """A guest that never answered, or whose agent left, is not judged: silence says nothing.

    `not_judged` counts the measurements in a silence that condemned nobody, by reason.
    """

    def __init__(
        self,
        *,
        silence_ms: float = SILENCE_MS,
        busy_share: float = BUSY_SHARE,
        fair_share: float = FAIR_SHARE,
    ) -> None:
        self.silence_ms = silence_ms
        self.busy_share = busy_share
        self.fair_share = fair_share
        self.not_judged = {"paused": 0, "asleep": 0, "host starved": 0, "guest runs": 0}
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
            case QmpEventSeen():
                self._on_qmp(seen)
            case AgentAnswered() | AgentSilent() | AgentLeft() | VcpusMeasured():
                if seen.incarnation in self._lives:
                    return self._on_sign(self._lives.of(seen.incarnation), seen)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:  # noqa: ARG002  Measurements are its clock.
        return ()

    def deadline(self) -> Instant | None:
        return None

    def _on_qmp(self, seen: QmpEventSeen) -> None:
        life = self._lives.newest(seen.vm)
        if life is None:
            return
        if seen.event in ("RESET", "GUEST_CRASHLOADED") and not life.is_raised:
            life.has_answered = False  # It boots, or dumps: its agent is not there yet.
            life.silent_since = None
        elif seen.event in ("SUSPEND", "WAKEUP"):
            life.is_asleep = seen.event == "SUSPEND"

    def _on_sign(
        self, life: _Life, seen: AgentAnswered | AgentSilent | AgentLeft | VcpusMeasured
    ) -> list[Verdict]:
        match seen:
            case AgentAnswered():
                return self._on_answer(life, seen.at)
            case AgentLeft():
                life.has_answered = False
                life.silent_since = None
            case AgentSilent() if life.has_answered and life.silent_since is None:
                life.silent_since = seen.at
                life.bad_since = None
            case VcpusMeasured() if life.silent_since is not None:
                return self._on_measured(life, seen)
            case _:
                pass
        return []

    def _on_answer(self, life: _Life, at: Instant) -> list[Verdict]:
        """Its first answer is said even if nothing was raised: we may have been away."""
        was_first, life.has_answered = not life.has_answered, True
        life.answered_at = at
        life.silent_since = None
        life.is_asleep = False
        if not life.is_raised and not was_first:
            return []
        life.is_raised = False
        return [
            FaultCleared(
                detector="vm_stuck",
                condition=CONDITION,
                subject=vm_subject(life.life.vm, self._lives.name(life.life.vm)),
                at=at,
                reason="the guest agent answers",
                life=life.life,
            )
        ]

    def _on_measured(self, life: _Life, seen: VcpusMeasured) -> list[Verdict]:
        cause, excuse = self._read(life, seen)
        if excuse:
            self.not_judged[excuse] += 1
            life.bad_since = None
            return []
        assert life.silent_since is not None, "only a silence is measured"
        if life.bad_since is None:
            began = Instant(seen.at - round(seen.window_ms * NS_PER_MS))
            life.bad_since = max(life.silent_since, began)
        if life.is_raised or elapsed_ms(life.bad_since, seen.at) < self.silence_ms:
            return []
        return [self._raise(life, seen, cause)]

    def _read(self, life: _Life, seen: VcpusMeasured) -> tuple[str, str]:
        """What a measurement says against the guest, or what excuses it."""
        whole_ms = seen.window_ms * seen.vcpus
        if seen.is_paused:
            return "", "paused"
        if seen.is_stopped:
            return FROZEN, ""
        if life.is_asleep:
            return "", "asleep"
        wants_ms = seen.ran_ms + seen.waited_ms
        if wants_ms >= self.busy_share * whole_ms and seen.ran_ms >= self.fair_share * whole_ms:
            return SPINNING, ""
        if wants_ms >= self.busy_share * whole_ms:
            return "", "host starved"  # It would run if the host let it.
        if seen.turns == 0:
            return IDLE, ""
        return "", "guest runs"

    def _raise(self, life: _Life, seen: VcpusMeasured, cause: str) -> Verdict:
        life.is_raised = True
        assert life.bad_since is not None, "it was measured"
        name = self._lives.name(life.life.vm)
        return FaultRaised(
            detector="vm_stuck",
            condition=CONDITION,
            subject=vm_subject(life.life.vm, name),
            effect=Effect.STUCK,
            certainty=Certainty.CERTAIN,
            fault_at=life.bad_since,
            detected_at=seen.at,
            reason=f"{name} is stuck: its agent is silent and {cause}",
            life=life.life,
            not_before=life.answered_at,
            cause=cause,
            evidence={
                "vcpus": str(seen.vcpus),
                "ran": f"{seen.ran_ms:.0f} of {seen.window_ms * seen.vcpus:.0f} ms",
                "waited": f"{seen.waited_ms:.0f} ms",
                "turns": str(seen.turns),
            },
        )


PLUGIN: type[Detector] = VmStuck
