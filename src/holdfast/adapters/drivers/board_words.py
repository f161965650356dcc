"""What ipmitool and Redfish say of a board's sensors, as readings.

Sources: ipmitool(1), `sdr elist` with -c; IPMI 2.0, tables 42-1 to 42-3; DMTF DSP0266, schemas
Thermal and Power. A value that no such sensor can have is no reading: boards lie.
"""

import csv
import io
from collections.abc import Iterator
from typing import Any

from holdfast.facts.hardware import PartKind, Reading, ReadingState
from holdfast.facts.instants import Instant

COLDEST_C, HOTTEST_C = -40.0, 150.0
FASTEST_RPM = 100_000.0
_STATES = {
    "ok": ReadingState.OK,
    "nc": ReadingState.WARNING,
    "lnc": ReadingState.WARNING,
    "unc": ReadingState.WARNING,
    "cr": ReadingState.CRITICAL,
    "lcr": ReadingState.CRITICAL,
    "ucr": ReadingState.CRITICAL,
    "nr": ReadingState.CRITICAL,
    "lnr": ReadingState.CRITICAL,
    "unr": ReadingState.CRITICAL,
}
# Of a power supply's own sensor: its states in ipmitool's words. Source: IPMI 2.0, table 42-3.
_POWER_BAD = (
    "failure detected",
    "predictive failure",
    "power supply ac lost",
    "ac lost or out-of-range",
    "ac out-of-range, but present",
    "config error",
    "config mismatch",
    "inactive",
)
_POWER_ENTITY = "10"
_REDFISH_STATES = {
    "ok": ReadingState.OK,
    "warning": ReadingState.WARNING,
    "critical": ReadingState.CRITICAL,
}


def read_sdr(said: str, at: Instant) -> list[Reading]:
    """The rows of `ipmitool -c sdr elist all`, those that are temperatures, fans or supplies."""
    return [
        reading
        for row in csv.reader(io.StringIO(said))
        if len(row) >= 3 and (reading := _sdr_row(row, at)) is not None
    ]


def _sdr_row(row: list[str], at: Instant) -> Reading | None:
    """`NAME,VALUE,UNIT,STATE,ENTITY,...`, or `NAME,NUMBER,STATE,ENTITY,WORDS` of one of states."""
    name, value, rest = row[0].strip(), row[1].strip(), [one.strip() for one in row[2:]]
    number = _number(value)
    unit = rest[0]
    if unit in ("degrees C", "degrees F") and len(rest) > 1:
        if number is not None and unit == "degrees F":
            number = (number - 32) / 1.8
        return _reading(PartKind.TEMPERATURE, name, number, "C", rest[1], at)
    if unit == "RPM" and len(rest) > 1:
        return _reading(PartKind.FAN, name, number, "RPM", rest[1], at)
    entity = next((one.partition(".")[0] for one in rest if _is_entity(one)), "")
    words = rest[-1].lower()
    is_of_states = rest[0] in (*_STATES, "ns")
    if is_of_states and (entity == _POWER_ENTITY or _is_supply(name)):
        state = _power_state(rest[0], words)
        return Reading(at=at, kind=PartKind.POWER, name=name, state=state)
    return None


def _power_state(state: str, words: str) -> ReadingState:
    if any(bad in words for bad in _POWER_BAD):
        return ReadingState.CRITICAL
    if "presence detected" in words or "fully redundant" in words:
        return ReadingState.OK
    return ReadingState.UNKNOWN if state == "ns" else _STATES.get(state, ReadingState.UNKNOWN)


def _reading(
    kind: PartKind, name: str, value: float | None, unit: str, state: str, at: Instant
) -> Reading:
    told = _STATES.get(state, ReadingState.UNKNOWN)
    if value is None or not _is_possible(kind, value):
        told = ReadingState.UNKNOWN
    return Reading(at=at, kind=kind, name=name, state=told, value=value, unit=unit)


def read_thermal(tree: Any, at: Instant) -> Iterator[Reading]:
    """Of Redfish's `Thermal`."""
    for row in _rows(tree, "Temperatures"):
        value = _number(row.get("ReadingCelsius"))
        yield _redfish(PartKind.TEMPERATURE, row, value, "C", at, _by_limits(row, value))
    for row in _rows(tree, "Fans"):
        value = _number(row.get("Reading"))
        unit = str(row.get("ReadingUnits") or "")
        yield _redfish(PartKind.FAN, row, value, unit, at, ReadingState.UNKNOWN)


def read_power(tree: Any, at: Instant) -> Iterator[Reading]:
    """Of Redfish's `Power`."""
    for row in _rows(tree, "PowerSupplies"):
        value = _number(row.get("LastPowerOutputWatts"))
        yield _redfish(PartKind.POWER, row, value, "W", at, ReadingState.UNKNOWN)


def _redfish(
    kind: PartKind,
    row: dict[str, Any],
    value: float | None,
    unit: str,
    at: Instant,
    otherwise: ReadingState,
) -> Reading:
    """`Health` is its word; where it says none, its limits do. An absent part says nothing."""
    status = row.get("Status") if isinstance(row.get("Status"), dict) else {}
    said = status or {}
    state = _REDFISH_STATES.get(str(said.get("Health") or "").lower(), otherwise)
    if str(said.get("State") or "Enabled").lower() in ("absent", "disabled"):
        state = ReadingState.UNKNOWN
    is_measured = kind is not PartKind.POWER and value is not None
    if is_measured and not _is_possible(kind, value or 0.0):
        state = ReadingState.UNKNOWN
    name = str(row.get("Name") or row.get("FanName") or row.get("MemberId") or kind)
    return Reading(at=at, kind=kind, name=name, state=state, value=value, unit=unit)


def _by_limits(row: dict[str, Any], value: float | None) -> ReadingState:
    if value is None:
        return ReadingState.UNKNOWN
    for key, state in (
        ("UpperThresholdFatal", ReadingState.CRITICAL),
        ("UpperThresholdCritical", ReadingState.CRITICAL),
        ("UpperThresholdNonCritical", ReadingState.WARNING),
    ):
        limit = _number(row.get(key))
        if limit and value >= limit:
            return state
    return ReadingState.OK


def _is_possible(kind: PartKind, value: float) -> bool:
    if kind is PartKind.TEMPERATURE:
        return COLDEST_C <= value <= HOTTEST_C
    return 0 <= value <= FASTEST_RPM


def _is_supply(name: str) -> bool:
    lower = name.lower()
    return lower.startswith(("psu", "ps1", "ps2", "power supply")) and "fan" not in lower


def _is_entity(text: str) -> bool:
    left, dot, right = text.partition(".")
    return bool(dot) and left.isdigit() and right.isdigit()


def _rows(tree: Any, key: str) -> Iterator[dict[str, Any]]:
    rows = tree.get(key) if isinstance(tree, dict) else None
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            yield row


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
