"""A host is stopping on purpose when its pulse says so: its silence is then expected."""

from collections.abc import Iterable, Iterator

from holdfast.facts.hearing import HostExpected, HostForgotten, Plan, PlaneHeard, PulseSaid
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.subjects import Subject, host_subject
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised, Verdict
from holdfast.ports.detector import Detector

SEAT = "controller"
CONDITION = "host-stopping"


class HostStopping:
    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._stopping: dict[str, str] = {}  # Host to the boot that ends.

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case HostExpected():
                self._names[seen.host] = seen.name
                return ()
            case HostForgotten():
                return list(self._over(seen.host, seen.at, "left the site"))
            case PulseSaid():
                return list(self._said(seen))
            case PlaneHeard():
                if self._stopping.get(seen.host, seen.boot) == seen.boot:
                    return ()
                return list(
                    self._over(seen.host, seen.at, "was stopped, and is back in a new boot")
                )
            case _:
                return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:  # noqa: ARG002  It waits for nothing.
        return ()

    def deadline(self) -> Instant | None:
        return None

    def _said(self, seen: PulseSaid) -> Iterator[Verdict]:
        is_stopping = seen.plan is Plan.HOST_STOPS
        if is_stopping and self._stopping.get(seen.host) != seen.boot:
            self._stopping[seen.host] = seen.boot
            yield FaultRaised(
                detector="host_stopping",
                condition=CONDITION,
                subject=self._subject(seen.host),
                effect=Effect.DOOMED,
                certainty=Certainty.CERTAIN,
                fault_at=seen.at,
                detected_at=seen.at,
                reason=f"{self._name(seen.host)} says that it is being stopped",
                boot=seen.boot,
                cause="a shutdown or a reboot that somebody ordered",
            )
        elif not is_stopping and self._stopping.get(seen.host) == seen.boot:
            yield from self._over(seen.host, seen.at, "goes on after all")

    def _over(self, host: str, at: Instant, why: str) -> Iterator[Verdict]:
        boot = self._stopping.pop(host, None)
        if boot is not None:
            yield FaultCleared(
                detector="host_stopping",
                condition=CONDITION,
                subject=self._subject(host),
                at=at,
                reason=f"{self._name(host)} {why}",
                boot=boot,
            )

    def _name(self, host: str) -> str:
        return self._names.get(host, host)

    def _subject(self, host: str) -> Subject:
        return host_subject(host, self._name(host))


PLUGIN: type[Detector] = HostStopping
