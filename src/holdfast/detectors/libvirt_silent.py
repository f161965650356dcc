"""libvirt is silent when its daemon is gone, or keeps the connection open and does not answer."""

from collections.abc import Iterable

from holdfast.facts.instants import Instant
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


class LibvirtIsSilent:
    def __init__(self) -> None:
        self._effect: Effect | None = None
        self._fault_at = Instant(0)
        self._has_answered = False

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case LibvirtGone():
                reason = f"libvirt is gone: {seen.reason}"
                return self._raise(Effect.GONE, seen.at, seen.at, reason)
            case LibvirtSilent():
                reason = "libvirt keeps its connection open and does not answer"
                return self._raise(Effect.STUCK, seen.since, seen.at, reason)
            case LibvirtAnswered():
                return self._clear(seen.at)
            case _:
                return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:  # noqa: ARG002  It waits for nothing.
        return ()

    def deadline(self) -> Instant | None:
        return None

    def _raise(self, effect: Effect, fault_at: Instant, now: Instant, reason: str) -> list[Verdict]:
        if self._effect is effect:
            return []
        if self._effect is None:
            self._fault_at = fault_at
        self._effect = effect
        # A refused connection is seen; a silence is only heard.
        certainty = Certainty.CERTAIN if effect is Effect.GONE else Certainty.SUSPECTED
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
        if self._effect is None and self._has_answered:
            return []
        self._effect = None
        self._has_answered = True
        return [
            FaultCleared(
                detector="libvirt_silent",
                condition=CONDITION,
                subject=SUBJECT,
                at=at,
                reason="libvirt answers",
            )
        ]


PLUGIN: type[Detector] = LibvirtIsSilent
