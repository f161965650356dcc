"""An incident of hosts run through policy once more, as if other settings had held.

What was heard stays as it was. What came of acts belongs to the acts that were really done: the
store is taken to accept at once what policy asks for, an answer of a fence device or of a target is
used again where the same was asked of it, and where it was not, nothing is made up.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from itertools import count

import msgspec
from msgspec import Struct, structs

from holdfast.controller.act_words import OFF, act_words
from holdfast.controller.recovering import gone_on, placed
from holdfast.controller.site_memory import read_fact, read_world
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts import site as told
from holdfast.facts.actions import Action
from holdfast.facts.commands import Woke
from holdfast.facts.fencing import HostMode
from holdfast.facts.incidents import Incident
from holdfast.facts.instants import Instant
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.site import SiteFact
from holdfast.facts.verdicts import FaultRaised
from holdfast.policy.site import SiteDecider
from holdfast.policy.site_world import SiteWorld
from holdfast.ports.journal import Record

LONGEST_MS = 30 * 60_000  # After an incident began nothing more of it is looked at.
MOST_STEPS = 100_000
ANSWERS = (
    came.SwitchedOff | came.NotSwitchedOff | came.StartTaken | came.GivenBack | came.TargetSilent
)
_actions: msgspec.json.Decoder[Action] = msgspec.json.Decoder(Action)


class Changes(Struct, frozen=True, kw_only=True):
    """None: as it was. `mode` is that of every host."""

    fence_after_ms: int | None = None
    brake_percent: int | None = None
    mode: HostMode | None = None


class Act(Struct, frozen=True, kw_only=True):
    at: Instant
    text: str


class WhatIf(Struct, frozen=True, kw_only=True):
    """`did` and `would`: each act once, at its first time. `notes` say what is not known."""

    incident: Incident
    did: tuple[Act, ...]
    would: tuple[Act, ...]
    notes: tuple[str, ...]


class Window(Struct, frozen=True, kw_only=True):
    """The part of a journal that an incident needs: from a snapshot before it. `began` is the
    place of the input that opened it."""

    records: tuple[Record, ...]
    began: int
    incident: Incident
    holes: int = 0


def window_of(records: Iterable[Record], name: str) -> Window | None:
    """Of the newest incident of that id, or of a host of that name; None: there is none."""
    kept: list[Record] = []
    found: Window | None = None
    began, place, holes = 0, 0, 0
    opened: Incident | None = None
    for record in records:
        holes += bool(kept) and record.n != kept[-1].n + 1
        if record.kind == "snapshot" and (opened is None or _is_past(record, opened)):
            found = _window(kept, began, opened, holes) or found
            kept, opened, holes = [], None, 0
        kept.append(record)
        if record.kind == "input":
            place = len(kept) - 1
        incident = _told(record, name)
        if incident is not None and (opened is None or incident.id != opened.id):
            opened, began = structs.replace(incident, fault_utc_ms=record.utc_ms), place
        elif incident is not None and opened is not None:
            opened = structs.replace(incident, fault_utc_ms=opened.fault_utc_ms)
    return _window(kept, began, opened, holes) or found


def _window(kept: list[Record], began: int, opened: Incident | None, holes: int) -> Window | None:
    if opened is None or not kept or kept[0].kind != "snapshot":
        return None
    end = opened.fault_utc_ms + LONGEST_MS
    records = tuple(one for one in kept if one.utc_ms <= end)
    return Window(records=records, began=began, incident=opened, holes=holes)


def _is_past(record: Record, opened: Incident) -> bool:
    return record.utc_ms > opened.fault_utc_ms + LONGEST_MS


def _told(record: Record, name: str) -> Incident | None:
    if record.kind != "action" or b'"TellIncident"' not in bytes(record.body):
        return None
    action = _actions.decode(record.body)
    incident = action.incident if isinstance(action, act.TellIncident) else None
    is_it = incident is not None and name in (incident.id, incident.name)
    return incident if is_it else None


def run(window: Window, changes: Changes) -> WhatIf | None:
    """None where its snapshot is of another version."""
    world = read_world(window.records[0])
    if world is None:
        return None
    rerun = _Rerun(window, world, changes)
    rerun.run()
    return WhatIf(
        incident=window.incident,
        did=_once(rerun.did),
        would=_once(rerun.would),
        notes=tuple(rerun.notes()),
    )


class _Rerun:
    def __init__(self, window: Window, world: SiteWorld, changes: Changes) -> None:
        self._window, self._changes = window, changes
        self._decider = SiteDecider(world)
        self._answers: dict[str, deque[tuple[int, ANSWERS]]] = defaultdict(deque)
        self._moved: set[tuple[str, int]] = set()  # VMs and generations that recoveries gave.
        self._coming: list[tuple[int, int, SiteFact]] = []
        self._numbers = count()
        self._steps = 0
        self._unknown: dict[str, None] = {}
        self._led = False
        self._names = {host: record.name for host, record in world.hosts.items()}
        self.did: list[Act] = []
        self.would: list[Act] = []

    @property
    def _world(self) -> SiteWorld:
        return self._decider.world

    def run(self) -> None:
        self._read_names()
        self._read_what_was_done()
        for place, record in enumerate(self._window.records):
            if record.kind != "input":
                continue
            try:
                fact = read_fact(record)
            except msgspec.ValidationError:
                self._unknown["a line of the journal that this version does not know"] = None
                continue
            if place < self._window.began:
                self._decider.step(fact)
                continue
            if place == self._window.began:
                self._change()
            self._led = self._led or bool(self._world.term)
            self._until(_instant(fact))
            seen = self._as_heard(fact)
            if seen is not None:
                self._give(seen)
        self._until(self._window.records[-1].at)

    def _change(self) -> None:
        world, changes = self._world, self._changes
        self._give(
            told.ActingSet(
                at=world.now,
                fence_after_ms=changes.fence_after_ms or world.fence_after_ms,
                brake_percent=changes.brake_percent or world.brake_percent,
                hand_over=world.hand_over,
            )
        )
        for host, record in list(world.hosts.items()):
            mode = changes.mode or record.mode
            fact = told.HostModeSet(at=world.now, host=host, mode=mode, devices=record.devices)
            self._give(fact)

    # What was.

    def _read_names(self) -> None:
        """Beforehand: the first snapshot of a controller knows no host yet."""
        for record in self._window.records:
            fact = _decoded(record) if record.kind == "input" else None
            if isinstance(fact, told.HostSet):
                self._names[fact.host] = fact.name

    def _read_what_was_done(self) -> None:
        asked: dict[str, tuple[int, str]] = {}
        for record in self._window.records[self._window.began :]:
            if record.kind == "action":
                action = _actions.decode(record.body)
                self._note(self.did, action, record.at)
                if _whom(action):
                    asked[_subject(action)] = (record.at, _whom(action))
            elif record.kind == "input":
                fact = _decoded(record)
                if isinstance(fact, told.RecoverySet):
                    self._moved.add((fact.recovery.vm, fact.recovery.generation))
                elif isinstance(fact, ANSWERS) and _subject(fact) in asked:
                    at, whom = asked[_subject(fact)]
                    self._answers[whom].append((max(0, fact.at - at), fact))

    def _note(self, acts: list[Act], action: Action, at: Instant) -> None:
        text = act_words(self._window.incident, action, self._name)
        if text:
            acts.append(Act(at=at, text=text))

    def _as_heard(self, fact: SiteFact) -> SiteFact | None:
        """What came in, as far as it does not follow from what was done then."""
        match fact:
            case told.RecoverySet() | told.ActingSet():
                return None
            case told.FenceSet():
                return fact if fact.fence.by else None
            case told.HostModeSet() if self._changes.mode is not None:
                return structs.replace(fact, mode=self._changes.mode)
            case told.PromiseSet():
                return fact if self._is_news(fact) else None
            case told.VmsSet():
                return self._without_moved(fact)
            case _:
                return None if isinstance(fact, ANSWERS) else fact

    def _is_news(self, fact: told.PromiseSet) -> bool:
        tenure = fact.protection.tenure
        known = self._world.promises.get(tenure.vm)
        here = known.protection.tenure.generation if known is not None else 0
        return (tenure.vm, tenure.generation) not in self._moved and tenure.generation >= here

    def _without_moved(self, fact: told.VmsSet) -> told.VmsSet:
        """A VM that was started elsewhere then runs there only if it was placed there now, too."""
        moved = {vm for vm, _ in self._moved}

        def is_here(vm: str, generation: int) -> bool:
            known = self._world.promises.get(vm)
            if vm not in moved or known is None:
                return True
            tenure = known.protection.tenure
            return tenure.host == fact.host and generation <= tenure.generation

        vms = tuple(one for one in fact.vms if is_here(one.vm, one.generation))
        given_up = tuple(one for one in fact.given_up if is_here(one.vm, one.generation))
        return structs.replace(fact, vms=vms, given_up=given_up)

    # What would be.

    def _until(self, end: Instant) -> None:
        """All that is due by then: answers on their way, and what policy wants to look at."""
        while self._steps < MOST_STEPS:
            due = self._decider.deadline()
            coming = self._coming[0][0] if self._coming else None
            if coming is not None and coming <= end and (due is None or coming <= due):
                self._give(heapq.heappop(self._coming)[2])
            elif due is not None and due <= end:
                self._give(Woke(at=max(due, self._world.now)))
            else:
                return

    def _give(self, fact: SiteFact) -> None:
        self._steps += 1
        for action in self._decider.step(fact):
            now = self._world.now
            self._note(self.would, action, now)
            for took, answer in self._answer(action):
                when = Instant(now + took)
                coming = (when, next(self._numbers), structs.replace(answer, at=when))
                heapq.heappush(self._coming, coming)

    def _answer(self, action: Action) -> Iterator[tuple[int, SiteFact]]:
        now = self._world.now
        match action:
            case act.PutFence():
                yield 0, told.FenceSet(at=now, fence=action.fence)
            case act.PutRecovery():
                yield from self._committed(action.recovery)
            case act.SwitchOff() | act.RestartElsewhere() | act.TakeBack():
                key = _whom(action)
                if self._answers[key]:
                    took, answer = self._answers[key].popleft()
                    yield took, _renumbered(answer, action)
                else:
                    self._unknown[self._what_is_unknown(action)] = None
            case _:
                return

    def _committed(self, recovery: Recovery) -> Iterator[tuple[int, SiteFact]]:
        now, promise = self._world.now, self._world.promises.get(recovery.vm)
        if promise is None:
            return
        tenure = promise.protection.tenure
        is_new = recovery.step is RecoveryStep.PLACED and recovery.generation > tenure.generation
        after = placed(tenure, recovery) if is_new else gone_on(tenure, recovery)
        held = structs.replace(promise.protection, tenure=after)
        yield 0, told.RecoverySet(at=now, recovery=recovery)
        yield 0, told.PromiseSet(at=now, protection=held, needs=promise.needs)

    def _what_is_unknown(self, action: Action) -> str:
        if isinstance(action, act.SwitchOff):
            return f"what the fence devices of {action.fence.name} would have answered"
        assert isinstance(action, act.RestartElsewhere | act.TakeBack)
        one = action.recovery
        return f"what {self._name(one.target)} would have made of {one.name}"

    def _name(self, host: str) -> str:
        return self._names.get(host, host)

    def notes(self) -> Iterator[str]:
        for what in self._unknown:
            yield f"{what} is not known: the journal has no such answer"
        off_then = {one.text: one.at for one in self.did if one.text.startswith(OFF)}
        off_now = {one.text: one.at for one in self.would if one.text.startswith(OFF)}
        for text, at in off_then.items():
            if off_now.get(text, at + 1) > at:
                name = text.removeprefix(OFF)
                yield f"{name} was switched off then: what it would have done later is not known"
        if not self._led:
            yield "this controller did not lead then: run it on the one that did"
        if self._window.holes:
            yield f"{self._window.holes} holes are in the journal: what fell into them is not known"
        if self._steps >= MOST_STEPS:
            yield "it was too long, and is told up to the point where it was given up"


def _subject(one: Action | ANSWERS) -> str:
    """What is asked, or answered, as both of them know it."""
    match one:
        case act.SwitchOff():
            return one.fence.host
        case act.RestartElsewhere() | act.TakeBack():
            return f"{one.recovery.vm} {one.recovery.generation}"
        case came.SwitchedOff() | came.NotSwitchedOff():
            return one.host
        case came.StartTaken() | came.GivenBack() | came.TargetSilent():
            return f"{one.vm} {one.generation}"
        case _:
            return ""


def _whom(action: Action) -> str:
    """Of whom an answer is awaited, and about what; empty: of nobody."""
    if isinstance(action, act.SwitchOff):
        return action.fence.host
    if isinstance(action, act.RestartElsewhere | act.TakeBack):
        return f"{action.recovery.target} about {action.recovery.vm}"
    return ""


def _renumbered(answer: ANSWERS, action: Action) -> SiteFact:
    """Fences and generations are counted: here it may be by another number."""
    if isinstance(answer, came.SwitchedOff | came.NotSwitchedOff):
        assert isinstance(action, act.SwitchOff)
        return structs.replace(answer, number=action.fence.number)
    assert isinstance(action, act.RestartElsewhere | act.TakeBack)
    return structs.replace(answer, generation=action.recovery.generation)


def _decoded(record: Record) -> SiteFact | None:
    try:
        return read_fact(record)
    except msgspec.ValidationError:
        return None


def _instant(fact: SiteFact) -> Instant:
    return fact.detected_at if isinstance(fact, FaultRaised) else fact.at


def _once(acts: Iterable[Act]) -> tuple[Act, ...]:
    first: dict[str, Act] = {}
    for one in acts:
        first.setdefault(one.text, one)
    return tuple(first.values())
