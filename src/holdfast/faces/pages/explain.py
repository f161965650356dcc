"""The story of one incident, from the journal: what happened, what was done, what is left to do."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import msgspec
from msgspec import Struct, structs
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from holdfast.faces.pages import fenced
from holdfast.faces.pages.host_words import host_words
from holdfast.faces.pages.incidents import then
from holdfast.faces.pages.sentences import Fact, sentence
from holdfast.faces.pages.tables import BAD, GOOD, QUIET, STRONG, UNSURE, facts
from holdfast.facts import actions as act
from holdfast.facts import commands as told
from holdfast.facts.hearing import WitnessSpoke
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import Instant, elapsed_ms, spoken
from holdfast.facts.outcomes import GoneProven
from holdfast.facts.promises import Owner
from holdfast.facts.verdicts import FaultCleared, FaultRaised, StopWanted

VMS_TOLD = 3  # Of more that are lost with their host, one is told, and how many.


class Step(Struct, frozen=True, kw_only=True):
    """One line of a journal. `fact` is None where this version does not know what it says;
    `source` is whose journal it is, or empty for that of who keeps the incident."""

    at: Instant
    kind: str
    fact: Struct | None
    name: str = ""
    source: str = ""
    times: int = 1


Turn = tuple[Step | None, list[Step]]  # What came, and what was done because of it.


class Line(Struct, frozen=True, kw_only=True):
    """One line of the story; what was done stands below what it answers to."""

    at: Instant
    text: str
    is_action: bool
    bends: bool = False  # It was written down at that instant, perhaps by another clock.


def explain_page(data: Mapping[str, Any]) -> Iterator[Any]:
    """`data` holds `incident`, and `records`: the lines of the journal that are about it.

    Of hosts that were lost together, `names` has each by its id.
    """
    incident = msgspec.convert(data["incident"], Incident)
    owner = str(data.get("owner", ""))
    steps = [read_step(record, owner) for record in data.get("records", ())]
    names: dict[str, str] = data.get("names") or {}
    levels, incidents = data.get("levels") or {}, data.get("vms") or {}
    around = fenced.Around(names=names, levels=levels, incidents=incidents)
    seen = _own(steps)
    yield headline(incident)
    if incident.host:
        yield needs_you(incident)  # Its story is long, and what to do is not its end.
    yield ""
    yield facts(_known(incident, fenced.recovery_words(incident, seen, around)))
    yield ""
    short = list(fenced.fenced_lines(incident, seen, around)) if incident.host else []
    if short:
        yield from short
        yield ""
    if steps:
        yield Text("What happened, and when after the fault", style=STRONG)
        yield _table(incident, story(incident, steps, names))
    elif not data.get("missing"):
        yield Text("The journal has nothing more about it: it was too long ago.", style=UNSURE)
    for text in data.get("missing") or ():
        yield Text(f"(a part is missing: {text})", style=UNSURE)
    if "host_words" in data:
        yield from host_words(data["host_words"])
    if not incident.host or short:
        yield ""
        yield needs_you(incident)


def _own(steps: Iterable[Step]) -> list[fenced.Seen]:
    """What whoever keeps the incident saw itself, by its own clock."""
    return [(_instant(one), one.fact) for one in steps if one.fact is not None and not one.source]


def story(
    incident: Incident, steps: Iterable[Step], names: Mapping[str, str] | None = None
) -> list[Line]:
    """In the order of causes: each input, then what was done because of it. Of a host many ask at
    once, and answers come in any order: there it is the order of time, and each is told once."""
    known = names or {}
    lines: list[Line] = []
    turns = _turns(_worth_telling(steps))
    for cause, actions in _in_time(turns) if incident.host else turns:
        done = [step for step in _gathered(actions) if not _says_no_more(step, actions)]
        if cause is not None and not isinstance(cause.fact, told.Woke):
            lines.append(_line(cause, incident, known, is_action=False))
        lines += [_without_echo(_line(s, incident, known, is_action=True), cause) for s in done]
    return _without_repeats(_never_backwards(lines))


def headline(incident: Incident) -> Text:
    if incident.state is IncidentState.OPEN:
        style = BAD if incident.needs_you else UNSURE
        return Text(f"{incident.title}. Now: {incident.step or 'under way'}.", style=style)
    if incident.recovered_ms is None:
        return Text(f"{incident.title}. It is closed.", style=GOOD)
    verified = "" if incident.verified else " (not verified)"
    back = f"{incident.name} was back {spoken(incident.recovered_ms)} after the fault"
    return Text(f"{incident.title}. {back}{verified}.", style=GOOD)


def needs_you(incident: Incident) -> Text:
    if incident.needs_you:
        return Text(f"Needs you: {incident.needs_you}", style=BAD)
    if incident.state is IncidentState.OPEN and incident.owner is Owner.HOLDFAST:
        return Text("Being mended: nothing to do.", style=UNSURE)
    if incident.state is IncidentState.OPEN and incident.host:
        return Text(f"Nothing to do yet{then(incident)}.", style=UNSURE)
    return Text("Nothing to do.", style=GOOD)


def read_step(record: Mapping[str, Any], owner: str = "") -> Step:
    body = record.get("body")
    name = str(body.get("is", "")) if isinstance(body, Mapping) else ""
    try:
        fact: Struct | None = msgspec.convert(body, Fact)
    except msgspec.ValidationError:
        fact = None
    at = Instant(int(record.get("at", 0)))
    source = str(record.get("from", owner))
    return Step(
        at=at,
        kind=str(record.get("kind", "")),
        fact=fact,
        name=name,
        source="" if source == owner else source,
    )


def _known(incident: Incident, elsewhere: str) -> list[tuple[str, str | Text]]:
    rows: list[tuple[str, str | Text]] = [
        ("Incident", incident.id),
        _about(incident),
        ("Fault at", _wall_clock(incident.fault_utc_ms)),
        ("Noticed", f"{spoken(elapsed_ms(incident.fault_at, incident.detected_at))} later"),
        ("Cause", incident.cause or "not known"),
        ("Recovery", elsewhere if incident.host else _recovery(incident)),
    ]
    if incident.bundle:
        rows.append(("Last words", f"holdfast last-words {incident.name} ({incident.bundle})"))
    return rows


def _about(incident: Incident) -> tuple[str, str]:
    if incident.host:
        return "Host", f"{incident.name} ({incident.host})"
    if incident.subject is not None:
        return incident.subject.kind.capitalize(), incident.name
    return "VM", f"{incident.name} ({incident.vm})"


def _recovery(incident: Incident) -> str:
    owner = f"owner {incident.owner}, group {incident.group}" if incident.group else incident.owner
    if incident.recovered_ms is None or incident.level_ms is None:
        return str(owner)
    word = "within" if incident.recovered_ms <= incident.level_ms else "longer than"
    took = spoken(incident.recovered_ms)
    return f"{owner}; took {took}, {word} the promised {spoken(incident.level_ms)}"


def _wall_clock(utc_ms: int) -> str:
    if not utc_ms:
        return "not known"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(utc_ms / 1_000))


def _turns(steps: Iterable[Step]) -> Iterator[Turn]:
    cause: Step | None = None
    actions: list[Step] = []
    for step in steps:
        if step.kind == "action":
            actions.append(step)
            continue
        if cause is not None or actions:
            yield cause, actions
        cause, actions = step, []
    if cause is not None or actions:
        yield cause, actions


def _worth_telling(steps: Iterable[Step]) -> Iterator[Step]:
    """Detectors also clear what was never raised, for an agent that forgot: that is no story.
    Nor is libvirt's word that somebody wanted an end, when that somebody was Holdfast."""
    raised: set[tuple[str, str, str]] = set()
    ended: set[str] = set()
    for step in steps:
        fact = step.fact
        if isinstance(fact, act.EndVm):
            ended.add(fact.life.key)
        elif isinstance(fact, StopWanted) and fact.life.key in ended:
            continue
        elif isinstance(fact, GoneProven) and fact.proof.incarnation in ended:
            yield structs.replace(step, fact=structs.replace(fact, wanted=""))
            continue
        elif isinstance(fact, FaultRaised):
            raised.add((step.source, fact.subject.id, fact.condition))
        elif isinstance(fact, FaultCleared):
            if (step.source, fact.subject.id, fact.condition) not in raised:
                continue
            raised.discard((step.source, fact.subject.id, fact.condition))
        yield step


