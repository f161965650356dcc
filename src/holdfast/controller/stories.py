"""The story of an incident from the journals of all who saw it: its agent, each controller."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from holdfast.controller.merging import Record, merge
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import NS_PER_MS

BEFORE_MS = 30_000
AFTER_MS = 15 * 60_000
MOST_OF_EACH = 500
# The journals of the other controllers, by their names; an `error` instead of what is not had.
Journals = Callable[[str], Awaitable[Mapping[str, list[Record]]]]


async def with_others(story: Any, owner: str, journals: Journals) -> Any:
    """`story` is its owner's: `incident`, and `records` by the owner's clock; without an owner it
    is this controller's, whose journal comes first. Records of others are put among them by cause;
    their instants are brought to the owner's clock by the wall clocks, to show about when."""
    incident = msgspec.convert(story["incident"], Incident)
    told = await journals(incident.host or incident.vm or incident.id)
    owner = owner or next(iter(told), "")
    found, missing = {owner: list(story["records"])}, []
    for name, records in told.items():
        if name == owner:
            continue
        errors = [str(record["error"]) for record in records if "error" in record]
        missing += errors
        if not errors:
            near = [one for one in records if _is_near(incident, one)]
            found[name] = [_on_clock_of(incident, one) for one in near[:MOST_OF_EACH]]
    return {**story, "records": merge(found), "owner": owner, "missing": missing}


def _is_near(incident: Incident, record: Record) -> bool:
    after_ms = int(record.get("utc_ms", 0)) - incident.fault_utc_ms
    return -BEFORE_MS <= after_ms <= AFTER_MS


def _on_clock_of(incident: Incident, record: Record) -> Record:
    after_ms = int(record.get("utc_ms", 0)) - incident.fault_utc_ms
    return {**record, "at": incident.fault_at + after_ms * NS_PER_MS}
