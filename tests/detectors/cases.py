"""A detector's case is a text: what was seen above a line of dashes, what was judged below it.

    VM web is killed: said at once.          (any words)
    with clean_end_wait_ms=500               (optional: settings)
    + 0 ms     VmAppeared web
    + 10 s     QemuThreadEnded web status=9 tid=12 thread="CPU 0/KVM" source=pidfd
    recorded qemu-7.2_libvirt-9.0/killed     (instead of + lines: a recorded stream)
    ----
      10.000 s  RAISED vm-gone of web (gone, certain): web is gone: killed by SIGKILL

`web#2` is the second life of web. Between two observations, and after the last one, the detector
is woken exactly when it asks to be.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never, get_args, get_type_hints
from uuid import NAMESPACE_DNS, uuid5

import msgspec

from holdfast.facts.instants import NS_PER_MS, NS_PER_S, Instant
from holdfast.facts.observations import Observation
from holdfast.facts.subjects import Incarnation
from holdfast.facts.verdicts import (
    FaultCleared,
    FaultRaised,
    HostHeard,
    StopWanted,
    Verdict,
    VmProcessEnded,
    VmRan,
)
from holdfast.ports.detector import Detector
from holdfast.ports.plugins import load

RECORDINGS = Path(__file__).parents[1] / "recordings"
DASHES = "----"
START = Instant(1_000_000 * NS_PER_MS)  # A case's zero: there is room for what was before it.
MOST_WAKES = 50
UNITS_MS = {"ms": 1.0, "s": 1_000.0, "min": 60_000.0, "h": 3_600_000.0}
KINDS: dict[str, Any] = {kind.__name__: kind for kind in get_args(Observation)}
DEFAULTS = {"thread": "CPU 0/KVM", "tid": 12, "status": None, "source": "pidfd"}


class BadCase(Exception):
    """The text cannot be read as a case; which line, and why."""


@dataclass(frozen=True)
class Case:
    """`zero` is the instant that is written as 0 ms."""

    settings: dict[str, float]
    seen: list[Observation]
    zero: Instant
    said: str


def uuid_of(name: str) -> str:
    return str(uuid5(NAMESPACE_DNS, name))


def life_of(who: str) -> Incarnation:
    name, _, number = who.partition("#")
    pid = 1_000 + int(number or 1)
    return Incarnation(vm=uuid_of(name), boot="boot", pid=pid, started_ticks=pid)


def parse_instant(text: str, zero: Instant = START) -> Instant:
    number, _, unit = text.strip().partition(" ")
    return Instant(zero + round(float(number) * UNITS_MS[unit.strip()] * NS_PER_MS))


def parse_seen(line: str) -> Observation:
    """`10 ms  QemuThreadEnded web status=9` as an observation; raises BadCase."""
    words = shlex.split(line)
    number, unit, kind_name, *rest = words
    kind = KINDS.get(kind_name)
    if kind is None:
        raise BadCase(f"{line!r}: there is no observation {kind_name}")
    fields: dict[str, Any] = {"at": parse_instant(f"{number} {unit}")}
    types = get_type_hints(kind)
    for word in rest:
        key, has_value, value = word.partition("=")
        if has_value:
            is_instant = types.get(key) in (Instant, Instant | None)
            is_json = value.startswith(("[", "{")) and types.get(key) is not str
            read = parse_instant if is_instant else msgspec.json.decode if is_json else _plain
            fields[key] = read(value)
        elif "incarnation" in types:
            fields |= {"incarnation": life_of(word), "name": word.partition("#")[0]}
        else:
            fields["vm"] = uuid_of(word)
    missing = {key: value for key, value in DEFAULTS.items() if key not in fields}
    known = {key: value for key, value in {**missing, **fields}.items() if key in types}
    if unknown := {word.partition("=")[0] for word in rest if "=" in word} - set(types):
        raise BadCase(f"{line!r}: {kind_name} has no {', '.join(sorted(unknown))}")
    try:
        plain = msgspec.to_builtins(known) | {"is": kind_name}
        seen: Observation = msgspec.convert(plain, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadCase(f"{line!r}: {error}") from None
    return seen


def _plain(value: str) -> Any:
    return {"true": True, "false": False, "none": None}.get(value, value)


def read_recording(name: str) -> list[Observation]:
    decoder: msgspec.json.Decoder[Observation] = msgspec.json.Decoder(Observation)
    lines = (RECORDINGS / f"{name}.jsonl").read_bytes().splitlines()
    return [decoder.decode(line) for line in lines if line]


def parse_case(text: str) -> Case:
    above, dashes, below = text.partition(f"\n{DASHES}\n")
    if not dashes:
        raise BadCase(f"there is no line {DASHES}")
    settings: dict[str, float] = {}
    seen: list[Observation] = []
    zero = START
    for line in above.splitlines():
        if line.startswith("with "):
            settings |= {k: float(v) for k, _, v in (w.partition("=") for w in line.split()[1:])}
        elif line.startswith("recorded "):
            seen += read_recording(line.split()[1])
            zero = seen[0].at
        elif line.startswith("+ "):
            seen.append(parse_seen(line[2:]))
    return Case(settings, seen, zero, below)


def play(detector: Detector, seen: Iterable[Observation]) -> Iterator[tuple[Instant, Verdict]]:
    """Hand over what was seen, and wake the detector exactly when it asks to be."""
    now = Instant(0)
    for fact in seen:
        for at in wakes(detector, fact.at):
            now = max(now, at)
            yield from ((now, verdict) for verdict in detector.wake(at))
        now = max(now, fact.at)
        yield from ((now, verdict) for verdict in detector.observe(fact))
    for at in wakes(detector, None):
        now = max(now, at)
        yield from ((now, verdict) for verdict in detector.wake(at))


def wakes(detector: Detector, before: Instant | None) -> Iterator[Instant]:
    for _ in range(MOST_WAKES):
        due = detector.deadline()
        if due is None or (before is not None and due > before):
            return
        yield due
    raise BadCase("it asks to be woken for ever")


def run_case(name: str, case: Case) -> str:
    detector: Detector = load("holdfast.detectors", name)(**case.settings)
    said = (write(at, verdict, case.zero) for at, verdict in play(detector, case.seen))
    return "".join(f"{line}\n" for line in said)


def write(at: Instant, verdict: Verdict, zero: Instant) -> str:
    """One verdict as a line that a person reads: when it was said, and what."""

    def when(instant: Instant) -> str:
        return f"{(instant - zero) / NS_PER_S:.3f} s"

    match verdict:
        case FaultRaised():
            text = write_raised(verdict, at, when)
        case FaultCleared():
            was = "RETRACTED" if verdict.was_wrong else "CLEARED"
            text = f"{was} {verdict.condition} of {verdict.subject.name}: {verdict.reason}"
        case StopWanted():
            away = ", and runs elsewhere" if verdict.moved_away else ""
            text = f"STOP WANTED ({verdict.how}{away}): {verdict.reason}"
        case VmRan():
            text = f"RAN {verdict.name}{' (found)' if verdict.found else ''}"
        case VmProcessEnded():
            text = "PROCESS ENDED"
        case HostHeard():
            text = f"HEARD {verdict.subject.name} in boot {verdict.boot}"
        case _:
            assert_never(verdict)
    number = "" if verdict_life(verdict) < 2 else f" #{verdict_life(verdict)}"
    return f"{when(at):>10}  {text}{number}"


def write_raised(fault: FaultRaised, at: Instant, when: Callable[[Instant], str]) -> str:
    about = f"{fault.condition} of {fault.subject.name} ({fault.effect}, {fault.certainty})"
    text = f"RAISED {about}: {fault.reason}"
    text += f"; fault at {when(fault.fault_at)}" if fault.fault_at != at else ""
    text += f"; not before {when(fault.not_before)}" if fault.not_before else ""
    told = ", ".join(f"{key}: {value}" for key, value in fault.evidence.items())
    return f"{text} [{told}]" if told else text


def verdict_life(verdict: Verdict) -> int:
    """Which life of a written case this is about: 1, 2, ... (0: none, or a recorded one)."""
    life = None if isinstance(verdict, HostHeard) else verdict.life
    pid = life.pid - 1_000 if life else 0
    return pid if 0 < pid < 10 else 0
