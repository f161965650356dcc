"""An incident of hosts run again, also under other settings: what would have happened."""

from pathlib import Path

import msgspec

from holdfast.adapters.journals.segments import read
from holdfast.controller.watching import FOLDER
from holdfast.controller.what_if import Changes, WhatIf, run, window_of
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site
from holdfast.faces.cli.showing import show, show_json
from holdfast.faces.cli.small_files import read_named
from holdfast.facts.fencing import HostMode
from holdfast.facts.instants import spoken
from holdfast.facts.settings import Settings
from holdfast.facts.settings_reader import SettingsWrong, read_settings


def replay_incident(
    site: Site, name: str, file: str | None, mode: str | None, *, as_json: bool
) -> int:
    """Exit code 1: other acts would be asked for than were. Raises Failure."""
    folder = Path(site.settings.state_dir) / "controller" / FOLDER
    changes = _changes(_read(file) if file else None, mode)
    told = _run(folder, name, changes)
    # Late: JSON needs no page.
    from holdfast.faces.pages.what_if import is_same, what_if_page

    if as_json:
        show_json(told)
    else:
        show(what_if_page(told, _words(changes)))
    return Exit.FINE if is_same(told) else Exit.BAD_NEWS


def _run(folder: Path, name: str, changes: Changes) -> WhatIf:
    if not folder.is_dir():
        hint = "run it on a controller: best on the one that led then"
        raise Failure(f"no controller keeps a journal here ({folder})", hint, Exit.USAGE)
    try:
        window = window_of(read(folder), name)
    except PermissionError as error:
        raise Failure(f"cannot read {error.filename}", "run it with sudo") from None
    if window is None:
        hint = (
            "incidents of hosts can be run again while the journal has them: holdfast incidents\n"
            "what an agent decided about its VMs, all of it, on their host: sudo holdfast replay"
        )
        raise Failure(f"the journal here tells of no incident {name!r} of a host", hint, Exit.USAGE)
    told = run(window, changes)
    if told is None:
        hint = "run it with the version that wrote the journal"
        raise Failure("the journal is of another version", hint, Exit.USAGE)
    return told


def _read(file: str) -> Settings:
    try:
        return read_settings(read_named(file), file)
    except SettingsWrong as wrong:
        raise Failure(str(wrong), f"holdfast config check {file}", Exit.USAGE) from None


def _changes(settings: Settings | None, mode: str | None) -> Changes:
    changes = Changes(mode=HostMode(mode) if mode else None)
    if settings is None:
        return changes
    return msgspec.structs.replace(
        changes,
        fence_after_ms=round(settings.fence_after_s * 1_000),
        brake_percent=settings.brake_percent,
    )


def _words(changes: Changes) -> str:
    said = []
    if changes.fence_after_ms is not None:
        said.append(f"a silent host is fenced after {spoken(changes.fence_after_ms)}")
        said.append(f"more than {changes.brake_percent} % of the hosts at once are a person's")
    if changes.mode is not None:
        said.append(f"every host is in mode {changes.mode}")
    return f"As if: {'; '.join(said)}." if said else ""
