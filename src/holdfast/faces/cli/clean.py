"""Take away what Holdfast made on this host: the sample VM, its files, its sockets."""

import shutil
import sys
from contextlib import suppress
from pathlib import Path

import click

from holdfast.adapters.drivers.only_one import is_held
from holdfast.faces.cli.asking import AGENT, CONTROLLER, is_running
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.giving_back import give_back_all
from holdfast.faces.cli.host_libvirt import running_vms, started_keeper, stop_started
from holdfast.faces.cli.sample import NAME, remove_sample
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import say
from holdfast.facts.settings import Settings

# Written by the installer, which reads it after us to name the packages that stay.
KEPT = "distribution-packages"
PULSE = "pulse"


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_site
def clean(site: Site, yes: bool) -> None:
    """Remove the sample VM, and all files that Holdfast wrote. Your own VMs stay as they are.

    Protected VMs get their own setting back: what libvirt does when they crash (on_crash).
    """
    settings = site.settings
    running = [name for name in (CONTROLLER, AGENT) if is_running(settings, name)]
    running += [PULSE] if is_held(PULSE, Path(settings.run_dir)) else []
    if running:
        what = " and the ".join(running) + (
            " still run here" if running[1:] else " still runs here"
        )
        raise Failure(f"the {what}", "end it first: Ctrl-C in `holdfast up`, or holdfast leave")
    folders = [Path(settings.state_dir), Path(settings.run_dir), Path(settings.cache_dir)]
    there = [folder for folder in folders if folder.exists()]
    if not yes:
        _confirm(there)
    _remove_sample(settings)
    _give_back(settings)
    _stop_libvirt(settings)
    for folder in there:
        _empty(folder)
    click.echo("holdfast: everything of ours is gone; libvirt's own files and VMs are as they were")


def _confirm(folders: list[Path]) -> None:
    names = ", ".join(map(str, folders)) or "no folders (there are none)"
    click.echo(f"This removes the VM {NAME} if there is one, and {names},")
    click.echo("with the journal, undelivered alarms and all last words in them.")
    if not sys.stdin.isatty():
        raise Failure("nobody is here to say yes", "holdfast clean --yes", Exit.USAGE)
    click.confirm("Remove them?", abort=True)


def _remove_sample(settings: Settings) -> None:
    try:
        if remove_sample(settings):
            click.echo(f"holdfast: removed the VM {NAME}")
    except Failure as failure:
        click.echo(f"holdfast: the VM {NAME} was not looked for ({failure.message})", err=True)


def _give_back(settings: Settings) -> None:
    """Before the record of it is removed: nobody would know it afterwards."""
    try:
        names = give_back_all(settings)
    except Failure as failure:
        hint = "start libvirt first; Holdfast's files still say what must be given back"
        reason = f"protected VMs cannot be given their settings back: {failure.message}"
        raise Failure(reason, hint) from None
    for name in names:
        say(f"{name} has its own settings back (on_crash)")


def _stop_libvirt(settings: Settings) -> None:
    run_dir = Path(settings.run_dir)
    if not started_keeper(run_dir):
        return
    vms = running_vms(settings.libvirt_uri)
    if vms:
        hint = f"shut down {', '.join(vms)} first"
        raise Failure("VMs run on the libvirt that `holdfast up` started", hint)
    stop_started(run_dir)
    click.echo("holdfast: ended the libvirt that `holdfast up` had started")


def _empty(folder: Path) -> None:
    """Whatever is in it but the list of packages; then the folder, if it is empty."""
    try:
        for path in folder.iterdir():
            if path.name == KEPT:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise Failure(
            f"cannot remove {error.filename}: {error.strerror}", "run it with sudo"
        ) from None
    with suppress(OSError):  # It holds the list of packages, or is a disk of its own.
        folder.rmdir()