def _in_time(turns: Iterable[Turn]) -> list[Turn]:
    """What a witness says again is no news until it says something else, nor is that all are asked
    again: the first is told, with how often."""
    kept: list[Turn] = []
    said: dict[tuple[str, ...], tuple[int, str]] = {}
    counts: Counter[int] = Counter()
    asked: list[Step] = []
    for cause, actions in turns:
        asked += [step for step in actions if isinstance(step.fact, act.AskWitnesses)]
        rest = [s for s in actions if not asked or s not in asked[1:]]
        if cause is not None and isinstance(cause.fact, WitnessSpoke):
            fact = cause.fact
            witness = (fact.host, fact.kind, fact.witness, fact.plane, cause.source)
            place, sign = said.get(witness, (-1, ""))
            if sign == fact.sign and not rest:
                counts[place] += 1
                continue
            said[witness] = (len(kept), fact.sign)
        kept.append((cause, rest))
    for place, more in counts.items():
        cause, actions = kept[place]
        assert cause is not None
        kept[place] = (structs.replace(cause, times=1 + more), actions)
    return sorted(kept, key=lambda turn: _instant(turn[0] or turn[1][0]))


def _says_no_more(step: Step, turn: list[Step]) -> bool:
    """The word of an open incident repeats what another action of its turn says better."""
    if not isinstance(step.fact, act.TellIncident):
        return False
    is_open = step.fact.incident.state is IncidentState.OPEN
    others = [s for s in turn if not isinstance(s.fact, act.TellIncident | act.Report)]
    return is_open and bool(others or not step.fact.incident.step)


