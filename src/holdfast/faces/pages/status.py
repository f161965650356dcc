"""Status at a glance: is everything well, what is not, each VM, and what to do next."""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct
from rich.text import Text

from holdfast.detectors import reporting_slow
from holdfast.faces.pages.hosts import HostRow, hosts_table
from holdfast.faces.pages.incidents import incident_line, then
from holdfast.faces.pages.tables import (
    BAD,
    GOOD,
    QUIET,
    UNSURE,
    ago,
    clock,
    counted,
    facts,
)
from holdfast.faces.pages.vms import vms_table
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import spoken
from holdfast.facts.promises import Disarm, Owner
from holdfast.facts.wire import VmSummary

VMS_SHOWN = 10
HOSTS_SHOWN = 10
PUT_OUT = "this host was put out of the site"


class Part(Struct, frozen=True, kw_only=True):
    """A program, or libvirt. `said` is a few words; `hint` what to do where it is not well."""

    name: str
    is_well: bool
    said: str
    hint: str = ""


class Delivery(Struct, frozen=True, kw_only=True):
    """Somebody who is told of alarms: the VIM, a webhook, a program."""

    name: str
    is_well: bool = True
    answered_utc_ms: int | None = None
    backlog: int = 0
    gaps: int = 0
    parked: int = 0  # Notices that it refused: kept aside, and not tried again.
    reason: str = ""


