"""A host of the site as the watch believes it to be, as a row for people."""

from typing import Any

from holdfast.policy.host_states import SILENT
from holdfast.policy.site_world import HostRecord, SiteWorld


def host_row(world: SiteWorld, record: HostRecord, planes: list[str]) -> dict[str, Any]:
    """`planes` are those on which it is heard here."""
    is_dead = world.death_of(record) is not None and record.state in SILENT
    return {
        "host": record.host,
        "host_name": record.name,
        "rack": record.rack,
        "switch": record.switch,
        "zone": record.zone,
        "roles": [str(role) for role in record.size.roles] if record.size else [],
        "boot": record.boot,
        "state": "dead" if is_dead else record.state.name.lower(),
        "said": said_of(world, record),
        "is_silent": record.state in SILENT,
        "planes_heard": planes,
        "faults": sorted(record.faults),
        "incident": record.incident,
        "vms": len(record.vms),
    }


def said_of(world: SiteWorld, record: HostRecord) -> str:
    """Of a silent host that is proven dead also how."""
    lapse = world.lapse_of(record)
    if lapse is not None and lapse.proof is not None and record.state in SILENT:
        return f"{record.state.value}; {'; '.join(lapse.proof.shown)}"
    fence = world.death_of(record)
    if fence is None or fence.proof is None or record.state not in SILENT:
        return record.state.value
    return f"is dead: {fence.proof.in_short}"
