"""Fence devices: what switches a host off, set, listed, rehearsed and cleared per host."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from holdfast.adapters.drivers.fence_metadata import is_secret
from holdfast.faces.cli.alarms import wall_ms
from holdfast.faces.cli.arming import read_duration_s
from holdfast.faces.cli.asking import ask, convert
from holdfast.faces.cli.choosing import Choices, complete_host, rows_of
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, note, show, show_json
from holdfast.faces.cli.small_files import read_named

AGENTS = Path("/usr/sbin")
LONGEST_REHEARSAL_S = 600.0  # A ladder of slow devices, one after the other.
USUAL = ("fence_ipmilan", "fence_redfish")

host_argument = click.argument("name", metavar="HOST", shell_complete=complete_host)


def complete_agent(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Those that are installed on this host, which most often is a controller."""
    found = {*USUAL, *(path.name for path in AGENTS.glob("fence_*"))}
    return sorted(name for name in found if name.startswith(incomplete))


@click.group(cls=Choices)
def fence() -> None:
    """Say how each host can be switched off, and try that without harm.

    Every host has a ladder of fence devices: the first is tried first, the next when it failed.
    """


@fence.command("list")
@json_option
@pass_site
def list_fences(site: Site, as_json: bool) -> None:
    """Every host: its mode, its devices, and whether it could be fenced now. Shows no secret."""
    rows = rows_of(ask(site, "fence-list").data, "hosts")
    if as_json:
        return show_json({"hosts": rows})
    # Late: JSON needs no tables.
    from holdfast.faces.pages.fences import FencedRow, fences_page

    return show(fences_page(convert(rows, list[FencedRow]), wall_ms()))


@fence.command("set")
@host_argument
@click.argument("agent", metavar="AGENT", shell_complete=complete_agent)
@click.option(
    "--option", "options", multiple=True, metavar="NAME=VALUE", help="As the agent's man page says."
)
@click.option(
    "--secret", "secrets", multiple=True, metavar="NAME", help="It is asked for, and not shown."
)
@click.option(
    "--secrets-from",
    "source",
    default="",
    metavar="FILE",
    help="Lines NAME=VALUE instead; - is standard input.",
)
@click.option("--level", type=click.IntRange(1), default=1, show_default=True, help="Its place.")
@click.option("--deadline", default="40s", show_default=True, metavar="TIME")
@json_option
@pass_site
def set_fence(
    site: Site,
    name: str,
    agent: str,
    options: tuple[str, ...],
    secrets: tuple[str, ...],
    source: str,
    level: int,
    deadline: str,
    as_json: bool,
) -> None:
    """Set a fence agent of ClusterLabs at a place of a host's ladder.

    holdfast fence set h4 fence_ipmilan --option ip=10.0.9.4 --option username=holdfast
    --option lanplus=1 --secret password
    """
    args: dict[str, Any] = {
        "agent": agent,
        "options": _read_options(options),
        "deadline_s": read_duration_s(deadline),
        "level": level,
        "secrets": _read_secrets(secrets, source),
    }
    data: dict[str, Any] = ask(site, "fence-set", host=name, **args).data
    if as_json:
        return show_json(data)
    # Late: JSON needs no words.
    from holdfast.faces.pages.fences import FencedRow, device_words

    row = convert(data, FencedRow)
    click.echo(f"{row.host_name}: device {level} is {device_words(row.devices[level - 1])}")
    click.echo(f"try it, which harms nothing: holdfast fence rehearse {row.host_name}")
    if row.mode != "act":
        text = f"Holdfast still only reports when {row.host_name} dies; to let it act"
        click.echo(f"{text}: holdfast host mode {row.host_name} act")
    return None


@fence.command()
@host_argument
@click.option("--level", type=click.IntRange(1), help="Only the device at this place.")
@json_option
@pass_site
def clear(site: Site, name: str, level: int | None, as_json: bool) -> None:
    """Take one device away from a host, or all of them."""
    data: dict[str, Any] = ask(site, "fence-clear", host=name, level=level or 0).data
    if as_json:
        return show_json(data)
    left, host = len(data.get("devices", ())), data["host_name"]
    click.echo(f"{host} has {left or 'no'} fence device{'s' if left > 1 else ''} now")
    return note(str(data.get("warning") or ""))


@fence.command()
@click.argument("name", metavar="[HOST]", default="", shell_complete=complete_host)
@json_option
@pass_site
def rehearse(site: Site, name: str, as_json: bool) -> int:
    """Ask every device of a host, or of all hosts, for the power. Nothing is switched.

    The leader does so by itself once a day. Exit code 1 says that some host could not be fenced,
    or that it is not known; a device that does not answer is waited for until its deadline.
    """
    data = _rehearsed(site, {"host": name} if name else {})
    # Late: only now there is something to tell.
    from holdfast.faces.pages.fences import FencedRow, rehearsed_lines

    rows = convert(data["hosts"], list[FencedRow])
    is_well = all(row.is_fenceable for row in rows) and not data["under_way"]
    if as_json:
        show_json(data)
    else:
        show(rehearsed_lines(rows))
        for host in data["under_way"]:
            click.echo(f"{host} is still being asked; what came of it: holdfast fence list")
    return Exit.FINE if is_well else Exit.BAD_NEWS


def _rehearsed(site: Site, chosen: dict[str, Any]) -> dict[str, Any]:
    """A controller answers before the slowest device may have: those are asked after again, which
    joins what is under way."""
    data: dict[str, Any] = ask(site, "fence-rehearse", **chosen).data
    hosts, slow = list(data["hosts"]), list(data.get("under_way", ()))
    ends_at = time.monotonic() + LONGEST_REHEARSAL_S
    while slow and time.monotonic() < ends_at:
        click.echo(f"waiting for the fence devices of {', '.join(slow)}", err=True)
        again = [ask(site, "fence-rehearse", host=host).data for host in slow]
        hosts += [row for one in again for row in one["hosts"]]
        slow = [host for one in again for host in one.get("under_way", ())]
    return {**data, "hosts": hosts, "under_way": slow}


def _read_options(given: tuple[str, ...]) -> dict[str, str]:
    """Raises Failure; of a secret at once, since a command line is read by everybody."""
    found: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if is_secret(name):
            hint = f"use --secret {name}, which asks for it; if it was the real one, change it"
            raise Failure(f"{name} is a secret: others can read a command line", hint, Exit.USAGE)
        if not name or not sign:
            hint = "write it like --option ip=10.0.9.4"
            raise Failure(f"{text!r} is no option", hint, Exit.USAGE)
        found[name] = value
    return found


def _read_secrets(names: tuple[str, ...], source: str) -> dict[str, str]:
    """From lines, and then from whoever types. Raises Failure, with no secret in it."""
    found: dict[str, str] = {}
    lines = read_named(source).split("\n") if source else []
    for number, line in enumerate(lines, 1):
        name, sign, value = line.removesuffix("\r").partition("=")
        if not line.strip():
            continue
        if not sign or not name.strip():
            text = f"line {number} of the secrets is not NAME=VALUE"
            raise Failure(text, "for example: password=...", Exit.USAGE)
        found[name.strip()] = value
    for name in names:
        if name not in found:
            found[name] = _ask_for(name)
    return found


def _ask_for(name: str) -> str:
    if not sys.stdin.isatty():
        hint = "give it in a line NAME=VALUE on standard input: --secrets-from -"
        raise Failure(f"nobody can be asked for {name} here", hint, Exit.USAGE)
    typed: str = click.prompt(name, hide_input=True, err=True)
    return typed
