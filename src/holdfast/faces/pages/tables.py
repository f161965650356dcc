"""Tables and times as people read them; plain text that can be cut and pasted."""

import time
from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from holdfast.facts.instants import spoken

GOOD, BAD, UNSURE, QUIET, STRONG = "green", "bold red", "yellow", "dim", "bold"
SEVERITY_STYLES = {
    "critical": BAD,
    "major": "red",
    "minor": UNSURE,
    "warning": UNSURE,
    "indeterminate": UNSURE,
    "cleared": GOOD,
}
DAY_MS = 86_400_000

Cell = str | Text


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    """Columns are as wide as needed; the last one takes and wraps what is left."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style=STRONG)
    for number, title in enumerate(columns):
        is_last = number == len(columns) - 1
        made.add_column(title, overflow="fold", no_wrap=number == 0, ratio=1 if is_last else None)
    for row in rows:
        made.add_row(*row)
    return made


def facts(rows: Iterable[tuple[str, Cell]]) -> Table:
    """Names at the left, what is known at the right."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(no_wrap=True, style=QUIET)
    made.add_column(overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def heading(text: str) -> Text:
    return Text(text, style=STRONG)


def clock(utc_ms: int | None, now_ms: int) -> str:
    """The wall clock of this machine; with the date unless it is of the last half day."""
    if not utc_ms:
        return "-"
    form = "%H:%M:%S" if abs(now_ms - utc_ms) < DAY_MS / 2 else "%Y-%m-%d %H:%M"
    return time.strftime(form, time.localtime(utc_ms / 1_000))


def ago(utc_ms: int | None, now_ms: int) -> str:
    """How long ago, as said: 3.1 s ago."""
    return f"{spoken(max(0, now_ms - utc_ms))} ago" if utc_ms else "never"


def severity(word: str) -> Text:
    return Text(word, style=SEVERITY_STYLES.get(word, ""))


def counted(count: int, one: str, many: str = "") -> str:
    """1 VM, 2 VMs, no VMs."""
    plural = many or f"{one}s"
    return f"{count or 'no'} {one if count == 1 else plural}"


def ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
