"""VMs: one line for each, the first obstacle to a restart here, and all that is known of one."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from holdfast.faces.pages.tables import BAD, GOOD, QUIET, STRONG, UNSURE, clock, facts, table
from holdfast.facts.definitions import DiskKind, VmDisk
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.wire import VmSummary

NAMED = 3


def vms_page(vms: Sequence[VmSummary]) -> Iterator[Any]:
    if not vms:
        yield "No VM is known here. Define one with virsh or virt-install; it is seen at once."
        return
    yield from vms_table(vms)
    loose = [vm.name for vm in vms if not vm.is_protected]
    if loose:
        yield ""
        yield f"To restart a VM when it fails: holdfast vm protect {loose[0]}"


def vms_table(vms: Sequence[VmSummary], *, on_a_host: bool = False) -> Iterator[Any]:
    """One line for each; below them the first obstacle of each that could not be restarted here.
    Where each is is said where that is known, and they are not all on a host that was named."""
    has_others = any(vm.starts_elsewhere is not None for vm in vms)
    elsewhere = ["ELSEWHERE"] if has_others else []
    has_hosts = any(vm.host_name for vm in vms) and not on_a_host
    yield table(
        (
            "VM",
            *(["HOST"] if has_hosts else []),
            "STATE",
            "PROTECTED",
            "ANSWERS BY",
            "RESTART HERE",
            *elsewhere,
            "WATCHED BY",
        ),
        [
            [
                Text(vm.name, style=STRONG),
                *([host_text(vm)] if has_hosts else []),
                state_text(vm),
                protection_text(vm),
                vm.answer or "-",
                _restart_word(vm),
                *([_elsewhere_word(vm)] if has_others else []),
                vm.watched_by or "-",
            ]
            for vm in vms
        ],
    )
    blocked = [vm for vm in vms if vm.is_protected and vm.obstacle]
    if blocked:
        yield ""
    for vm in blocked:
        yield Text(f"{vm.name} could not be restarted here: {vm.obstacle}", style=UNSURE)
    for vm in vms:
        yield from _runs_twice(vm)
    yield from _stay_down([vm for vm in vms if vm.starts_elsewhere is False])


def _stay_down(vms: Sequence[VmSummary]) -> Iterator[Any]:
    """Who has the same obstacle to a start elsewhere stands together."""
    by_reason: dict[str, list[str]] = {}
    for vm in vms:
        by_reason.setdefault(vm.elsewhere, []).append(vm.name)
    if by_reason:
        yield ""
    for reason, names in by_reason.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        said = f"{', '.join(names[:NAMED])}{more} would not start elsewhere: {reason}"
        yield Text(said, style=UNSURE)


def _runs_twice(vm: VmSummary) -> Iterator[Any]:
    if vm.also_runs_on:
        others = " and ".join(vm.also_runs_on)
        said = f"{vm.name} runs on {others} as well: what to do: holdfast incidents"
        yield Text(said, style=BAD)


def host_text(vm: VmSummary) -> Text:
    """Where it is. It must run on one host only: any other that runs it is named too."""
    text = Text(vm.host_name or "-", style="" if vm.host_name else QUIET)
    if vm.also_runs_on:
        text.append(f", {', '.join(vm.also_runs_on)}", style=BAD)
    return text


def _elsewhere_word(vm: VmSummary) -> Text:
    if vm.starts_elsewhere is None:
        return Text("-", style=QUIET)
    if vm.starts_elsewhere and vm.rebuilt:
        return Text("rebuilt", style=UNSURE)
    return Text("yes", style=GOOD) if vm.starts_elsewhere else Text("no", style=UNSURE)


def _restart_word(vm: VmSummary) -> Text:
    if not vm.is_protected:
        return Text("-", style=QUIET)
    return Text("no", style=UNSURE) if vm.obstacle else restart_text(vm)


def state_text(vm: VmSummary) -> Text:
    if vm.incident:
        return Text(vm.state, style=BAD)
    return Text(vm.state, style=GOOD if vm.is_running else "")


def protection_text(vm: VmSummary) -> Text:
    if not vm.is_protected:
        return Text("no", style=QUIET)
    owner = "" if vm.owner in ("holdfast", "") else f", by {vm.owner}"
    return Text(f"{vm.group}{owner}" or "yes")


def restart_text(vm: VmSummary) -> Text:
    """Whether it can be restarted here, or the first obstacle."""
    if vm.obstacle or not vm.is_protected:
        return Text(f"no: {vm.obstacle or 'it is not protected'}", style=UNSURE)
    text = Text("yes", style=GOOD)
    if vm.restarts_left is not None:
        text.append(f", {vm.restarts_left} left", style=QUIET)
    return text


def elsewhere_text(vm: VmSummary) -> Text:
    """Whether it would start on another host; or, where nobody asked the site, whether anything
    of it is on its host alone."""
    if vm.elsewhere:
        return Text(f"no: {vm.elsewhere}", style=UNSURE)
    if vm.rebuilt:
        return Text(f"yes, {vm.rebuilt}", style=UNSURE)
    if vm.starts_elsewhere:
        return Text("yes, if its host died now", style=GOOD)
    return Text("nothing of it is on this host alone", style=GOOD)


KINDS = {
    DiskKind.SHARED: "shared with other hosts",
    DiskKind.READ_ONLY: "only read",
    DiskKind.REMAKEABLE: "on its host alone; it could be made anew from an image",
    DiskKind.LOCAL: "on its host alone",
}


def disk_text(disk: VmDisk) -> Text:
    style = "" if disk.kind in (DiskKind.SHARED, DiskKind.READ_ONLY) else UNSURE
    return Text(KINDS[disk.kind] + (f": {disk.path}" if disk.path else ""), style=style)


def vm_page(vm: VmSummary, incidents: Sequence[Incident], now_ms: int = 0) -> Iterator[Any]:
    yield facts(
        [
            ("VM", Text(vm.name, style=STRONG)),
            ("uuid", vm.vm),
            *([("host", host_text(vm))] if vm.host_name else []),
            ("state", state_text(vm)),
            ("QEMU's pid", str(vm.pid) if vm.pid else "-"),
            ("watched by", vm.watched_by or "-"),
            ("protected", protection_text(vm)),
            ("wanted", vm.wanted or "-"),
            ("answers by", vm.answer or "-"),
            ("restart here", restart_text(vm)),
            *([("start elsewhere", elsewhere_text(vm))] if vm.is_protected else []),
            *(("disk " + one.name, disk_text(one)) for one in vm.disks),
            ("open incident", Text(vm.incident, style=BAD) if vm.incident else "none"),
        ]
    )
    if vm.defined_on:
        hosts = ", ".join(vm.defined_on)
        yield ""
        yield Text(f"Only a definition of it is left on {hosts}: nothing runs there.", style=QUIET)
    yield from _runs_twice(vm)
    yield ""
    if not incidents:
        yield "It has had no incident."
    for incident in incidents[-10:]:
        style = GOOD if incident.state is IncidentState.CLOSED else BAD
        line = Text(f"{clock(incident.fault_utc_ms, now_ms)}  {incident.id}  ")
        line.append(str(incident.state), style=style)
        line.append(f"  {incident.title}")
        yield line
    if not vm.is_protected:
        yield ""
        yield f"To restart it when it fails: holdfast vm protect {vm.name}"
