"""What the agent remembers after it was killed: its world, made again from the journal.

The newest segment begins with a snapshot; the inputs after it, consumed by the same policy, give
the world as it was. Nothing intact to begin from: the agent is amnesiac, reports, and starts
nothing until its VMs are granted to it again.
"""

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.adapters.journals.segments import Segments, last_segment
from holdfast.facts.commands import Command, Wake
from holdfast.facts.outcomes import Outcome
from holdfast.facts.verdicts import Verdict
from holdfast.policy.decide import Decider, Input
from holdfast.policy.world import SCHEMA, World
from holdfast.ports.journal import Record


class Snapshot(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The first line of a segment."""

    world: World


class Remembered(Struct, kw_only=True):
    """`world` is None when nothing could be remembered. `lost` counts damaged or missing lines."""

    world: World | None
    lost: int = 0
    was_there: bool = False


_inputs: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Verdict | Outcome | Command | Wake)


def read_input(record: Record) -> Input:
    """The input of a journal line. Raises msgspec.ValidationError for an unknown one."""
    fact: Input = _inputs.decode(record.body)
    return fact


def remember(folder: Path) -> Remembered:
    """Replay the newest intact segment. A world of another schema is not guessed at."""
    decider: Decider | None = None
    reading = last_segment(folder)
    damaged = 0
    for record in reading:
        if record.kind == "snapshot":
            if record.schema != SCHEMA:
                return Remembered(world=None, was_there=True)
            if decider is None:
                snapshot = msgspec.json.decode(record.body, type=Snapshot)
                decider = Decider(snapshot.world)
        elif record.kind == "input" and decider is not None:
            try:
                decider.step(read_input(record))
            except (msgspec.ValidationError, RuntimeError):
                damaged += 1
    was_there = any(folder.glob("*.jsonl"))
    lost = reading.damaged + reading.missing + damaged
    world = decider.world if decider else None
    return Remembered(world=world, lost=lost, was_there=was_there)


def open_journal(folder: Path, decider: Decider, total_mib: int) -> Segments:
    """Raises JournalTaken when another agent writes it."""
    return Segments(
        folder, SCHEMA, lambda: Snapshot(world=decider.world), total_bytes=total_mib << 20
    )