def _gathered(actions: list[Step]) -> list[Step]:
    """Of the many VMs of a lost host one report is told, with how many it stands for."""
    counts = Counter(_kind_of_report(step) for step in actions)
    kept: list[Step] = []
    told_kinds: set[tuple[str, str, str]] = set()
    for step in actions:
        kind = _kind_of_report(step)
        if kind is None or counts[kind] <= VMS_TOLD:
            kept.append(step)
        elif kind not in told_kinds:
            told_kinds.add(kind)
            kept.append(_with_count(step, counts[kind]))
    return kept


def _kind_of_report(step: Step) -> tuple[str, str, str] | None:
    if not isinstance(step.fact, act.Report) or not step.fact.alarm.root:
        return None
    alarm = step.fact.alarm
    return alarm.condition, alarm.root, alarm.state


def _with_count(step: Step, count: int) -> Step:
    assert isinstance(step.fact, act.Report)
    alarm = step.fact.alarm
    text = f"{alarm.text}, and {count - 1} more like it"
    return structs.replace(step, fact=act.Report(alarm=structs.replace(alarm, text=text)))


def _never_backwards(lines: list[Line]) -> list[Line]:
    """The lines are in the order of causes, and instants need not be: what another clock told
    stands about when, and what was done was written down a little later. These bend to what
    follows; what came in late is told when it came in."""
    times = [line.at for line in lines]
    for place in reversed(range(len(lines) - 1)):
        if lines[place].bends:
            times[place] = min(times[place : place + 2])
    bent = accumulate(times, max)
    return [structs.replace(line, at=at) for line, at in zip(lines, bent, strict=True)]


def _line(step: Step, incident: Incident, names: Mapping[str, str], *, is_action: bool) -> Line:
    if step.fact is None:
        text = f"(something that this version does not know: {step.name or step.kind})"
    else:
        host = str(getattr(step.fact, "host", ""))
        unnamed = f"host {host}" if host and not incident.host else incident.name
        text = fenced.named(sentence(step.fact, names.get(host) or unnamed), names)
    if step.source:
        text = f"{step.source}: {text}"
    if step.times > 1:
        text = f"{text} ({step.times} times)"
    bends = is_action or bool(step.source)
    return Line(at=_instant(step), text=text, is_action=is_action, bends=bends)


def _without_echo(line: Line, cause: Step | None) -> Line:
    """A report says again what the line above it has just said: leave that out."""
    if cause is None or not isinstance(cause.fact, FaultRaised):
        return line
    echo = f"Reporting to the VIM: {cause.fact.reason}"
    return structs.replace(line, text=line.text.replace(echo, "Reporting it to the VIM"))


def _instant(step: Step) -> Instant:
    """When it was so, as the fact itself says; else when it was written down."""
    if step.source:
        return step.at  # The fact tells it by another clock.
    if isinstance(step.fact, FaultRaised):
        return step.fact.detected_at
    at = getattr(step.fact, "at", None)
    return Instant(at) if isinstance(at, int) else step.at


def _without_repeats(lines: list[Line]) -> list[Line]:
    """A line, or a pair of lines, that comes again at once is told once, with how often."""
    kept: list[Line] = []
    counts: list[int] = []
    for line in lines:
        kept.append(line)
        counts.append(1)
        for period in (1, 2):
            if _texts(kept[-period:]) == _texts(kept[-2 * period : -period]):
                del kept[-period:], counts[-period:]
                counts[-1] += 1
    return [
        line if count == 1 else structs.replace(line, text=f"{line.text} ({count} times)")
        for line, count in zip(kept, counts, strict=True)
    ]


def _texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def _table(incident: Incident, lines: list[Line]) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(no_wrap=True, style=QUIET, justify="right")
    made.add_column(overflow="fold")
    last = ""
    for line in lines:
        when = since_fault(incident.fault_at, line.at)
        made.add_row(
            "" if when == last else when, Padding(line.text, (0, 0, 0, 4 * line.is_action))
        )
        last = when
    return made


def since_fault(fault_at: Instant, at: Instant) -> str:
    after_ms = elapsed_ms(fault_at, at)
    return f"{'-' if after_ms < 0 else '+'}{spoken(abs(after_ms))}"
