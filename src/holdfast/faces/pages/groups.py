"""Groups of VMs: who recovers them, how fast, how often."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from holdfast.faces.pages.tables import STRONG, counted, facts, table
from holdfast.faces.pages.vms import vms_table
from holdfast.facts.instants import spoken
from holdfast.facts.promises import Group, Owner
from holdfast.facts.wire import VmSummary

OWNERS = {
    Owner.HOLDFAST: "holdfast",
    Owner.EXTERNAL: "external (report only: somebody above acts)",
    Owner.NOBODY: "nobody (report only)",
}


def groups_page(groups: Sequence[Group], vms: Sequence[VmSummary]) -> Iterator[Any]:
    yield table(
        ("GROUP", "LEVEL", "VMS", "RESTARTS", "OWNER OF RECOVERY"),
        [
            [
                Text(group.name, style=STRONG),
                str(group.level),
                str(sum(1 for vm in vms if vm.group == group.name)),
                _budget(group),
                OWNERS[group.owner],
            ]
            for group in groups
        ],
    )


def group_page(group: Group, members: Sequence[VmSummary]) -> Iterator[Any]:
    yield facts(
        [
            ("group", Text(group.name, style=STRONG)),
            ("owner of recovery", OWNERS[group.owner]),
            ("service level", str(group.level)),
            ("restarts", _budget(group)),
            ("memory dump", "yes" if group.dump else "no"),
            ("VMs", counted(len(members), "VM")),
        ]
    )
    if members:
        yield ""
        yield from vms_table(members)


def _budget(group: Group) -> str:
    return f"{group.restarts} in {spoken(group.restarts_window_s * 1_000)}"
