"""A disk errs when the kernel gives a request of it up, or when its SMART says it is failing."""

import re
from collections.abc import Iterable

from msgspec import Struct

from holdfast.facts.hardware import (
    Advice,
    AlarmLeft,
    DiskHealth,
    DiskIoFailed,
    HardwareListed,
    Part,
    PartKind,
)
from holdfast.facts.instants import Instant
from holdfast.facts.observations import Observation
from holdfast.facts.verdicts import Certainty, Effect, Verdict
from holdfast.ports.detector import Detector
from holdfast.ports.standing import Standing, Wrong

CONDITION = "disk-error"
QUIET_MS = 10 * 60_000
DISKS_KEPT = 10_000
# What is made of other disks only hands their errors on.
_MADE_OF_OTHERS = re.compile(r"(?:md|dm-|loop|zram|nbd|rbd|drbd|ram|sr|fd)\d*")
_NAMESPACE = re.compile(r"(nvme\d+)(?:c\d+)?n\d+")


class _Disk(Struct, kw_only=True):
    part: Part
    is_failing: bool = False
    pending: int = 0
    erred_at: Instant | None = None
    errors: int = 0
    what: str = ""


class DiskErrs:
    def __init__(self, *, quiet_ms: float = QUIET_MS) -> None:
        self._quiet_ms = quiet_ms
        self._standing = Standing("disk_error", CONDITION, quiet_ms)
        self._ids: dict[str, str] = {}  # By the kernel's name of now.
        self._disks: dict[str, _Disk] = {}

    def observe(self, seen: Observation) -> Iterable[Verdict]:
        match seen:
            case AlarmLeft(condition="disk-error"):
                self._standing.adopt(seen.subject)
                self._standing.well(seen.subject.id, seen.at, "no further error for ten minutes")
            case HardwareListed(is_of_before=False):
                for part in seen.parts:
                    if part.kind is PartKind.DISK:
                        self._ids[_bare(part.name)] = part.id
            case DiskHealth(is_nvme=False):
                return self._on_health(seen)
            case DiskIoFailed() if not _MADE_OF_OTHERS.fullmatch(seen.disk):
                return self._on_error(seen)
            case _:
                pass
        return ()

    def wake(self, now: Instant) -> Iterable[Verdict]:
        said = self._standing.wake(now)
        for verdict in said:
            disk = self._disks.get(verdict.subject.id)
            if disk is not None:
                disk.errors, disk.erred_at, disk.what = 0, None, ""
        return said

    def deadline(self) -> Instant | None:
        return self._standing.deadline()

    def _on_health(self, seen: DiskHealth) -> list[Verdict]:
        self._ids[_bare(seen.name)] = seen.id
        disk = self._of(seen.name)
        disk.is_failing, disk.pending = not seen.passed, seen.pending_sectors or 0
        if disk.is_failing or disk.pending:
            return self._standing.wrong(self._wrong(disk, seen.at), seen.at)
        if disk.erred_at is None:
            self._standing.well(disk.part.key, seen.at, f"{seen.name} says that it is well")
        return []

    def _on_error(self, seen: DiskIoFailed) -> list[Verdict]:
        disk = self._of(seen.disk)
        disk.errors, disk.erred_at, disk.what = disk.errors + 1, seen.at, seen.what
        said = self._standing.wrong(self._wrong(disk, seen.at), seen.at)
        if not disk.is_failing and not disk.pending:
            over = "no further error for ten minutes"
            self._standing.well(disk.part.key, seen.at, over)
        return said

    def _of(self, name: str) -> _Disk:
        bare = _bare(name)
        id = self._ids.get(bare, bare)
        part = Part(kind=PartKind.DISK, id=id, name=bare if id == bare else f"{bare} ({id})")
        while len(self._disks) >= DISKS_KEPT:
            del self._disks[next(iter(self._disks))]
        return self._disks.setdefault(part.key, _Disk(part=part))

    def _wrong(self, disk: _Disk, at: Instant) -> Wrong:
        effect, certainty, advice = Effect.DEGRADED, Certainty.CERTAIN, Advice.QUARANTINE
        if disk.is_failing:
            effect, certainty, advice = Effect.DOOMED, Certainty.PREDICTED, Advice.DRAIN
            text = "says that it is failing"
        elif disk.errors:
            text = "returns errors"
        else:
            text = "has sectors that it cannot read"
        return Wrong(
            part=disk.part,
            effect=effect,
            certainty=certainty,
            reason=f"disk {disk.part.name} {text}",
            fault_at=at,
            evidence={
                "errors": str(disk.errors),
                "what": disk.what,
                "pending_sectors": str(disk.pending),
                "advice": advice,
            },
        )


def _bare(name: str) -> str:
    """`nvme0` of `nvme0n1`, and `sda` of `sda (SERIAL)`."""
    name = name.partition(" ")[0]
    found = _NAMESPACE.fullmatch(name)
    return found[1] if found else name


PLUGIN: type[Detector] = DiskErrs
