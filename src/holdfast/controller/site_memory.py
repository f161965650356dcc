"""What the watch remembers after the controller was killed: its world, from its journal."""

import logging
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.adapters.journals.segments import Segments, last_segment, segment_paths
from holdfast.facts.site import SiteFact
from holdfast.policy.site import SiteDecider
from holdfast.policy.site_world import SCHEMA, SiteWorld
from holdfast.ports.journal import Record

log = logging.getLogger(__name__)

JOURNAL_BYTES = 64 << 20
_facts: msgspec.json.Decoder[Any] = msgspec.json.Decoder(SiteFact)


class SiteSnapshot(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The first line of a segment."""

    world: SiteWorld


def read_fact(record: Record) -> SiteFact:
    """The input of a journal line. Raises msgspec.ValidationError for an unknown one."""
    fact: SiteFact = _facts.decode(record.body)
    return fact


def read_world(record: Record) -> SiteWorld | None:
    """Of a snapshot; None for one that this version does not know."""
    if record.schema != SCHEMA:
        return None
    return msgspec.json.decode(record.body, type=SiteSnapshot).world


def remember(folder: Path) -> SiteWorld:
    """The newest intact segment replayed; a new world where there is none that can be read.

    Nothing dangerous rests on it: what is wrong is found again by listening, and what was said of
    it the VIM knows (`watching.begin`).
    """
    decider: SiteDecider | None = None
    reading = last_segment(folder)
    for record in reading:
        try:
            if record.kind == "snapshot" and decider is None:
                world = read_world(record)
                if world is None:
                    break
                decider = SiteDecider(world)
            elif record.kind == "input" and decider is not None:
                decider.step(read_fact(record))
        except Exception as error:  # noqa: BLE001  Counted and said.
            log.warning("a line of the site's journal is left out: %s", error)
    if decider is None and segment_paths(folder):
        log.warning("the site's journal cannot be read: %s; it is found again by listening", folder)
    elif reading.damaged:
        log.warning("left out of the site's journal, as damaged: %d lines", reading.damaged)
    return decider.world if decider is not None else SiteWorld()


def open_journal(folder: Path, decider: SiteDecider) -> Segments:
    """Raises JournalTaken when another controller writes it."""
    return Segments(
        folder, SCHEMA, lambda: SiteSnapshot(world=decider.world), total_bytes=JOURNAL_BYTES
    )
