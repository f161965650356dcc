"""What is told of a repair: in the alarm of its fault, and in its incident."""

import zlib

from msgspec.structs import replace

from holdfast.facts import mending
from holdfast.facts.actions import Action, TellIncident
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import elapsed_ms, spoken
from holdfast.facts.promises import Owner
from holdfast.facts.verdicts import FaultRaised
from holdfast.policy import alarms
from holdfast.policy.mends import Mend, MendStage
from holdfast.policy.world import World


def open_incident(world: World, key: str, fault: FaultRaised) -> str:
    """Its id names the host, since others have processes of the same name."""
    number = zlib.crc32(f"{key}:{fault.fault_at}".encode())
    named = f"{world.host_name or 'host'}-{fault.subject.id}"
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in named)
    while (found := f"{plain[:60]}-{number % 0x10000:04x}") in world.incidents:
        number += 1
    world.incidents[found] = Incident(
        id=found,
        name=fault.subject.name,
        subject=fault.subject,
        owner=Owner.HOLDFAST,
        state=IncidentState.OPEN,
        title=fault.reason,
        fault_at=fault.not_before or fault.fault_at,
        detected_at=fault.detected_at,
        conditions=(fault.condition,),
        cause=fault.cause,
    )
    return found


def tell(world: World, mend: Mend, hindrance: str = "") -> list[Action]:
    """Where the repair stands; nothing if that was told already."""
    if mend.stage is MendStage.HANDED_OVER:
        return _report(world, mend, mending.HANDED_OVER, "")
    step, is_held = _step(world, mend, hindrance), mend.stage is MendStage.HELD
    state = mending.HELD_BACK if is_held else mending.IN_PROGRESS
    over = f"handed over {spoken(_hand_over_ms(mend))} after the fault, unless it is mended"
    return [
        *_report(world, mend, state, f"local repair {state}: {step}; {over}"),
        *_change(world, mend, step),
    ]


def tell_handed_over(world: World, mend: Mend, reason: str) -> list[Action]:
    """All that was tried goes with it."""
    tried = "; ".join(map(str, mend.tried))
    word = f"not mended here, since {reason}" + (f"; tried: {tried}" if tried else "")
    told = _report(world, mend, mending.HANDED_OVER, f"the VIM has it: {word}")
    return [*told, *_change(world, mend, word, f"holdfast explain {mend.incident}")]


def close_incident(world: World, mend: Mend, reason: str, *, is_back: bool) -> list[Action]:
    known = world.incidents.get(mend.incident)
    if known is None or known.state is IncidentState.CLOSED:
        return []
    closed = replace(
        known,
        state=IncidentState.CLOSED,
        closed_at=world.now,
        step=reason,
        needs_you="",
        recovered_ms=elapsed_ms(known.fault_at, world.now) if is_back else None,
        verified=is_back,
    )
    world.incidents[mend.incident] = closed
    return [TellIncident(incident=closed)]


def _step(world: World, mend: Mend, hindrance: str) -> str:
    if mend.stage is MendStage.HELD:
        return hindrance or f"{_name(world, mend.waits_for)} is mended first"
    if mend.waits_for:
        return f"{_name(world, mend.waits_for)} is mended: looking whether this comes back"
    of = f"step {mend.place + 1} of {len(mend.ladder.steps)}"
    if mend.stage is MendStage.VERIFYING:
        return f"done: {mend.step.says} ({of}); now verified: {mend.step.verified}"
    return f"{mend.step.says} ({of})"


def _name(world: World, subject: str) -> str:
    cause = world.mends.of_subject(subject)
    return cause.fault.subject.name if cause is not None else subject


def _hand_over_ms(mend: Mend) -> float:
    return elapsed_ms(mend.fault.fault_at, mend.due)


def _report(world: World, mend: Mend, state: str, repair: str) -> list[Action]:
    details = {mending.REPAIR: state}
    if state != mending.HANDED_OVER:
        details[mending.HAND_OVER_AFTER_MS] = str(round(_hand_over_ms(mend)))
    if mend.tried:
        details[mending.TRIED] = "; ".join(map(str, mend.tried))
    known = world.alarms.get(mend.key)
    if not repair and known is not None:
        repair, details = known.repair, {**known.details}
    told = replace(mend.fault, evidence={**mend.fault.evidence, **details})
    incident = world.incidents.get(mend.incident)
    root = _root(world, mend)
    return list(alarms.raise_or_change(world, told, incident, repair, root=root))


def _root(world: World, mend: Mend) -> str:
    cause = world.mends.of_subject(mend.waits_for) if mend.waits_for else None
    return cause.key if cause is not None else ""


def _change(world: World, mend: Mend, step: str, needs_you: str = "") -> list[Action]:
    known = world.incidents.get(mend.incident)
    if known is None or (known.step, known.needs_you) == (step, needs_you):
        return []
    changed = replace(known, step=step, needs_you=needs_you)
    world.incidents[mend.incident] = changed
    return [TellIncident(incident=changed)]
