"""Events and changes as people read them: one line each."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.text import Text

from holdfast.faces.pages.tables import BAD, GOOD, QUIET, UNSURE, clock, table
from holdfast.facts.change_words import said
from holdfast.facts.events import Change, Event

OUTCOME_STYLES = {"done": GOOD, "under way": UNSURE}


def event_line(event: Event, now_ms: int) -> Text:
    text = Text(f"{clock(event.utc_ms, now_ms)}  ", style=QUIET)
    text.append(f"{event.number:>5}  {event.kind:<10}  ", style=QUIET)
    return text.append(event.text, style="default")


def audit_page(changes: Sequence[Change], now_ms: int) -> Iterator[Any]:
    if not changes:
        yield Text("Nobody has changed anything yet.", style=QUIET)
        return
    rows = [
        (
            clock(one.utc_ms, now_ms),
            one.who,
            one.role,
            one.origin,
            said(one.what, one.args),
            Text(one.outcome, style=OUTCOME_STYLES.get(one.outcome, BAD)).append(
                f": {one.reason}" if one.reason else "", style="default"
            ),
        )
        for one in changes
    ]
    yield table(("WHEN", "WHO", "ROLE", "FROM", "WHAT", "OUTCOME"), rows)
