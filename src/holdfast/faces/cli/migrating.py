"""Moves VMs to other hosts while they run, one of them or all of a host, and shows how it goes."""

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from holdfast.faces.cli.arming import read_duration_s
from holdfast.faces.cli.asking import ask
from holdfast.faces.cli.choosing import complete_host, complete_vm
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, show_json

LOOK_S = 0.5
MIB = 1 << 20
Shown = Mapping[str, Any]

timeout_option = click.option(
    "--timeout",
    default="5m",
    show_default=True,
    metavar="TIME",
    help="Call a VM's move off after so long (30s, 5m, 1h): it then stays where it is.",
)


@click.command()
@click.argument("name", metavar="VM", shell_complete=complete_vm)
@click.option("--to", default="", metavar="HOST", shell_complete=complete_host)
@timeout_option
@click.option("--cancel", is_flag=True, help="Call off a move that is under way.")
@json_option
@pass_site
def migrate(site: Site, name: str, to: str, timeout: str, cancel: bool, as_json: bool) -> None:
    """Move a VM to another host while it runs: to the one named, or to the one with most room.

    Its disks must be on shared storage. Its memory goes from agent to agent, protected by the
    site's certificates. Ctrl-C calls the move off. With --json it is only begun.

    Exit code 4 says that it stays; with --cancel, that this came too late.
    """
    if cancel:
        data = ask(site, "vm-migrate-cancel", vm=name).data
        return show_json(data) if as_json else _follow_move(site, data, is_cancel=True)
    timeout_s = int(read_duration_s(timeout))
    data = ask(site, "vm-migrate", vm=name, to=to, timeout_s=timeout_s).data
    if as_json:
        return show_json(data)
    click.echo(f"{data['name']} moves from {data['source']} to {data['target']}")
    return _follow_move(site, data)


def _follow_move(site: Site, begun: Shown, *, is_cancel: bool = False) -> None:
    """Until it is over. Raises Failure where that is not what was wanted."""
    vm, line = str(begun["vm"]), _Line()
    while True:
        now: Shown = _until_cancelled(site, vm, lambda: ask(site, "migration", vm=vm).data)
        if now["is_over"]:
            break
        line.show(progress_words(now))
        if now["step"] == "in doubt":
            text = f"{now['name']} runs on both hosts: {now['reason']}"
            hint = "end one of them there, at once: virsh destroy VM"
            raise Failure(text, hint, Exit.REFUSED)
        _until_cancelled(site, vm, lambda: time.sleep(LOOK_S))
    line.end()
    if now["step"] != "done" and is_cancel:
        return click.echo(f"{now['name']} stays on {now['source']}: {now['reason']}")
    if now["step"] != "done":
        text = f"{now['name']} stays on {now['source']}: {now['reason']}"
        raise Failure(text, f"its story: holdfast vm show {now['name']}", Exit.REFUSED)
    if is_cancel:
        text = f"it was called off too late: {done_words(now)}"
        hint = f"to move it back: holdfast vm migrate {now['name']} --to {now['source']}"
        raise Failure(text, hint, Exit.REFUSED)
    late = "; it was called off too late" if now["is_cancelled"] else ""
    return click.echo(done_words(now) + late)


def _until_cancelled(site: Site, vm: str, work: Callable[[], Any]) -> Any:
    """Ctrl-C calls the move off; what came of it is still shown. A second one ends this command."""
    try:
        return work()
    except KeyboardInterrupt:
        click.echo("\nit is being called off")
        ask(site, "vm-migrate-cancel", vm=vm)
        return ask(site, "migration", vm=vm).data


def progress_words(now: Shown) -> str:
    if now["step"] == "in doubt" or not now["total_bytes"]:
        word = "is called off" if now["is_cancelled"] else "begins"
        return f"{now['name']}: its move {word}"
    left = int(now["left_bytes"]) / MIB
    word = ", is called off" if now["is_cancelled"] else ""
    return f"{now['name']}: {now['percent']} %, {left:.0f} MiB left{word}"


def done_words(now: Shown) -> str:
    took_s = (int(now["ended_utc_ms"]) - int(now["begun_utc_ms"])) / 1_000
    pause = now["pause_ms"]
    stood = "" if pause is None else f"; its guest stood still for {pause} ms"
    return f"{now['name']} runs on {now['target']} after {took_s:.1f} s{stood}"


class _Line:
    """One line that changes on a terminal; elsewhere only what is new is written."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._newest = ""

    def show(self, text: str) -> None:
        if text == self._newest:
            return
        self._newest = text
        click.echo(f"\r\033[K{text}" if self._is_terminal else text, nl=not self._is_terminal)

    def end(self) -> None:
        if self._newest and self._is_terminal:
            click.echo("")


@click.command()
@click.argument("name", metavar="HOST", shell_complete=complete_host)
@timeout_option
@json_option
@pass_site
def drain(site: Site, name: str, timeout: str, as_json: bool) -> None:
    """Maintenance: move every VM of a host away, and place none there until undrain.

    No VM is stopped: one that cannot move stays, and it is said why. Ctrl-C leaves the host
    drained, and the VMs on their way; holdfast host undrain HOST ends it. With --json it is only
    begun.
    """
    timeout_s = int(read_duration_s(timeout))
    data = ask(site, "host-drain", host=name, timeout_s=timeout_s).data
    if as_json:
        return show_json(data)
    click.echo(f"{data['host_name']} is drained: nothing is placed there until it is undrained")
    return _follow_drain(site, name)


def _follow_drain(site: Site, name: str) -> None:
    """Until nothing is left there that moves, or may in a moment. Raises Failure for the rest."""
    line, before = _Line(), set[str]()
    at_first: int | None = None
    while True:
        now: Shown = ask(site, "drain", host=name).data
        left = {str(one["vm"]): one for one in now["vms"]}
        at_first = len(left) if at_first is None else at_first
        for vm in sorted(before - set(left)):
            click.echo(done_words_of(site, vm))
        before = set(left)
        stays = {one["name"]: one["stays"] for one in left.values() if one["stays"]}
        if not left or len(stays) == len(left):
            break
        gone = at_first - len(left)
        moving = [progress_words(one["moves"]) for one in left.values() if one["moves"]]
        line.show(f"{gone} of {at_first} moved" + "".join(f"; {words}" for words in moving))
        time.sleep(LOOK_S)
    line.end()
    if not stays:
        click.echo(f"no VM runs on {now['host_name']} any more")
        return
    for vm_name, why in sorted(stays.items()):
        click.secho(f"{vm_name} stays: {why}", fg="yellow")
    text = f"{len(stays)} of {at_first} VMs stay on {now['host_name']}, which stays drained"
    hint = f"stop them yourself, or end the maintenance: holdfast host undrain {name}"
    raise Failure(text, hint, Exit.REFUSED)


def done_words_of(site: Site, vm: str) -> str:
    try:
        moved: Shown = ask(site, "migration", vm=vm).data
    except Failure:
        return f"{vm} does not run there any more"
    if moved["step"] != "done":
        return f"{moved['name']} does not run there any more"
    return done_words(moved)


@click.command()
@click.argument("name", metavar="HOST", shell_complete=complete_host)
@json_option
@pass_site
def undrain(site: Site, name: str, as_json: bool) -> None:
    """Maintenance is over: VMs may be placed on this host again. None moves back by itself."""
    data = ask(site, "host-undrain", host=name).data
    if as_json:
        return show_json(data)
    is_news = "" if data["was_drained"] else "; it was not drained"
    return click.echo(f"VMs may be placed on {data['host_name']} again{is_news}")
