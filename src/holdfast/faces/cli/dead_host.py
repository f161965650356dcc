"""What is done when a host dies, and a person's word that one is dead."""

import sys
from typing import Any

import click

from holdfast.faces.cli.arming import read_duration_s
from holdfast.faces.cli.asking import ask, convert
from holdfast.faces.cli.choosing import complete_host
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, show, show_json
from holdfast.facts.instants import spoken

host_argument = click.argument("name", metavar="HOST", shell_complete=complete_host)
DOES = {
    "act": "Holdfast acts when {0} dies: it is switched off, and its VMs start elsewhere",
    "report": "Holdfast only reports when {0} dies: a person acts",
}


@click.command()
@host_argument
@click.argument("wanted", metavar="act|report", type=click.Choice(list(DOES)))
@click.option(
    "--dump-wait",
    "dump_wait",
    metavar="TIME",
    help="Leave a host whose kernel panicked alone for so long, to write its crash dump.",
)
@json_option
@pass_site
def mode(site: Site, name: str, wanted: str, dump_wait: str | None, as_json: bool) -> None:
    """Act when a host dies, or only report it.

    act: it is fenced (switched off), and its protected VMs start on other hosts. report, which is
    so from the beginning: nothing is done to it.
    """
    more: dict[str, Any] = {} if dump_wait is None else {"dump_wait_s": read_duration_s(dump_wait)}
    data: dict[str, Any] = ask(site, "host-mode", host=name, mode=wanted, **more).data
    if as_json:
        return show_json(data)
    host = str(data["host_name"])
    is_news = data.get("was") != wanted or dump_wait is not None
    click.echo(DOES[wanted].format(host) + ("" if is_news else "; so it was already"))
    if dump_wait is not None:
        click.echo(_dump_words(host, int(data["dump_wait_s"])))
    if data.get("warning"):
        click.secho(f"but it could not be switched off now: {data['warning']}", fg="yellow")
        click.echo(f"  see to that: holdfast fence rehearse {host}")
    return None


def _dump_words(host: str, wait_s: int) -> str:
    if not wait_s:
        return f"when the kernel of {host} panics, its dump is not waited for"
    return f"when the kernel of {host} panics, it has {spoken(wait_s * 1_000)} to write its dump"


@click.command("confirm-dead")
@host_argument
@click.option(
    "--because", required=True, metavar="TEXT", help="How you know; it is kept with the proof."
)
@click.option(
    "--yes-it-is-dead",
    "confirmed",
    default="",
    metavar="NAME",
    help="For scripts: the host's name, instead of typing it when asked.",
)
@json_option
@pass_site
def confirm_dead(site: Site, name: str, because: str, confirmed: str, as_json: bool) -> None:
    """Say that a host is dead, where Holdfast cannot see to it; its VMs start elsewhere.

    Be sure: its power is off, or it can reach no disk of its VMs. A VM that runs twice destroys its
    disk. With --json and without --yes-it-is-dead nothing is done, and what is known is told.
    """
    data: dict[str, Any] = ask(site, "host-confirm-dead", host=name).data
    # Late: only this command needs them.
    from holdfast.faces.pages.fences import DeadView, dead_page, what_starts

    view = convert(data, DeadView)
    if as_json and not confirmed:
        return show_json(data)
    if not as_json:
        show(dead_page(view))
    if view.lives:
        text = f"{view.host_name} shows a sign of life: {'; '.join(view.lives)}"
        raise Failure(text, "nothing was done; switch it off first, then say it again")
    typed = confirmed or _type_name(view.host_name)
    done: dict[str, Any] = ask(
        site, "host-confirm-dead", host=name, confirmed=typed, because=because
    ).data
    if as_json:
        return show_json(done)
    click.echo(f"{view.host_name} counts as dead, on your word; {what_starts(view)}")
    if done.get("power"):
        click.secho(str(done["power"]), fg="yellow")
    return click.echo(f"follow it: holdfast explain {view.host_name}")


def _type_name(host: str) -> str:
    if not sys.stdin.isatty():
        hint = f"for scripts: --yes-it-is-dead {host}"
        raise Failure("nobody can be asked here; nothing was done", hint, Exit.USAGE)
    click.echo(f"If {host} still runs, its VMs will run twice, and damage their disks.")
    asked = f"Type {host} if you are sure that it is dead"
    typed: str = click.prompt(asked, default="", show_default=False)
    if typed.strip() != host:
        raise Failure("that is not its name: nothing was done", "", Exit.REFUSED)
    return host
