"""A host that was fenced, in short: who heard what, the proof, and the way of each of its VMs."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct
from rich.text import Text

from holdfast.faces.pages.tables import BAD, GOOD, QUIET, STRONG, UNSURE, counted, facts, table
from holdfast.facts.actions import Report
from holdfast.facts.alarms import AlarmState
from holdfast.facts.fencing import Fence, FenceStep
from holdfast.facts.hearing import PlaneSilent, Sign, WitnessKind, WitnessSpoke
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import Instant, elapsed_ms, spoken
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.site import FenceSet, RecoverySet
from holdfast.policy import rebuilding

Seen = tuple[Instant, Struct]
ON_LOST_HOST = "vm-on-lost-host"
TOLD = 3
_SAID = {
    Sign.PULSE: "it answered",
    Sign.KERNEL: "its kernel answered",
    Sign.NOTHING: "no sign of life for",
    Sign.UNKNOWN: "nobody knows it from",
}


class Around(Struct, frozen=True, kw_only=True):
    """`names` of hosts by id; `levels` in ms, and `incidents` on their new hosts, of VMs by id."""

    names: Mapping[str, str] = {}
    levels: Mapping[str, int] = {}
    incidents: Mapping[str, str] = {}


class Way(Struct, kw_only=True):
    """One VM of the host. `took_ms` is from the fault to its answer."""

    vm: str
    name: str
    steps: list[str]
    took_ms: float | None = None
    is_over: bool = False
    rejected: tuple[str, ...] = ()


def is_fenced(steps: Iterable[Seen]) -> bool:
    return any(isinstance(fact, FenceSet) for _, fact in steps)


def fenced_lines(incident: Incident, steps: Sequence[Seen], around: Around) -> Iterator[Any]:
    """Nothing of a host of which no fence was committed."""
    committed = [(at, one.fence) for at, one in steps if isinstance(one, FenceSet)]
    fences = [(at, one) for at, one in committed if one.incident in ("", incident.id)]
    if not fences:
        return
    newest = fences[-1][1]
    own = [(at, one) for at, one in fences if one.number == newest.number]
    yield Text("In short", style=STRONG)
    yield facts(_fence_rows(incident, steps, own, around))
    ways = ways_of(incident, steps, around)
    stays = _stay_down(steps, ways)
    yield ""
    if not ways and not stays:
        yield "It ran no VM that is protected, as far as is known."
        return
    yield table(
        ("VM", "WHAT BECAME OF IT", "TOOK"),
        [
            *(_row(way, around) for way in ways),
            *((Text(name, style=STRONG), Text(text, style=BAD), "") for name, text in stays),
        ],
    )
    yield from _rejections(ways)


# The host.


def _fence_rows(
    incident: Incident,
    steps: Sequence[Seen],
    own: Sequence[tuple[Instant, Fence]],
    around: Around,
) -> Iterator[tuple[str, str | Text]]:
    begun, newest = own[0], own[-1][1]
    yield "evidence", _evidence(newest.host, steps, begun[0], around) or "not in the journal"
    if not newest.by:
        yield "committed", f"{_after(incident, begun[0])}: {newest.reason or 'to switch it off'}"
    proven = next((at for at, one in own if one.step is FenceStep.OFF), None)
    if newest.doubt:
        yield "proof", Text(f"none: {newest.doubt}", style=BAD)
    elif newest.proof is None:
        yield "proof", Text("none yet", style=UNSURE)
    else:
        who = f"{newest.by} says so: " if newest.by else ""
        at = f"{_after(incident, proven)}: " if proven is not None else ""
        yield "proof", f"{at}{who}{'; '.join(newest.proof.shown) or newest.proof.kind}"
        boots = [newest.proof.boot, *newest.proof.earlier]
        more = f", and {', '.join(boots[1:])} before it" if boots[1:] else ""
        if newest.proof.vms:
            more = ", and there only the VMs that relied on its lease"
        yield "covers", f"boot {boots[0]}{more}: whatever ran in a later boot is not covered"
    if newest.step is FenceStep.CLOSED:
        yield "since then", f"{newest.name} runs again, with nothing that another host holds"


def _evidence(host: str, steps: Sequence[Seen], until: Instant, around: Around) -> str:
    """What each witness said last before it was committed."""
    planes: dict[str, None] = {}
    said: dict[str, Sign] = {}
    for at, fact in steps:
        if at > until or getattr(fact, "host", "") != host:
            continue
        if isinstance(fact, PlaneSilent):
            planes[fact.plane] = None
        elif isinstance(fact, WitnessSpoke):
            said[_witness(fact, around)] = fact.sign
    parts = [f"silent on plane {' and '.join(planes)}"] if planes else []
    by_sign: dict[Sign, list[str]] = defaultdict(list)
    for who, sign in said.items():
        by_sign[sign].append(who)
    parts += [f"{_SAID[sign]} {', '.join(by_sign[sign])}" for sign in _SAID if sign in by_sign]
    return "; ".join(parts)


def _witness(fact: WitnessSpoke, around: Around) -> str:
    plane = f" on plane {fact.plane}" if fact.plane else ""
    name = around.names.get(fact.witness, fact.witness)
    if fact.kind is WitnessKind.CONTROLLER:
        return f"controller {name}"
    is_itself = fact.kind is WitnessKind.PROBE or fact.witness == fact.host
    return f"this controller{plane}" if is_itself else f"{name}{plane}"


# Its VMs.


def ways_of(incident: Incident, steps: Sequence[Seen], around: Around) -> list[Way]:
    """In the order in which they were placed."""
    ways: dict[str, Way] = {}
    known: dict[str, tuple[int, RecoveryStep]] = {}
    for at, fact in steps:
        if not isinstance(fact, RecoverySet) or fact.recovery.incident != incident.id:
            continue
        one = fact.recovery
        if known.get(one.vm) == (one.generation, one.step):
            continue
        known[one.vm] = (one.generation, one.step)
        way = ways.setdefault(one.vm, Way(vm=one.vm, name=one.name, steps=[]))
        way.steps.append(f"{_step(one, around)} {_after(incident, at)}")
        way.rejected = one.rejected or way.rejected
        way.is_over = one.step is RecoveryStep.ANSWERED
        way.took_ms = elapsed_ms(incident.fault_at, at) if way.is_over else None
    return list(ways.values())


def _step(one: Recovery, around: Around) -> str:
    target = around.names.get(one.target, one.target)
    anew = f", {rebuilding.lost_words(one.rebuilds)}" if one.rebuilds else ""
    return {
        RecoveryStep.PLACED: f"placed on {target}{anew}",
        RecoveryStep.STARTED: "runs there",
        RecoveryStep.ANSWERED: "answers",
        RecoveryStep.GIVEN_BACK: f"{target} gave it back ({one.reason})",
    }[one.step]


def _row(way: Way, around: Around) -> tuple[Text | str, ...]:
    name = Text(way.name, style=STRONG)
    level_ms, text = around.levels.get(way.vm), ", ".join(way.steps)
    if way.vm in around.incidents:
        text += f"; there: holdfast explain {around.incidents[way.vm]}"
    if way.took_ms is None:
        return name, Text(text, style=UNSURE), "not back yet"
    if level_ms is None:
        return name, text, spoken(way.took_ms)
    is_in_time = way.took_ms <= level_ms
    word = f"within {spoken(level_ms)}" if is_in_time else f"promised: {spoken(level_ms)}"
    took = Text(f"{spoken(way.took_ms)}, {word}", style=GOOD if is_in_time else UNSURE)
    return name, text, took


def _stay_down(steps: Sequence[Seen], ways: Sequence[Way]) -> list[tuple[str, str]]:
    """VMs of which it was last said that they are down with their host, and were placed nowhere."""
    down: dict[str, tuple[str, str]] = {}
    for _, fact in steps:
        if isinstance(fact, Report) and fact.alarm.condition == ON_LOST_HOST:
            alarm = fact.alarm
            down.pop(alarm.subject.id, None)
            if alarm.state is not AlarmState.CLEARED:
                name = alarm.subject.name
                down[alarm.subject.id] = (name, alarm.text.removeprefix(f"{name} "))
    placed = {way.vm for way in ways}
    return [told for vm, told in down.items() if vm not in placed]


def _rejections(ways: Sequence[Way]) -> Iterator[Any]:
    """Which other hosts were not taken; VMs that were told the same stand together."""
    by_reason: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for way in ways:
        if way.rejected:
            by_reason[way.rejected].append(way.name)
    if by_reason:
        yield ""
        yield Text("Hosts that were not taken", style=STRONG)
    for rejected, names in list(by_reason.items())[:TOLD]:
        more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
        yield Text(f"  for {', '.join(names[:TOLD])}{more}: {'; '.join(rejected)}", style=QUIET)


def recovery_words(incident: Incident, steps: Sequence[Seen], around: Around) -> str:
    """What was done for its VMs, in a few words."""
    if not is_fenced(steps):
        return "none: nothing was started elsewhere"
    ways = ways_of(incident, steps, around)
    if not ways:
        return "nothing was started elsewhere yet"
    over = sum(way.is_over for way in ways)
    return f"{counted(len(ways), 'VM')} placed elsewhere, {over} of them back in service"


def _after(incident: Incident, at: Instant) -> str:
    after_ms = elapsed_ms(incident.fault_at, at)
    return f"{'-' if after_ms < 0 else '+'}{spoken(abs(after_ms))}"


def named(text: str, names: Mapping[str, str]) -> str:
    """Hosts by their names: what is committed knows them by their ids."""
    for host, name in names.items():
        if host != name and host in text:
            text = re.sub(rf"(?<![\w-]){re.escape(host)}(?![\w-])", name, text)
    return text
