"""Recovery switched off by a person, for a reason, until an end; and on again."""

import re
from typing import Any

import click

from holdfast.faces.cli.asking import AGENT, Said, ask, convert, login_user
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, note, show_json
from holdfast.facts.promises import Disarm

UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400}


def read_duration_s(text: str) -> int:
    """Seconds of a text like 90s, 30m, 1h or 1h30m. Raises Failure."""
    parts = re.findall(r"(\d+)(min|[smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise Failure(f"{text!r} is no duration", "write it like 90s, 30m, 1h or 1h30m", Exit.USAGE)
    return sum(int(number) * UNITS_S[unit] for number, unit in parts)


@click.command()
@click.option("--reason", required=True, metavar="TEXT", help="Why; everybody will see it.")
@click.option("--for", "duration", default="1h", show_default=True, metavar="TIME")
@json_option
@pass_site
def disarm(site: Site, reason: str, duration: str, as_json: bool) -> int:
    """Switch automatic recovery off; it comes back by itself.

    Faults are still seen and reported. Exit code 1 says that it holds on this host only.
    """
    seconds = read_duration_s(duration)
    said = ask(site, "disarm", or_agent=True, reason=reason, seconds=seconds)
    if as_json:
        show_json({**_under_its_name(said.data), "from": said.source})
        return _reached(said)
    from holdfast.faces.cli.alarms import wall_ms  # Late: JSON needs no words.
    from holdfast.faces.pages.tables import clock  # Late: likewise.

    note(said.note)
    told = convert(_under_its_name(said.data)["disarm"], Disarm)
    until = clock(told.until_utc_ms, wall_ms())
    click.echo(f"recovery is off until {until}, owner {login_user()}: {reason}")
    _tell_who_has_not_heard(said.data)
    click.echo("sooner: holdfast arm")
    return _say_how_far(said, "disarm")


@click.command()
@json_option
@pass_site
def arm(site: Site, as_json: bool) -> int:
    """Switch automatic recovery on again. Exit code 1 says that it holds on this host only."""
    said = ask(site, "arm", or_agent=True)
    if as_json:
        show_json({**(said.data or {}), "from": said.source})
        return _reached(said)
    note(said.note)
    _tell_who_has_not_heard(said.data)
    was = said.data.get("was") if isinstance(said.data, dict) else None
    if was:
        why = f"{was.get('owner')} had switched it off: {was.get('reason')}"
        click.echo(f"recovery is on again; {why}")
    else:
        click.echo("recovery is on; it was on already")
    return _say_how_far(said, "arm")


def _say_how_far(said: Said, command: str) -> int:
    """The last line, where no controller took it: nobody else was told, nor will be."""
    if said.source == AGENT:
        text = "THIS HOST ONLY: no controller has heard of it, and all others go on as before"
        click.echo(f"{text}.\nFor the site, when a controller serves again: holdfast {command}")
    return _reached(said)


def _reached(said: Said) -> int:
    return Exit.BAD_NEWS if said.source == AGENT else Exit.FINE


def _under_its_name(data: Any) -> dict[str, Any]:
    """The agent says the disarm alone; the controller also who heard of it."""
    is_whole = isinstance(data, dict) and "disarm" in data
    return data if is_whole else {"disarm": data}


def _tell_who_has_not_heard(data: Any) -> None:
    """A host that is away hears it when its agent greets the controller again."""
    told = data if isinstance(data, dict) else {}
    for host in [*told.get("not_told", []), *told.get("away", [])]:
        note(f"not told yet, and will be when it is back: {host}")
