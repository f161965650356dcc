"""Hosts as a table, and one host on a page."""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from rich.text import Text

from holdfast.faces.api.guarantee_shapes import Loss
from holdfast.faces.api.vm_shapes import DefinedVm
from holdfast.faces.pages.alarms import alarm_line
from holdfast.faces.pages.guarantee import host_lines
from holdfast.faces.pages.tables import BAD, GOOD, QUIET, UNSURE, ago, counted, facts, table
from holdfast.faces.pages.vms import vms_table
from holdfast.facts.alarms import AlarmRecord
from holdfast.facts.instants import spoken
from holdfast.facts.wire import HostPart, VmSummary

NAMED = 3
STYLES = {"well": GOOD, "odd": UNSURE, "bad": BAD}


class HostRow(Struct, frozen=True, kw_only=True):
    """One host as a controller knows it. `care` is well, odd or bad: how much of a person's care
    its state needs."""

    host: str
    host_name: str
    state: str = ""
    said: str = ""
    care: str = "well"
    boot: str = ""
    is_up: bool = False
    since_utc_ms: int = 0
    is_amnesiac: bool = False
    vms: int = 0
    rack: str = ""
    switch: str = ""
    zone: str = ""
    roles: tuple[str, ...] = ()
    planes: tuple[str, ...] = ()
    planes_heard: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    incident: str = ""
    is_silent: bool = False
    silent_utc_ms: int = 0  # Since when, where its incident says so.
    mode: str = "report"  # What is done when it dies: nothing, or act.
    is_fenceable: bool = False
    why_not_fenceable: str = ""
    dump_wait_s: int = 0  # So long it is left alone when its kernel panicked.
    fence_devices: tuple[str, ...] = ()
    is_drained: bool = False
    predicted: str = ""  # Why it is expected to fail.
    lease: tuple[str, ...] = ()  # Names of VMs that rely on its lease, as it acknowledged.
    lease_trouble: str = ""
    parts: tuple[HostPart, ...] = ()  # What is guarded there, and may be mended there.

    @property
    def is_at_risk(self) -> bool:
        """Holdfast is to act on it, and could not."""
        return self.mode == "act" and not self.is_fenceable and not self.has_only_lease

    @property
    def has_only_lease(self) -> bool:
        """Nobody can switch it off; what relies on its lease ends by itself."""
        return bool(self.lease) and not self.fence_devices


class HostView(Struct, frozen=True, kw_only=True):
    host: HostRow
    vms: tuple[VmSummary, ...] = ()
    only_defined: tuple[DefinedVm, ...] = ()
    alarms: tuple[AlarmRecord, ...] = ()
    if_lost: Loss | None = None


def hosts_page(rows: Sequence[HostRow], now_ms: int) -> Iterator[Any]:
    if not rows:
        yield Text("No host is known yet. Start an agent: sudo holdfast agent", style=QUIET)
        return
    yield hosts_table(rows, now_ms)


def hosts_table(rows: Sequence[HostRow], now_ms: int) -> Any:
    """What is done when one dies is shown where anything is known of that."""
    has_modes = any(one.fence_devices for one in rows)
    return table(
        ("HOST", "AGENT", "VMS", "HEARD", *(["MODE"] if has_modes else []), "STATE"),
        [
            (
                one.host_name,
                agent_words(one, now_ms),
                str(one.vms),
                heard(one),
                *([mode(one)] if has_modes else []),
                state(one),
            )
            for one in rows
        ],
    )


def host_page(view: HostView, now_ms: int) -> Iterator[Any]:
    one = view.host
    yield Text(one.host_name, style="bold").append("  ").append(state(one))
    yield ""
    rows: list[tuple[str, str | Text]] = [
        ("Id", one.host),
        ("Boot", one.boot or "not known"),
        ("Agent", agent_words(one, now_ms)),
    ]
    rows += [(f"Plane {name}", _plane(name, one)) for name in one.planes]
    rows += _fencing(one)
    rows += [("Faults", ", ".join(one.faults))] if one.faults else []
    rows += [("Incident", f"holdfast explain {one.incident}")] if one.incident else []
    rows += [(name, value) for name, value in _place(one) if value]
    rows += [(f"Guarded: {part.name}", _part(part)) for part in one.parts]
    yield facts(rows)
    if view.alarms:
        yield ""
        for alarm in view.alarms:
            yield alarm_line(alarm, now_ms)
    yield ""
    if view.vms:
        yield from vms_table(view.vms, on_a_host=True)
    else:
        yield Text("No VM is there.", style=QUIET)
    if view.only_defined:
        yield ""
        yield Text(f"Only a definition is left there of {_left(view.only_defined)}.", style=QUIET)
    if view.if_lost is not None:
        yield ""
        yield from host_lines(view.if_lost)


