"""What smartctl says of a disk, as an observation; it knows NVMe, ATA and SCSI disks alike.

Source: smartctl(8), its option --json, and the NVM Express Base Specification, figure 206.
"""

from typing import Any

import msgspec

from holdfast.facts.hardware import DiskHealth
from holdfast.facts.instants import Instant

PROGRAMS = ("/usr/sbin/smartctl", "/usr/bin/smartctl", "/sbin/smartctl")
# The bits of NVMe's critical warning, from 0.
WARNINGS = (
    "few spare blocks are left",
    "too hot or too cold",
    "it is not reliable any more",
    "it can only be read",
    "its volatile memory has lost its backup power",
    "its persistent memory can only be read",
)
PENDING = 197  # Current_Pending_Sector of ATA's attributes.


class NotRead(Exception):
    """Why a disk's health is not known, as a sentence."""


def options(device: str) -> list[str]:
    """A disk that sleeps is not woken for it."""
    return ["--json=c", "-n", "standby", "-i", "-H", "-A", device]


def read_health(said: str, name: str, id: str, at: Instant) -> DiskHealth:
    """Raises NotRead where the disk has no such health, or another form."""
    try:
        tree: dict[str, Any] = msgspec.json.decode(said, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError):
        raise NotRead("smartctl gives no JSON: it is older than 7.0") from None
    passed = _inner(tree, "smart_status", "passed")
    if not isinstance(passed, bool):
        raise NotRead(_complaint(tree) or "it has no SMART health")
    log = _inner(tree, "nvme_smart_health_information_log")
    is_nvme = isinstance(log, dict)
    bits = _number(log.get("critical_warning")) if isinstance(log, dict) else None
    return DiskHealth(
        at=at,
        id=id,
        name=name,
        is_nvme=is_nvme,
        passed=passed,
        warnings=_warnings(bits or 0),
        model=str(tree.get("model_name") or tree.get("scsi_model_name") or ""),
        temperature_c=_number(_inner(tree, "temperature", "current")),
        worn_percent=_number(_inner(log, "percentage_used")),
        media_errors=_number(_inner(log, "media_errors")),
        pending_sectors=_pending(tree),
    )


def _warnings(bits: int) -> tuple[str, ...]:
    known = [text for place, text in enumerate(WARNINGS) if bits & 1 << place]
    rest = bits >> len(WARNINGS) << len(WARNINGS)
    return tuple([*known, f"a warning that Holdfast does not know (0x{rest:x})"] if rest else known)


def _pending(tree: dict[str, Any]) -> int | None:
    for row in _inner(tree, "ata_smart_attributes", "table") or ():
        if isinstance(row, dict) and row.get("id") == PENDING:
            # The high bytes of a raw value are the maker's own business.
            value = _number(_inner(row, "raw", "value"))
            return None if value is None else value & 0xFFFF_FFFF
    return None


def _complaint(tree: dict[str, Any]) -> str:
    messages = _inner(tree, "smartctl", "messages")
    if not isinstance(messages, list):
        return ""
    texts = [str(one.get("string", "")) for one in messages if isinstance(one, dict)]
    return "; ".join(texts)


def _inner(tree: Any, *keys: str) -> Any:
    for key in keys:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
