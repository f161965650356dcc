"""A PCIe device errs when it reports errors that nobody corrected, or too many that were."""

from collections import deque
from collections.abc import Iterable

from msgspec import Struct

from holdfast.facts.hardware import (
    Advice,
    AlarmLeft,
    Part,
    PartKind,
    PcieAnswers,
    PcieError,
    PcieRecovered,
    Severity,
)
from holdfast.facts.instants import Instant, elapsed_ms
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.standing import Standing, Wrong
from holdfast.ports.window import Window

CONDITION = "pcie-error"
HOUR_MS = 3_600_000
CORRECTED_PER_HOUR = 100
RECOVERY_MS = 30_000  # The kernel resets a link and waits for its devices.
DEVICES_KEPT = 1_000
RECOVERIES_KEPT = 16
OVER = "no further error for an hour"


class _Device(Struct, kw_only=True):
    name: str
    corrected: Window
    worst: Severity = Severity.CORRECTED
    is_off: bool = False  # Its recovery failed.
    what: str = ""
    erred_at: Instant = Instant(0)
    waits: bool = False  # For how its recovery ends.


class PcieErrs:
    def __init__(
        self, *, corrected_per_hour: float = CORRECTED_PER_HOUR, quiet_ms: float = HOUR_MS
    ) -> None:
        self._limit = int(corrected_per_hour)
        self._standing = Standing("pcie_error", CONDITION, quiet_ms)
        self._devices: dict[str, _Device] = {}
        self._recoveries: deque[PcieRecovered] = deque(maxlen=RECOVERIES_KEPT)

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case AlarmLeft(condition="pcie-error"):
                self._standing.adopt(seen.subject)
                self._standing.well(seen.subject.id, seen.at, OVER)
            case PcieError():
                return self._on_error(seen)
            case PcieRecovered():
                return self._on_recovered(seen)
            case PcieAnswers():
                self._on_answer(seen)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        said = self._standing.wake(now)
        for verdict in said:
            self._devices.pop(verdict.subject.name, None)
        return said

    def deadline(self) -> Instant | None:
        return self._standing.deadline()

    def _on_error(self, seen: PcieError) -> list[Verdict]:
        device = self._devices.get(seen.device)
        if device is None:
            while len(self._devices) >= DEVICES_KEPT:
                del self._devices[next(iter(self._devices))]
            device = _Device(name=seen.device, corrected=Window(HOUR_MS))
            self._devices[seen.device] = device
        device.what = seen.what or device.what
        if seen.severity is Severity.CORRECTED:
            if device.corrected.add(seen.at) < self._limit or _has_erred(device):
                return []
            return self._say(device, seen.at)
        device.erred_at, device.waits = seen.at, True
        if device.worst is not Severity.FATAL:
            device.worst = seen.severity
        # The log, which tells of the recovery, is read sooner now and then than the trace.
        for recovery in self._recoveries:
            self._apply(recovery, device)
        return self._say(device, seen.at)

    def _on_recovered(self, seen: PcieRecovered) -> list[Verdict]:
        """The kernel names the port above; meant are those below that erred just now."""
        self._recoveries.append(seen)
        changed = [one for one in self._devices.values() if self._apply(seen, one)]
        return [verdict for device in changed for verdict in self._say(device, seen.at)]

    def _on_answer(self, seen: PcieAnswers) -> None:
        """Only what was gone is back by that: a device that errs answers all the time."""
        device = self._devices.get(seen.device)
        key = Part(kind=PartKind.PCI, id=seen.device, name=seen.device).key
        if device is not None and device.is_off:
            self._standing.over(key, seen.at, f"PCIe device {seen.device} answers again")

    def _apply(self, recovery: PcieRecovered, device: _Device) -> bool:
        """Whether this recovery was that of the device, after its newest error."""
        if not device.waits or not 0 <= elapsed_ms(device.erred_at, recovery.at) <= RECOVERY_MS:
            return False
        device.waits, device.is_off = False, not recovery.worked
        if recovery.worked:
            device.worst = Severity.RECOVERABLE
        return True

    def _say(self, device: _Device, at: Instant) -> list[Verdict]:
        effect, certainty, advice = Effect.DEGRADED, Certainty.CERTAIN, Advice.QUARANTINE
        if device.is_off:
            effect, advice = Effect.GONE, Advice.DRAIN
            text = "reported an error, and the kernel could not bring it back"
        elif device.worst is Severity.FATAL:
            effect, text = Effect.STUCK, "reported a fatal error"
        elif device.worst is Severity.RECOVERABLE:
            text = "reported an error that was not corrected"
        else:
            certainty, effect = Certainty.PREDICTED, Effect.DOOMED
            text = f"had {self._limit} errors corrected within an hour, or more"
        wrong = Wrong(
            part=Part(kind=PartKind.PCI, id=device.name, name=device.name),
            effect=effect,
            certainty=certainty,
            reason=f"PCIe device {device.name} {text}",
            fault_at=at,
            evidence={"what": device.what, "advice": advice},
        )
        if device.is_off:
            return self._standing.wrong(wrong, at)
        return self._standing.happened(wrong, at, OVER)


def _has_erred(device: _Device) -> bool:
    return device.worst is not Severity.CORRECTED


PLUGIN: type[Detector] = PcieErrs
