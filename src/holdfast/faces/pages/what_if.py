"""What was done in an incident of hosts, beside what would be done under other settings."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from holdfast.controller.what_if import Act, WhatIf
from holdfast.faces.pages.explain import since_fault
from holdfast.faces.pages.tables import QUIET, STRONG, UNSURE, table


def what_if_page(told: WhatIf, changed: str) -> Iterator[Any]:
    """`changed` says in words what is other than it was, or is empty."""
    incident = told.incident
    yield Text(f"{incident.id}: {incident.title}", style=STRONG)
    yield changed or "With the settings that held then."
    rows = list(_rows(told))
    if not rows:
        yield ""
        yield "Nothing was done about a host or its VMs, and nothing would be."
    else:
        yield ""
        yield table(("WHAT", "WAS DONE", "WOULD BE DONE"), rows)
    if told.notes:
        yield ""
    for note in told.notes:
        yield Text(f"But {note}.", style=UNSURE)


def is_same(told: WhatIf) -> bool:
    """Whether the same acts are asked for, in whatever time."""
    return {one.text for one in told.did} == {one.text for one in told.would}


def _rows(told: WhatIf) -> Iterator[tuple[Text | str, ...]]:
    """In the order of time, by whichever of both was first."""
    did, would = ({one.text: one for one in acts} for acts in (told.did, told.would))
    order = sorted(
        did | would, key=lambda text: min(one[text].at for one in (did, would) if text in one)
    )
    for text in order:
        then, now = did.get(text), would.get(text)
        style = UNSURE if (then is None) != (now is None) else ""
        yield Text(text, style=style), _when(told, then), _when(told, now)


def _when(told: WhatIf, one: Act | None) -> Text:
    if one is None:
        return Text("no", style=QUIET)
    return Text(since_fault(told.incident.fault_at, one.at))
