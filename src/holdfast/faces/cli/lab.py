"""Hosts made on this machine in namespaces of their own, to be broken without harm."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from holdfast.faces.cli.choosing import Choices
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.showing import json_option, show, show_json
from holdfast.lab.commands import (
    DEFAULT_LAB,
    LabError,
    NoHost,
    NoLab,
    lab_command,
    system_environment,
)
from holdfast.lab.hosts import MOST_HOSTS, Lab

HOWS = ("power", "freeze", "network")
name_option = click.option("--name", default=DEFAULT_LAB, show_default=True, help="Which lab.")


@contextmanager
def _lab_errors() -> Iterator[None]:
    try:
        yield
    except NoLab as error:
        raise Failure(str(error), code=Exit.AWAY) from None
    except NoHost as error:
        raise Failure(str(error), code=Exit.USAGE) from None
    except LabError as error:
        raise Failure(str(error)) from None
    except PermissionError:
        raise Failure("the lab needs root", "run it with sudo") from None


@click.group(cls=Choices)
def lab() -> None:
    """Make hosts on this machine, each with a libvirt of its own, to break them.

    Nothing outside of their own namespaces is touched.
    """


@lab.command()
@click.option("--hosts", type=click.IntRange(1, MOST_HOSTS), default=3, show_default=True)
@click.option("--systemd", "has_systemd", is_flag=True, help="Hosts that are run by systemd.")
@name_option
@json_option
def up(hosts: int, has_systemd: bool, name: str, as_json: bool) -> None:
    """Make a lab; returns when the libvirt of every host answers."""
    with _lab_errors():
        made = Lab.up(hosts=hosts, name=name, has_systemd=has_systemd)
        if not as_json:
            there = lab_command("exec", name, "h1 -- virsh list")
            click.echo(f"lab {name} is up; run something there: {there}")
        _show_status(made, as_json)


@lab.command()
@name_option
def practice(name: str) -> None:
    """Make a whole site to practise on: four hosts with BMCs, three controllers, and two VMs.

    It takes a minute or two. What happens then is real, and stays on this machine.
    """
    # Late: no other command needs it.
    from holdfast.lab.practice import make

    with _lab_errors():
        made = make(name, lambda text: click.echo(f"{text} ..."))
    last = made.hosts[-1].name
    click.echo(
        f"it is ready. Look at it, kill {last}, and look how its VMs live elsewhere:\n"
        f"  {lab_command('exec', name, 'h1 -- holdfast status')}\n"
        f"  {lab_command('break', name, last)}\n"
        f"  {lab_command('exec', name, f'h1 -- holdfast explain {last}')}\n"
        f"  {lab_command('exec', name, 'h1 -- holdfast vm list')}\n"
        f"  {lab_command('mend', name, last)}\n"
        f"and take it away: {lab_command('down', name)}"
    )


@lab.command("break")
@name_option
@click.argument("host")
@click.option(
    "--how", type=click.Choice(HOWS), default="power", show_default=True, help="What fails."
)
def break_it(name: str, host: str, how: str) -> None:
    """Cut the power of a lab host, freeze it, or cut it off from all others."""
    # Late: no other command needs it.
    from holdfast.lab.practice import break_host

    with _lab_errors():
        break_host(Lab.find(name).host(host), how)
    click.echo(f"{host} is broken; to mend it: {lab_command('mend', name, host)}")


@lab.command()
@name_option
@click.argument("host")
def mend(name: str, host: str) -> None:
    """Mend whatever was broken of a lab host."""
    # Late: no other command needs it.
    from holdfast.lab.practice import mend_host

    with _lab_errors():
        click.echo(f"{host} is mended: {mend_host(Lab.find(name).host(host))}")


@lab.command()
@name_option
@click.option("--all", "everything", is_flag=True, help="Every lab of this machine.")
@click.option("--own", is_flag=True, help="Every lab that this installation of Holdfast made.")
def down(name: str, everything: bool, own: bool) -> None:
    """Take a lab away without a trace, in whatever state it is."""
    with _lab_errors():
        mine, others = Lab.list_own() if own else ([], [])
        known = Lab.list_names()
        names = mine if own else known if everything else [name]
        for one in others:
            why = "it is not known to be of this installation"
            click.echo(f"lab {one} stays: {why}; to end it: {lab_command('down', one)}")
        for one in names:
            Lab.take_down(one)
            click.echo(f"lab {one} is gone" if one in known else f"there was no lab {one}")


@lab.command()
@name_option
@json_option
def status(name: str, as_json: bool) -> None:
    """Every host of a lab: its power, address and guests."""
    with _lab_errors():
        _show_status(Lab.find(name), as_json)


@lab.command("exec", context_settings={"ignore_unknown_options": True})
@name_option
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, host: str, command: tuple[str, ...]) -> int:
    """Run COMMAND on HOST (h1, h2 ...), and end with its exit code."""
    with _lab_errors():
        # So that `holdfast` is found there, also where it is not installed for all.
        path = f"{system_environment()['PATH']}:{Path(sys.executable).parent}"
        process = Lab.find(name).host(host).popen(command, stdin=sys.stdin, env={"PATH": path})
    try:
        return int(process.wait())
    except KeyboardInterrupt:
        process.kill()
        process.wait()
        return Exit.INTERRUPTED


def _show_status(found: Lab, as_json: bool) -> None:
    states = found.status()
    if as_json:
        return show_json({"lab": found.name, "hosts": states})
    # Late: JSON needs no tables.
    from holdfast.faces.pages.tables import table

    rows = [
        [
            state.name,
            "on" if state.is_powered_on else "off",
            state.address,
            str(state.pid1 or "-"),
            ", ".join(state.guests) or "-",
        ]
        for state in states
    ]
    return show([table(("HOST", "POWER", "ADDRESS", "PID", "GUESTS"), rows)])
