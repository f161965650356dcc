"""A host's identity is shared when two boots of it pulse at once: a clone, or a stolen key.

It is said of no boot: which of the two is current may change while both of them pulse.
"""

from collections.abc import Iterable

from holdfast.facts.hearing import BootsCrossed, HostExpected, HostForgotten
from holdfast.facts.instants import Instant, after
from holdfast.facts.observations import Observation
from holdfast.facts.subjects import Subject, host_subject
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.detector import Detector

SEAT = "controller"
QUIET_MS = 60_000  # The ear says it again within ten seconds for as long as it goes on.
CONDITION = "host-identity-shared"


class HostIdentityShared:
    def __init__(self, *, quiet_ms: float = QUIET_MS) -> None:
        self._quiet_ms = quiet_ms
        self._names: dict[str, str] = {}
        self._crossed: dict[str, BootsCrossed] = {}  # The newest of each host.

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case HostExpected():
                self._names[seen.host] = seen.name
                return ()
            case HostForgotten():
                known = self._crossed.pop(seen.host, None)
                return [self._cleared(known, seen.at, "it left the site")] if known else ()
            case BootsCrossed():
                return self._take(seen)
            case _:
                return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        over = [one for one in self._crossed.values() if after(one.at, self._quiet_ms) <= now]
        for one in over:
            del self._crossed[one.host]
        return [self._cleared(one, now, "only one host pulses under its identity") for one in over]

    def deadline(self) -> Instant | None:
        newest = (one.at for one in self._crossed.values())
        first = min(newest, default=None)
        return after(first, self._quiet_ms) if first is not None else None

    def _take(self, seen: BootsCrossed) -> list[Verdict]:
        known = self._crossed.get(seen.host)
        self._crossed[seen.host] = seen
        if known is not None:
            return []
        name = self._names.get(seen.host, seen.host)
        from_where = " and ".join(sender for sender in seen.senders if sender)
        return [
            FaultRaised(
                detector="host_identity_shared",
                condition=CONDITION,
                subject=self._subject(seen.host),
                effect=Effect.DEGRADED,
                certainty=Certainty.CERTAIN,
                fault_at=seen.at,
                detected_at=seen.at,
                reason=f"two hosts pulse as {name}" + (f": {from_where}" if from_where else ""),
                cause="a cloned host, or a stolen key",
                evidence={"boots": ", ".join(seen.boots), "senders": ", ".join(seen.senders)},
            )
        ]

    def _cleared(self, known: BootsCrossed, at: Instant, reason: str) -> Verdict:
        return FaultCleared(
            detector="host_identity_shared",
            condition=CONDITION,
            subject=self._subject(known.host),
            at=at,
            reason=reason,
        )

    def _subject(self, host: str) -> Subject:
        return host_subject(host, self._names.get(host, host))


PLUGIN: type[Detector] = HostIdentityShared
