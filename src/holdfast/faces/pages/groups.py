"""Groups of VMs: who recovers them, how fast, how often."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from holdfast.faces.pages.tables import BAD, GOOD, STRONG, UNSURE, counted, facts, table
from holdfast.faces.pages.vms import vms_table
from holdfast.facts.instants import spoken
from holdfast.facts.promises import Admission, Group, LocalDisk, Owner, Spread, Zones
from holdfast.facts.wire import VmSummary

OWNERS = {
    Owner.HOLDFAST: "holdfast",
    Owner.EXTERNAL: "external (report only: somebody above acts)",
    Owner.NOBODY: "nobody (report only)",
}
SPREADS = {
    Spread.NONE: "anywhere",
    Spread.HOST: "on hosts of their own",
    Spread.RACK: "in racks of their own",
}
ZONES = {Zones.SAME: "that of the host it was on", Zones.ANY: "any"}
LEASED = "they end when no controller grants the lease of their host"
ADMITS = {
    Admission.WARN: "is protected with a warning",
    Admission.REFUSE: "is not taken into the group",
}

LOCAL_DISKS = {
    LocalDisk.KEEP: "is kept in place: its VM waits for its host",
    LocalDisk.REBUILD: "is rebuilt elsewhere from its image: what is on it is lost",
    LocalDisk.ALARM: "is only alarmed: a person decides",
}


def groups_page(groups: Sequence[Group], vms: Sequence[VmSummary]) -> Iterator[Any]:
    yield table(
        ("GROUP", "LEVEL", "VMS", "RESTARTS", "PRIORITY", "APART", "OWNER OF RECOVERY"),
        [
            [
                Text(group.name, style=STRONG),
                str(group.level),
                str(sum(1 for vm in vms if vm.group == group.name)),
                _budget(group),
                str(group.priority),
                "" if group.spread is Spread.NONE else str(group.spread),
                OWNERS[group.owner],
            ]
            for group in groups
        ],
    )


def group_page(
    group: Group, members: Sequence[VmSummary], template: Mapping[str, Any] | None = None
) -> Iterator[Any]:
    """`template`: of a group whose VMs Holdfast makes itself."""
    yield facts(
        [
            ("group", Text(group.name, style=STRONG)),
            ("owner of recovery", OWNERS[group.owner]),
            ("service level", str(group.level)),
            ("restarts", _budget(group)),
            ("memory dump", "yes" if group.dump else "no"),
            ("start elsewhere", f"{SPREADS[group.spread]}, with priority {group.priority}"),
            ("in which zone", ZONES[group.zones]),
            ("a VM that could not", ADMITS[group.admit]),
            *([("lease", LEASED)] if group.lease else []),
            ("a local disk", LOCAL_DISKS[group.local_disk]),
            *((f"image for {disk}", image) for disk, image in sorted(group.images.items())),
            ("VMs", counted(len(members), "VM")),
        ]
    )
    if template:
        yield from _template(template)
    if members:
        yield ""
        yield from vms_table(members)


def _template(template: Mapping[str, Any]) -> Iterator[Any]:
    count, served = template["count"], template["in_service"]
    yield ""
    style = GOOD if served >= count else BAD
    yield Text(f"{served} of {count} promised VMs are in service, made from its template", style)
    if template["why"]:
        yield Text(f"now: {template['why']}", style=UNSURE)
    for one in template["made"]:
        if one["step"] != "runs":
            why = f": {one['reason']}" if one["reason"] else ""
            yield Text(f"{one['name']} is {one['step']}{why}", style=UNSURE)


def _budget(group: Group) -> str:
    return f"{group.restarts} in {spoken(group.restarts_window_s * 1_000)}"
