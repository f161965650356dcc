"""libvirt is silent when its daemon is gone, or keeps the connection open and does not answer.

A daemon that somebody stopped is given time to be started again, as an upgrade does: no alarm.
"""

from collections.abc import Iterable

from holdfast.facts.instants import Instant, after, elapsed_ms, spoken
from holdfast.facts.observations import (
    LibvirtAnswered,
    LibvirtGone,
    LibvirtSilent,
    Observation,
)
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.detector import Detector

CONDITION = "libvirt-silent"
SUBJECT = Subject(kind=SubjectKind.PROCESS, id="libvirt", name="libvirt")
RESTART_LIMIT_MS = 30_000  # A restart takes one to three seconds; ten where every core is busy.


class LibvirtIsSilent:
    def __init__(self, *, restart_limit_ms: float = RESTART_LIMIT_MS) -> None:
        self.restart_limit_ms = restart_limit_ms
        self._effect: Effect | None = None
        self._fault_at = Instant(0)
        self._stopped: LibvirtGone | None = None  # In order, and is about to be back.
        self._has_answered = False

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case LibvirtGone(is_orderly=True) if self._effect is None:
                self._stopped = self._stopped or seen
                return ()
            case LibvirtGone():
                self._stopped = None
                reason = f"libvirt is gone: {seen.reason}"
                # A refused connection is seen; a silence is only heard.
                return self._raise(Effect.GONE, Certainty.CERTAIN, seen.at, seen.at, reason)
            case LibvirtSilent() if self._stopped is None:
                daemon = f": {seen.daemon}" if seen.daemon else ""
                reason = f"libvirt keeps its connection open and does not answer{daemon}"
                certainty = Certainty.CERTAIN if seen.is_stopped else Certainty.SUSPECTED
                return self._raise(Effect.STUCK, certainty, seen.since, seen.at, reason)
            case LibvirtAnswered():
                return self._clear(seen.at)
            case _:
                return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        due, stopped = self.deadline(), self._stopped
        if stopped is None or due is None or due > now:
            return ()
        self._stopped = None
        away = spoken(elapsed_ms(stopped.at, now))
        reason = f"libvirt is gone: somebody stopped it, and {away} later it is not back"
        return self._raise(Effect.GONE, Certainty.CERTAIN, stopped.at, now, reason)

    def deadline(self) -> Instant | None:
        return after(self._stopped.at, self.restart_limit_ms) if self._stopped else None

    def _raise(
        self, effect: Effect, certainty: Certainty, fault_at: Instant, now: Instant, reason: str
    ) -> list[Verdict]:
        if self._effect is effect:
            return []
        if self._effect is None:
            self._fault_at = fault_at
        self._effect = effect
        return [
            FaultRaised(
                detector="libvirt_silent",
                condition=CONDITION,
                subject=SUBJECT,
                effect=effect,
                certainty=certainty,
                fault_at=self._fault_at,
                detected_at=now,
                reason=reason,
                cause=reason,
            )
        ]

    def _clear(self, at: Instant) -> list[Verdict]:
        """The first answer is said even if nothing was raised: we may have been away."""
        self._stopped = None
        if self._effect is None and self._has_answered:
            return []
        away = "" if self._effect is None else f" again, after {self._away(at)}"
        self._effect = None
        self._has_answered = True
        return [
            FaultCleared(
                detector="libvirt_silent",
                condition=CONDITION,
                subject=SUBJECT,
                at=at,
                reason=f"libvirt answers{away}",
            )
        ]

    def _away(self, at: Instant) -> str:
        return spoken(elapsed_ms(self._fault_at, at))


PLUGIN: type[Detector] = LibvirtIsSilent
