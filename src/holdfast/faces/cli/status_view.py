"""What controller and agent say of themselves, put together for one page."""

import socket
from collections.abc import Iterator
from typing import Any

from holdfast.faces.cli.asking import convert
from holdfast.faces.cli.choosing import rows_of
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
    "refused_by_vim": "alarms were refused by the VIM",
    "unreadable": "records of the store cannot be read",
    "unknown_frames": "frames of unknown kinds came",
}
LIBVIRT = "VMs run on; restart libvirt when convenient: systemctl restart libvirtd"


def make_view(
    controller: Told | None,
    agent: Told | None,
    controller_away: str = "",
    agent_away: str | None = "",
) -> StatusView:
    """`None` is a program that is away, for the reason beside it; without a reason nobody asked."""
    upper, here = controller or {}, agent or {}
    disarm = upper.get("disarm") or here.get("disarm")
    incidents = convert(_first_rows("incidents", upper, here), list[Incident])
    hosts = convert(rows_of(upper, "hosts"), list[HostRow])
    has_others = len(hosts) > 1
    # Of this host its own agent knows more, of all hosts the controller.
    vms = _first_rows("vms", *((upper, here) if has_others else (here, upper)))
    return StatusView(
        host_name=str(here.get("host_name") or upper.get("host_name") or socket.gethostname()),
        parts=tuple(_parts(controller, agent, controller_away, agent_away)),
        deliveries=tuple(_deliveries(upper)),
        report_p99_ms=upper.get("report_p99_ms"),
        reports_timed=upper.get("reports_timed"),
        disarm=convert(disarm, Disarm) if disarm else None,
        hosts=tuple(hosts) if has_others else (),
        vms=tuple(convert(vms, list[VmSummary])),
        incidents=tuple(one for one in incidents if one.state is IncidentState.OPEN),
        open_alarms=int(upper.get("open_alarms", 0) or here.get("open_alarms", 0)),
        warnings=(*_warnings(here), *_controller_warnings(upper)),
    )


def _first_rows(name: str, *told: Told) -> list[Any]:
    return next((rows_of(one, name) for one in told if one.get(name)), [])


def _parts(
    controller: Told | None, agent: Told | None, controller_away: str, agent_away: str | None
) -> Iterator[Part]:
    yield _program("controller", controller, controller_away)
    if agent_away is not None:
        yield _program("agent", agent, agent_away)
    if controller and controller.get("store", WELL) != WELL:
        yield Part(name="store", is_well=False, said=str(controller["store"]))
    if controller and controller.get("controllers"):
        yield _controllers(controller["controllers"], str(controller.get("leader", "")))
    if controller and controller.get("pulses"):
        yield _pulses(controller["pulses"])
    if agent is not None:
        libvirt = agent.get("libvirt", "")
        if libvirt:
            yield Part(name="libvirt", is_well=_is_well(libvirt), said=str(libvirt), hint=LIBVIRT)
        watching = str(agent.get("watch_mechanism", ""))
        if watching:
            said = WATCHING.get(watching, watching)
            yield Part(name="watching", is_well=True, said=said)


def _controllers(up: dict[str, str], leader: str) -> Part:
    """Each by name: whether it leads, or why it is not up."""
    away = {name: reason for name, reason in up.items() if reason not in ("here", "up")}
    words = [f"{name}{' leads' if name == leader else ''}" for name in up if name not in away]
    words += [f"{name} is away ({reason})" for name, reason in away.items()]
    return Part(name="controllers", is_well=not away and bool(leader), said=", ".join(words))


def _program(name: str, told: Told | None, away: str) -> Part:
    if told is None:
        said = away.removeprefix(f"the {name} ").replace(f"no {name} runs here", "does not run")
        return Part(name=name, is_well=False, said=said, hint=f"sudo holdfast {name}")
    return Part(name=name, is_well=True, said="runs")


def _pulses(told: Told) -> Part:
    """What the controller's ear hears. What it refused is shown, and is no trouble of its own."""
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


def _is_well(said: Any) -> bool:
    return str(said).startswith("answers")


def _deliveries(upper: Told) -> Iterator[Delivery]:
    for row in rows_of(upper.get("notifiers", []), "notifiers"):
        yield convert(row, Delivery)


def _controller_warnings(upper: Told) -> Iterator[str]:
    for what, count in (upper.get("records_lost") or {}).items():
        if count:
            yield f"{count} records of {what} were lost"
    for host in upper.get("agents_awaited") or []:
        yield f"the agent of {host} has not been heard since the controller started"
    for name in upper.get("unknown_to_the_store") or []:
        yield f"the store does not know that {name} is protected: holdfast vm protect {name}"
    for key, words in COUNTED.items():
        if upper.get(key):
            yield f"{upper[key]} {words}"


def _warnings(here: Told) -> Iterator[str]:
    if here.get("is_amnesiac"):
        yield "the agent lost its memory: it reports, and starts nothing until VMs are granted"
    for what, count in (here.get("records_lost") or {}).items():
        if count:
            yield f"{count} records of the {what} were lost"
    for name, count in (here.get("detector_defects") or {}).items():
        if count:
            yield f"detector {name} failed {count} times"
    if here.get("unknown_events"):
        yield f"{here['unknown_events']} events of unknown kinds were seen"