class StatusView(Struct, frozen=True, kw_only=True):
    """What both programs said, put together; None and empty are what nobody could say."""

    host_name: str
    asked: str = ""  # Whose controller tells it, where that is not this host's own.
    parts: tuple[Part, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    report_p99_ms: float | None = None
    reports_timed: int | None = None
    disarm: Disarm | None = None
    hosts: tuple[HostRow, ...] = ()  # Of a site with more than this one.
    is_put_out: bool = False  # Of its site, by a person: what it hears of others says nothing.
    lack: str = ""  # What too few controllers mean. No trouble: scripts wait while a site grows.
    vms: tuple[VmSummary, ...] = ()
    incidents: tuple[Incident, ...] = ()  # Open ones.
    open_alarms: int = 0
    warnings: tuple[str, ...] = ()


def troubles(view: StatusView) -> list[str]:
    """What is not well, worst first; empty when everything is."""
    found = [PUT_OUT] if view.is_put_out else []
    found += [f"incident {one.id}: {one.title}" for one in view.incidents if one.needs_you]
    found += [f"{part.name} {part.said}" for part in view.parts if not part.is_well]
    found += [f"incident {one.id}: {one.title}" for one in view.incidents if not one.needs_you]
    found += [_all_drained(view.hosts)] if _is_all_drained(view.hosts) else []
    found += [f"{one.name} is not told: {one.reason}" for one in view.deliveries if not one.is_well]
    found += [
        f"{one.name} refused {one.parked} messages: they are kept in its outbox's refused.jsonl"
        for one in view.deliveries
        if one.parked
    ]
    if view.report_p99_ms is not None and _is_slow(view):
        found.append(f"reporting is slow: p99 {spoken(view.report_p99_ms)}")
    return [*found, *view.warnings]


def _is_all_drained(hosts: Sequence[HostRow]) -> bool:
    return bool(hosts) and all(one.is_drained for one in hosts)


def _all_drained(hosts: Sequence[HostRow]) -> str:
    """Then none of them takes a VM, also of one that dies; and who had to leave could not."""
    count = sum(one.vms for one in hosts)
    left = f", and {counted(count, 'VM')} could not leave" if count else ""
    return f"every host is in maintenance (drained): none takes a VM{left}"


def _is_slow(view: StatusView) -> bool:
    """As the alarm is judged: one late report, of a few, is no rule."""
    is_few = view.reports_timed is not None and view.reports_timed < reporting_slow.FEWEST
    return not is_few and (view.report_p99_ms or 0) > reporting_slow.LIMIT_MS


def status_page(view: StatusView, now_ms: int) -> Iterator[Any]:
    yield _verdict(view)
    yield ""
    yield facts(_fact_rows(view, now_ms))
    if view.hosts:
        yield ""
        yield from _hosts(view.hosts, now_ms)
    if view.vms:
        yield ""
        yield from _vms(view.vms)
    if view.incidents:
        yield ""
        for incident in view.incidents:
            yield incident_line(incident, now_ms, incident.fault_utc_ms)
    yield ""
    yield _next(view)


def _hosts(hosts: Sequence[HostRow], now_ms: int) -> Iterator[Any]:
    """A screenful: of many hosts those first that are not as they should be."""
    ordered = sorted(hosts, key=lambda one: ("bad", "odd", "well").index(one.care))
    yield hosts_table(hosts if len(hosts) <= HOSTS_SHOWN else ordered[:HOSTS_SHOWN], now_ms)
    if len(hosts) > HOSTS_SHOWN:
        yield f"and {counted(len(hosts) - HOSTS_SHOWN, 'more host')}: holdfast host list"


def _vms(vms: Sequence[VmSummary]) -> Iterator[Any]:
    """A screenful: of many VMs those first that are not as they should be."""
    if len(vms) <= VMS_SHOWN:
        yield from vms_table(vms)
        return
    odd = [vm for vm in vms if vm.incident or (vm.is_protected and vm.obstacle)]
    rest = [vm for vm in vms if vm not in odd]
    shown = [*odd, *rest][:VMS_SHOWN]
    yield from vms_table(shown)
    yield f"and {counted(len(vms) - len(shown), 'more VM')}: holdfast vm list"


def _verdict(view: StatusView) -> Text:
    found = troubles(view)
    head = f"the site, as {view.asked} tells it" if view.asked else view.host_name
    if not found:
        loose = sum(1 for vm in view.vms if not vm.is_protected)
        text = Text(f"{head}: everything is well", style=GOOD)
        if view.disarm:
            text.append(", but recovery is off", style=UNSURE)
        elif view.lack:
            text.append(f", but it has {view.lack.partition(':')[0]}", style=UNSURE)
        elif view.open_alarms:
            text.append(f", but {counted(view.open_alarms, 'alarm is', 'alarms are')} open")
        elif view.vms and loose == len(view.vms):
            text.append("; no VM is protected yet", style=UNSURE)
        return text
    text = Text(f"{head}: {counted(len(found), 'thing is', 'things are')} not well")
    text.stylize(BAD)
    for trouble in found[:5]:
        text.append(f"\n  {trouble}")
    if len(found) > 5:
        text.append(f"\n  and {len(found) - 5} more")
    return text


def _fact_rows(view: StatusView, now_ms: int) -> Iterator[tuple[str, Text]]:
    for part in view.parts:
        yield part.name, Text(part.said, style="" if part.is_well else BAD)
    for one in view.deliveries:
        yield one.name, _delivery(one, now_ms)
    if view.report_p99_ms is not None:
        said = f"p99 {spoken(view.report_p99_ms)} from the fault to the VIM's answer"
        yield "reporting", Text(said, style=BAD if _is_slow(view) else "")
    yield "recovery", _recovery(view.disarm, now_ms)
    yield (
        "open",
        Text(f"{counted(view.open_alarms, 'alarm')}, ").append(
            counted(len(view.incidents), "incident")
        ),
    )


def _delivery(one: Delivery, now_ms: int) -> Text:
    if not one.is_well:
        text = Text(one.reason or "does not answer", style=BAD)
    elif one.answered_utc_ms:
        text = Text(f"answered {ago(one.answered_utc_ms, now_ms)}")
    else:
        text = Text("nothing to tell yet", style=QUIET)
    if one.backlog:
        text.append(f", {counted(one.backlog, 'message')} waiting", style=UNSURE)
    if one.gaps:
        text.append(f", {one.gaps} lost", style=BAD)
    return text


def _recovery(disarm: Disarm | None, now_ms: int) -> Text:
    if disarm is None:
        return Text("on")
    until = clock(disarm.until_utc_ms, now_ms)
    return Text(f"off until {until}, by {disarm.owner}: {disarm.reason}", style=UNSURE)


def _next(view: StatusView) -> Text:
    """Always ends with what to type, or that there is nothing to do."""
    if view.is_put_out:
        return Text(f"Needs you: {PUT_OUT}: holdfast leave --alone", style=BAD)
    needed = list(dict.fromkeys(one.needs_you for one in view.incidents if one.needs_you))
    if needed:
        return Text("Needs you: " + "\n           ".join(needed), style=BAD)
    hints = [part.hint for part in view.parts if part.hint and not part.is_well]
    if hints:
        return Text("What to do: " + "\n            ".join(hints), style=UNSURE)
    if _is_all_drained(view.hosts):
        names = " or ".join(one.host_name for one in view.hosts[:2])
        return Text(f"What to do: holdfast host undrain HOST, for {names}", style=UNSURE)
    if view.incidents:
        ours = [one for one in view.incidents if one.owner is Owner.HOLDFAST]
        newest = (ours or view.incidents)[-1]
        word = "Being mended" if ours else "Left to its owner"
        if newest.host:
            word = f"Nothing to do yet: {newest.name} is awaited{then(newest)}"
        return Text(f"{word}. Its story: holdfast explain {newest.id}")
    if view.disarm:
        return Text("Switch recovery on again: holdfast arm")
    if view.lack:
        return Text(f"The site has {view.lack}", style=UNSURE)
    if view.open_alarms and not troubles(view):
        return Text("What is open, and what to do: holdfast alarms", style=UNSURE)
    return _at_last(view)


def _at_last(view: StatusView) -> Text:
    """Of a site where nothing is wrong."""
    kept = [one for one in view.hosts if one.is_drained and one.vms]
    if kept:
        first = kept[0]
        there = counted(first.vms, "VM is", "VMs are")
        why = f"why, and how far it is: holdfast host drain {first.host_name}"
        return Text(f"{first.host_name} is drained, and {there} still there; {why}", style=UNSURE)
    loose = [vm.name for vm in view.vms if not vm.is_protected and vm.is_running]
    if loose:
        return Text(f"To restart a VM when it fails: holdfast vm protect {loose[0]}")
    if troubles(view):
        return Text("What it means, and what to do: holdfast alarms")
    return Text("Nothing to do.", style=GOOD)
