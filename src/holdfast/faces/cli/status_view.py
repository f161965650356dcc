"""What controller and agent say of themselves, put together for one page."""

import socket
from collections.abc import Iterator
from typing import Any

from msgspec import Struct, structs

from holdfast.faces.api.guarantee_shapes import Guarantee
from holdfast.faces.cli.asking import convert
from holdfast.faces.cli.choosing import rows_of
from holdfast.faces.cli.site_words import controllers_lack
from holdfast.faces.pages.guarantee import in_a_line
from holdfast.faces.pages.hosts import HostRow
from holdfast.faces.pages.status import Delivery, Part, StatusView
from holdfast.faces.pages.tables import counted
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.promises import Disarm
from holdfast.facts.wire import VmSummary

Told = dict[str, Any]
WELL = "answers"
# How the kernel tells that a QEMU ended, and which promise that leaves.
WATCHING = {
    "threads": "QEMU's threads: an end is seen at once, at any size of the VM",
    "connector": "the kernel's process events: an end is seen at once, at any size of the VM",
    "process": "QEMU's process alone: the end of a VM is seen 30 to 140 ms per GB late",
}
COUNTED = {
    "gaps": "messages of agents never came",
    "defects": "entries of agents could not be handled",
    "entries_refused": "messages of agents told what is another host's to tell",
    "refused_by_vim": "alarms were refused by the VIM",
    "unreadable": "records of the store cannot be read",
    "unknown_frames": "frames of unknown kinds came",
}
NOT_ASKED = "not asked yet"  # For a moment after the agent began; it is no trouble.
PORT_IS_TAKEN = "once that is mended it listens by itself; which programs have UDP ports: ss -lunp"
LIBVIRT = "VMs run on; restart libvirt when convenient: systemctl restart libvirtd"

SWITCH = "see /var/log/openvswitch on that host, and start openvswitch-switch there"
GUESTS = "or let nothing be saved at all: systemctl disable libvirt-guests"
HOOK = "on that host: sudo holdfast host hook"


class Around(Struct, frozen=True, kw_only=True):
    """What this host is to the answers. `own_name`: its name, where another host's controller was
    asked; `start`: what starts its services, where it has some; `is_starting`: they run."""

    own_name: str = ""
    start: str = ""
    is_starting: bool = False


def make_view(
    controller: Told | None,
    agent: Told | None,
    controller_away: str = "",
    agent_away: str | None = "",
    around: Around | None = None,
) -> StatusView:
    """`None` is a program that is away, for the reason beside it; without a reason nobody asked."""
    known = around or Around()
    upper, here = controller or {}, agent or {}
    disarm = upper.get("disarm") or here.get("disarm")
    incidents = convert(_first_rows("incidents", upper, here), list[Incident])
    hosts = _hosts(upper, incidents)
    has_others = len(hosts) > 1
    # Of this host its own agent knows more, of all hosts the controller.
    vms = _first_rows("vms", *((upper, here) if has_others else (here, upper)))
    return StatusView(
        host_name=str(
            here.get("host_name")
            or known.own_name
            or upper.get("host_name")
            or socket.gethostname()
        ),
        asked=str(upper.get("host_name", "")) if known.own_name else "",
        parts=(
            *_site_parts(controller, controller_away, hosts, known),
            *(() if agent_away is None else _parts_here(agent, agent_away, known)),
        ),
        deliveries=tuple(_deliveries(upper)),
        report_p99_ms=upper.get("report_p99_ms"),
        reports_timed=upper.get("reports_timed"),
        disarm=convert(disarm, Disarm) if disarm else None,
        hosts=tuple(hosts) if has_others else (),
        is_put_out=bool(upper.get("is_put_out")) and not known.own_name,
        lack=controllers_lack(
            len(upper.get("controllers") or ()) or 1, str(upper.get("store_kind", ""))
        ),
        vms=tuple(convert(vms, list[VmSummary])),
        incidents=tuple(one for one in incidents if one.state is IncidentState.OPEN),
        open_alarms=int(upper.get("open_alarms", 0) or here.get("open_alarms", 0)),
        warnings=(*_warnings(here), *_controller_warnings(upper)),
    )


def _first_rows(name: str, *told: Told) -> list[Any]:
    return next((rows_of(one, name) for one in told if one.get(name)), [])


def _hosts(upper: Told, incidents: list[Incident]) -> list[HostRow]:
    """Since when one is silent, its open incident knows."""
    faults = {one.id: one.fault_utc_ms for one in incidents}
    rows = convert(rows_of(upper, "hosts"), list[HostRow])
    return [structs.replace(row, silent_utc_ms=faults.get(row.incident, 0)) for row in rows]


