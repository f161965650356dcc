"""What the watch remembers after the controller was killed: its world, from its journal."""

import logging
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from holdfast.adapters.journals.segments import Segments, last_segment
from holdfast.facts.site import SiteFact
from holdfast.policy.site import SiteDecider
from holdfast.policy.site_world import SCHEMA, SiteWorld

log = logging.getLogger(__name__)

JOURNAL_BYTES = 64 << 20
_facts: msgspec.json.Decoder[Any] = msgspec.json.Decoder(SiteFact)


class SiteSnapshot(Struct, frozen=True, kw_only=True, tag=True, tag_field="is"):
    """The first line of a segment."""

    world: SiteWorld


def remember(folder: Path) -> SiteWorld:
    """The newest intact segment replayed; a new world where there is none that can be read.

    Nothing dangerous rests on it: what is open is found again by listening.
    """
    decider: SiteDecider | None = None
    lost = 0
    for record in last_segment(folder):
        try:
            if record.kind == "snapshot" and decider is None:
                if record.schema != SCHEMA:
                    break
                decider = SiteDecider(msgspec.json.decode(record.body, type=SiteSnapshot).world)
            elif record.kind == "input" and decider is not None:
                decider.step(_facts.decode(record.body))
        except Exception as error:  # noqa: BLE001  Counted and said.
            lost += 1
            log.warning("a line of the site's journal is left out: %s", error)
    return decider.world if decider is not None else SiteWorld()


def open_journal(folder: Path, decider: SiteDecider) -> Segments:
    """Raises JournalTaken when another controller writes it."""
    return Segments(
        folder, SCHEMA, lambda: SiteSnapshot(world=decider.world), total_bytes=JOURNAL_BYTES
    )
