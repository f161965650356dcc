"""Is everything well on this host? Asked of both programs, so that either alone still answers."""

import socket
from pathlib import Path
from typing import Any

import click

from holdfast.faces.cli.alarms import wall_ms
from holdfast.faces.cli.asking import (
    AGENT,
    CONTROLLER,
    ask_program,
    has_services,
    nothing_runs,
    place_of,
    starter,
)
from holdfast.faces.cli.calling import Away
from holdfast.faces.cli.choosing import rows_of
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, note, show, show_json
from holdfast.faces.cli.status_view import Around, make_view


@click.command()
@json_option
@pass_site
def status(site: Site, as_json: bool) -> int:
    """Tell whether everything is well, and what to do if not.

    Exit code 1 says that something is not well. Works on the host itself without a controller.
    """
    controller, controller_away = _ask(site, CONTROLLER)
    # A controller elsewhere is asked for its site; the agent here may be none of that.
    agent, agent_away = (None, None) if site.is_elsewhere else _ask(site, AGENT)
    if controller is None and agent_away is None:
        raise Failure(controller_away, "is it the right --controller?", Exit.AWAY)
    if controller is None and agent is None:
        raise nothing_runs(controller_away, agent_away or "")
    is_one_away = controller is None or (agent is None and agent_away is not None)
    view = make_view(
        controller, agent, controller_away, agent_away, _around(site, is_one_away=is_one_away)
    )
    # Late: only `status` needs its page.
    from holdfast.faces.pages.status import status_page, troubles

    found = troubles(view)
    if as_json:
        show_json({"is_well": not found, "troubles": found, **_plain(view)})
    else:
        if controller is None:
            note(f"{controller_away}: this is what the agent of this host knows")
        show(status_page(view, wall_ms()))
    return Exit.BAD_NEWS if found else Exit.FINE


def _around(site: Site, *, is_one_away: bool) -> Around:
    """Whose word it is, and how Holdfast is started on this host."""
    place = place_of(site)
    is_here = bool(place.socket) or site.is_elsewhere
    own = "" if is_here else site.settings.host_name or socket.gethostname()
    if not is_one_away:
        return Around(own_name=own)
    # Late: only where something is away its service is looked for.
    from holdfast.faces.cli.supervise import PID_FILE, supervisor

    is_starting = supervisor(Path(site.settings.run_dir) / PID_FILE) is not None
    start = starter() if is_starting or has_services() else ""
    return Around(own_name=own, start=start, is_starting=is_starting)


def _ask(site: Site, program: str) -> tuple[dict[str, Any] | None, str]:
    try:
        data = ask_program(site, program, "status")
        told: dict[str, Any] = data if isinstance(data, dict) else {}
        if "incidents" not in told:
            told["incidents"] = rows_of(ask_program(site, program, "incidents"), "incidents")
    except Away as away:
        return None, str(away)
    return told, ""


def _plain(view: Any) -> dict[str, Any]:
    # Late: only JSON needs it.
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(view)
    return plain