def _site_parts(
    told: Told | None, away: str, hosts: list[HostRow], around: Around
) -> Iterator[Part]:
    """What the controller says of itself, and of the others."""
    yield _controller(told, away, around)
    if told is None:
        return
    missed = _missed(told.get("controllers") or {}, hosts)
    if told.get("store", WELL) != WELL:
        yield _store(str(told["store"]), list(missed))
    if told.get("controllers"):
        yield _controllers(list(told["controllers"]), missed, str(told.get("leader", "")))
    if told.get("pulses"):
        yield _pulses(told["pulses"])
    if len(hosts) > 1 and told.get("fencing"):
        yield _fencing(hosts)
        yield from _losses(told.get("guarantee"))


def _fencing(hosts: list[HostRow]) -> Part:
    """On which hosts Holdfast acts, and whether it could now."""
    acting = [row for row in hosts if row.mode == "act"]
    odd = [row for row in acting if row.is_at_risk]
    if odd:
        first = odd[0]
        more = f", and {len(odd) - 1} more" if len(odd) > 1 else ""
        said = f"could not switch off {first.host_name}{more} now: {first.why_not_fenceable}"
        hint = f"see to its fence device, then: holdfast fence rehearse {first.host_name}"
        return Part(name="fencing", is_well=False, said=said, hint=hint)
    if not acting:
        said = "on no host: one that dies is reported, and a person acts"
    else:
        leased = [row.host_name for row in acting if row.has_only_lease]
        by = f", or ends what relies on its lease ({', '.join(leased)})" if leased else ""
        said = f"on {len(acting)} of {len(hosts)} hosts; each could be switched off now{by}"
    return Part(name="fencing", is_well=True, said=said)


def _losses(told: Any) -> Iterator[Part]:
    """Whether the loss of hosts could be absorbed, where it would be for Holdfast to act."""
    one = convert(told, Guarantee) if told else None
    if one is not None and one.acting:
        hint = "make room there, or add a host; every VM and why: holdfast guarantee"
        yield Part(name="losses", is_well=one.is_kept, said=in_a_line(one), hint=hint)


def _parts_here(told: Told | None, away: str, around: Around) -> Iterator[Part]:
    """What the agent of this host says; named by the host where the rest is another's word."""
    of = f" of {around.own_name}" if around.own_name else ""
    yield _program("agent", told, away, around, of)
    if told is None:
        return
    libvirt = str(told.get("libvirt", ""))
    if libvirt:
        is_well = libvirt == NOT_ASKED or libvirt.startswith(WELL)
        yield Part(name=f"libvirt{of}", is_well=is_well, said=libvirt, hint=LIBVIRT)
    if told.get("hook"):
        said = str(told["hook"])
        yield Part(name=f"libvirt's hook{of}", is_well=False, said=said, hint=HOOK)
    if told.get("libvirt_guests"):
        said = str(told["libvirt_guests"])
        yield Part(name=f"libvirt-guests{of}", is_well=False, said=said, hint=GUESTS)
    switch = told.get("vswitch") or {}
    if switch.get("bridges"):
        said, is_well = str(switch["state"]), str(switch["state"]).startswith(WELL)
        yield Part(name=f"virtual switch{of}", is_well=is_well, said=said, hint=SWITCH)
    watching = str(told.get("watch_mechanism", ""))
    if watching:
        said = WATCHING.get(watching, watching)
        yield Part(name=f"watching{of}", is_well=True, said=said)
    hardware = told.get("hardware")
    if isinstance(hardware, dict) and hardware:
        # What is not read is said, and nothing is wrong by that: not every host has all of it.
        yield Part(name=f"hardware{of}", is_well=True, said="; ".join(map(str, hardware.values())))


def _missed(up: dict[str, str], hosts: list[HostRow]) -> dict[str, str]:
    """Controllers that are away, and why. A host is known to be silent before its link breaks."""
    silent = {row.host_name: row.said for row in hosts if row.is_silent}
    why = {name: silent.get(name, "") if said == "up" else said for name, said in up.items()}
    return {name: reason for name, reason in why.items() if reason not in ("", "here")}


def _store(reason: str, missed: list[str]) -> Part:
    until = f"until {' or '.join(missed)} is back" if missed else "until the store serves"
    hint = f"nothing can be changed {until}; alarms are still sent"
    return Part(name="store", is_well=False, said=reason, hint=hint)