def _part(part: HostPart) -> str:
    """What it does, and how its repairs went since the agent has a memory."""
    came = (f"{what} {counted(times, 'time')}" for what, times in sorted(part.repairs.items()))
    repairs = ", ".join(came)
    advice = f" (advice: {part.advice})" if part.advice else ""
    over = f"; handed over: {part.handed_over}{advice}" if part.handed_over else ""
    return (part.state or "watched") + over + (f"; repairs: {repairs}" if repairs else "")


def _left(vms: Sequence[DefinedVm]) -> str:
    """The first few, and where they are."""
    names = [f"{one.name} (on {one.host_name})" for one in vms[:NAMED]]
    more = f" and {len(vms) - NAMED} more" if len(vms) > NAMED else ""
    return f"{', '.join(names)}{more}"


def _fencing(one: HostRow) -> list[tuple[str, str | Text]]:
    if one.mode == "act":
        does = "act: when it dies it is switched off, and its VMs start elsewhere"
    else:
        does = "report: when it dies nothing is done to it"
    if one.dump_wait_s:
        does += f"; after a kernel panic it has {spoken(one.dump_wait_s * 1_000)} for its dump"
    if one.is_fenceable:
        able = Text(f"possible now, by {', '.join(one.fence_devices)}")
    else:
        helps = "rehearse" if one.fence_devices else "set"
        able = Text(f"not possible now: {one.why_not_fenceable or 'it has no fence device'}")
        able.append(f"; what helps: holdfast fence {helps} {one.host_name}")
        able.stylize(BAD if one.is_at_risk else QUIET)
    return [("Mode", does), ("Fencing", able), *_lease(one)]


def _lease(one: HostRow) -> list[tuple[str, str | Text]]:
    """Nothing where nobody asked for it."""
    rows: list[tuple[str, str | Text]] = []
    if one.lease:
        rows.append(("Lease", f"ends {', '.join(one.lease)} when no controller grants it"))
    if one.lease_trouble:
        rows.append(("Lease", Text(f"not armed: {one.lease_trouble}", style=BAD)))
    return rows


def mode(one: HostRow) -> Text:
    if one.is_at_risk:
        return Text("act, not fenceable", style=BAD)
    if one.mode == "act" and one.has_only_lease:
        return Text("act, by its lease")
    return Text(one.mode, style="" if one.mode == "act" else QUIET)


def agent_words(one: HostRow, now_ms: int) -> Text:
    if one.is_amnesiac:
        return Text("lost its memory", style=BAD)
    if one.is_silent:
        took = f" for {spoken(max(0, now_ms - one.silent_utc_ms))}" if one.silent_utc_ms else ""
        return Text(f"not heard{took}", style=BAD)
    if not one.is_up:
        return Text("away", style=UNSURE)
    return Text(f"here since {ago(one.since_utc_ms, now_ms)}" if one.since_utc_ms else "here")


def state(one: HostRow) -> Text:
    said = Text(one.said or one.state or "-", style=STYLES.get(one.care, ""))
    if one.is_drained:
        return Text("in maintenance (drained): ", style=UNSURE).append(said)
    if one.predicted:
        return Text(f"expected to fail ({one.predicted}): ", style=UNSURE).append(said)
    return said


def heard(one: HostRow) -> Text:
    """The planes on which it is silent, or that it is heard on all."""
    if not one.planes or one.state == "unheard":
        return Text("-" if not one.planes else "not yet", style=QUIET)
    silent = [name for name in one.planes if name not in one.planes_heard]
    if not silent:
        return Text(f"on {counted(len(one.planes), 'plane')}")
    return Text(f"silent on {', '.join(silent)}", style=BAD)


def _plane(name: str, one: HostRow) -> Text:
    if name in one.planes_heard:
        return Text("its pulses are heard")
    return Text("it is silent", style=BAD)


def _place(one: HostRow) -> Iterator[tuple[str, str]]:
    yield "Rack", one.rack
    yield "Switch", one.switch
    yield "Zone", one.zone
    yield "Roles", ", ".join(one.roles)
