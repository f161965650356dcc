"""What the agent remembers after it was killed: its world, made again from the journal.

The newest segment begins with a snapshot; the inputs after it, consumed by the same policy, give
the world as it was. Nothing intact to begin from: the agent is amnesiac, reports, and starts
nothing until its VMs are granted to it again.
"""

import logging
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.adapters.journals.segments import Segments, last_segment
from holdfast.agent.identity import Identity
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
    """`world` is None when nothing could be remembered. `lost` counts damaged or missing lines.

    `doubt` is why it is not to be trusted, or empty: a disarm, an unprotect or a stop may have
    been in what is lost. The world is then kept for its history only.
    """

    world: World | None
    lost: int = 0
    doubt: str = ""


log = logging.getLogger(__name__)
_inputs: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Verdict | Outcome | Command | Wake)


def read_input(record: Record) -> Input:
    """The input of a journal line. Raises msgspec.ValidationError for an unknown one."""
    fact: Input = _inputs.decode(record.body)
    return fact


def recall(folder: Path, me: Identity) -> Remembered:
    """Remember, and doubt it if the memory is not of this state directory and this host."""
    remembered = remember(folder)
    world = remembered.world
    was_there = any(folder.glob("*.jsonl"))
    if me.is_new_state and not was_there:
        remembered.doubt = ""  # A first start: there is nothing to remember.
    elif me.is_new_state:
        remembered.doubt = remembered.doubt or "the id of the state directory is missing or damaged"
    elif world is not None and (world.state_id, world.host) != (me.state_id, me.host):
        remembered.doubt = remembered.doubt or "it is of another host or state directory"
    if remembered.doubt:
        log.warning("amnesiac: the memory in %s is not trusted: %s", folder, remembered.doubt)
    return remembered


def remember(folder: Path) -> Remembered:
    """Replay the newest intact segment. A world of another schema or shape is not guessed at.

    A gap that the journal itself told of is no damage: a whole snapshot follows it.
    """
    decider: Decider | None = None
    reading = last_segment(folder)
    failed = 0
    for record in reading:
        if record.kind == "snapshot" and decider is None:
            if record.schema != SCHEMA:
                return Remembered(world=None, doubt="it is of another version")
            try:
                snapshot = msgspec.json.decode(record.body, type=Snapshot)
            except (msgspec.MsgspecError, RecursionError) as error:
                return Remembered(world=None, doubt=f"its snapshot is of another shape: {error}")
            decider = Decider(snapshot.world)
        elif record.kind == "input" and decider is not None:
            try:
                decider.step(read_input(record))
            except Exception:  # noqa: BLE001  Counted: the world is not trusted then.
                failed += 1
    lost = reading.damaged + reading.missing + failed
    if decider is None:
        return Remembered(world=None, lost=lost, doubt="there is no intact snapshot")
    if lost <= _torn_lines(reading.paths):
        return Remembered(world=decider.world, lost=lost)
    # The mark outlives a second kill, before policy was told; see is_in_doubt.
    decider.world.is_amnesiac, decider.world.forgot_in = True, ""
    return Remembered(
        world=decider.world, lost=lost, doubt=f"{lost} lines of it are damaged or missing"
    )


def is_in_doubt(remembered: Remembered) -> bool:
    """Whether this memory is not to be acted on; also if it was so before, and nobody knew yet."""
    world = remembered.world
    return bool(remembered.doubt) or (
        world is not None and world.is_amnesiac and not world.forgot_in
    )


def _torn_lines(paths: list[Path]) -> int:
    """1 if the newest line was cut while it was written: then nothing had come of it yet."""
    if not paths:
        return 0
    with paths[-1].open("rb") as file:
        size = file.seek(0, 2)
        if not size:
            return 0
        file.seek(size - 1)
        return int(file.read(1) != b"\n")


def open_journal(folder: Path, decider: Decider, total_mib: int) -> Segments:
    """Raises JournalTaken when another agent writes it."""
    return Segments(
        folder, SCHEMA, lambda: Snapshot(world=decider.world), total_bytes=total_mib << 20
    )