def _controllers(names: list[str], missed: dict[str, str], leader: str) -> Part:
    """Each by name: whether it leads, or why it is not up."""
    is_led = bool(leader) and leader not in missed
    words = [f"{name}{' leads' if name == leader else ''}" for name in names if name not in missed]
    words += [f"{name} is away ({reason})" for name, reason in missed.items()]
    words += [] if is_led else ["nobody leads"]
    return Part(name="controllers", is_well=not missed and is_led, said=", ".join(words))


def _controller(told: Told | None, away: str, around: Around) -> Part:
    if told is None and around.own_name:
        hint = f"on a controller of the site: {around.start or 'holdfast status'}"
        return Part(name="controller", is_well=False, said=away, hint=hint)
    return _program("controller", told, away, around)


def _program(name: str, told: Told | None, away: str, around: Around, of: str = "") -> Part:
    if told is not None:
        return Part(name=f"{name}{of}", is_well=True, said="runs")
    said = away.removeprefix(f"the {name} ").replace(f"no {name} runs here", "does not run")
    hint = around.start or f"sudo holdfast {name}"
    if around.is_starting:
        said = f"{said}: its service starts it"
        hint = f"try again in a moment; if that lasts, it says why: /var/log/holdfast/{name}.log"
    return Part(name=f"{name}{of}", is_well=False, said=said, hint=hint)


def _pulses(told: Told) -> Part:
    """What the controller's ear hears. What it refused is shown, and is no trouble of its own."""
    if told.get("why"):  # Also while the next ear begins: it has not listened yet.
        said = f"nobody listens: {told['why']}; the ear is begun again"
        return Part(name="pulses", is_well=False, said=said, hint=PORT_IS_TAKEN)
    if not told.get("is_up"):
        return Part(name="pulses", is_well=False, said="nobody listens: the ear is begun again")
    flood = _flood(told)
    if told.get("is_doubted"):
        said = f"the ear was slow: it hears all hosts anew{flood}"
        return Part(name="pulses", is_well=False, said=said)
    planes = ", ".join(told.get("planes", {}))
    said = f"of {counted(int(told.get('hosts', 0)), 'host')} awaited on plane {planes}"
    refused = {why: count for why, count in (told.get("refused") or {}).items() if count}
    if refused:
        reasons = ", ".join(f"{why} {count}" for why, count in sorted(refused.items()))
        said += f"; refused: {reasons}"
    said += flood
    for lack in told.get("lacks") or []:
        said += f"; without {lack}"
    return Part(name="pulses", is_well=True, said=said)


def _flood(told: Told) -> str:
    said = ""
    if told.get("shut_out"):
        said += f"; a flood is shut out, from {', '.join(told['shut_out'])}"
    if told.get("let_in"):
        names = ", ".join(told["let_in"])
        said += f"; a flood bears the address of a host that pulses, and is read: {names}"
    return said


def _deliveries(upper: Told) -> Iterator[Delivery]:
    for row in rows_of(upper.get("notifiers", []), "notifiers"):
        yield convert(row, Delivery)


def _controller_warnings(upper: Told) -> Iterator[str]:
    yield from _lost(upper, "of")
    for host in upper.get("agents_awaited") or []:
        yield f"the agent of {host} has not been heard since the controller started"
    for name in upper.get("unknown_to_the_store") or []:
        yield f"the store does not know that {name} is protected: holdfast vm protect {name}"
    for name in upper.get("held_for_a_person") or []:
        yield (
            f"{name} is restarted by nobody, since it is in doubt what its host held:"
            f" holdfast vm protect {name}"
        )
    for key, words in COUNTED.items():
        if upper.get(key):
            yield f"{upper[key]} {words}"


def _lost(told: Told, of: str) -> Iterator[str]:
    reasons = told.get("lost_because") or {}
    for what, count in (told.get("records_lost") or {}).items():
        if count:
            reason = f": {reasons[what]}" if reasons.get(what) else ""
            yield f"{count} records {of} {what} were lost{reason}"


def _warnings(here: Told) -> Iterator[str]:
    if here.get("is_amnesiac"):
        yield "the agent lost its memory: it reports, and starts nothing until VMs are granted"
    yield from _lost(here, "of the")
    for name, count in (here.get("detector_defects") or {}).items():
        if count:
            yield f"detector {name} failed {count} times"
    if here.get("unknown_events"):
        yield f"{here['unknown_events']} events of unknown kinds were seen"
