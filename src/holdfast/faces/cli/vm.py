"""VMs: what they are promised, and to promise it."""

import time
from typing import Any

import click

from holdfast.faces.cli.asking import Said, ask, convert
from holdfast.faces.cli.choosing import Choices, complete_group, complete_vm, find_vm
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.local_disks import image_option, local_disk_option, read_images
from holdfast.faces.cli.migrating import migrate
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, note, show, show_json
from holdfast.facts.promises import parse_answer
from holdfast.facts.wire import VmSummary

TOLD_WITHIN_S = 3.0

vm_argument = click.argument("name", metavar="VM", shell_complete=complete_vm)


@click.group(cls=Choices)
def vm() -> None:
    """List, show, protect, unprotect, recover and migrate VMs.

    A VM is named by its libvirt name or its uuid.
    """


vm.add_command(migrate)


def ask_vms(site: Site) -> tuple[list[VmSummary], Said]:
    said = ask(site, "vms", or_agent=True)
    data = said.data.get("vms", []) if isinstance(said.data, dict) else said.data
    return convert(data, list[VmSummary]), said


@vm.command("list")
@json_option
@pass_site
def list_vms(site: Site, as_json: bool) -> None:
    """Every VM here, and whether it can be restarted here."""
    vms, said = ask_vms(site)
    if as_json:
        return show_json({"vms": vms, "from": said.source})
    # Late: JSON needs no tables.
    from holdfast.faces.pages.vms import vms_page

    note(said.note)
    return show(vms_page(vms))


@vm.command("show")
@vm_argument
@json_option
@pass_site
def show_vm(site: Site, name: str, as_json: bool) -> None:
    """All that is known of one VM, and its incidents."""
    vms, said = ask_vms(site)
    chosen = find_vm(name, vms)
    told = ask(site, "incidents", or_agent=True)
    # Late: most commands have nothing to do with incidents.
    from holdfast.faces.cli.incidents import read_incidents

    incidents = [i for i in read_incidents(told) if i.vm == chosen.vm]
    if as_json:
        return show_json({"vm": chosen, "incidents": incidents, "from": said.source})
    # Late: JSON needs no tables.
    from holdfast.faces.pages.vms import vm_page

    note(said.note)
    return show(vm_page(chosen, incidents))


@vm.command()
@vm_argument
@click.option("--group", default="", metavar="GROUP", shell_complete=complete_group)
@click.option(
    "--answers",
    default="",
    metavar="HOW",
    help="agent, tcp:PORT, console:TEXT or running:SECONDS; by default the guest agent"
    " if it ever answered, else running.",
)
@click.option(
    "--old-host-is-gone",
    default="",
    metavar="REASON",
    help="The host that holds this VM was made anew under the same name, and the old one can"
    " never run it again: say how you know.",
)
@local_disk_option("group")
@image_option
@json_option
@pass_site
def protect(
    site: Site,
    /,
    name: str,
    group: str,
    answers: str,
    old_host_is_gone: str,
    local_disk: str | None,
    images: tuple[str, ...],
    as_json: bool,
) -> None:
    """Restart this VM when it fails.

    Holdfast takes over what libvirt does when it crashes (on_crash); unprotect gives it back.
    """
    args: dict[str, Any] = {"group": group}
    if answers:
        try:
            args["answer"] = str(parse_answer(answers))
        except ValueError as error:
            raise Failure(str(error), "holdfast vm protect --help", Exit.USAGE) from None
    if old_host_is_gone:
        args["old_host_is_gone"] = old_host_is_gone
    if local_disk:
        args["local_disk"] = local_disk
    if images:
        args["images"] = read_images(images)
    chosen = find_vm(name, ask_vms(site)[0])
    data = ask(site, "protect", vm=chosen.vm, **args).data
    if as_json:
        return show_json(data)
    after = _wait_protected(site, chosen.vm, group, str(args.get("answer") or ""))
    click.echo(f"{after.name} is protected: group {after.group}, owner {after.owner or 'holdfast'}")
    click.echo(f"it answers by: {after.answer}")
    _say_answers_now(after.name, data.get("answers_now"))
    if after.obstacle:
        click.secho(f"but it could not be restarted here: {after.obstacle}", fg="yellow")
    else:
        click.echo("it can be restarted here")
    return _say_elsewhere(data)


@vm.command()
@vm_argument
@json_option
@pass_site
def unprotect(site: Site, name: str, as_json: bool) -> None:
    """Leave this VM alone again, and give back the settings that protect took over."""
    chosen = find_vm(name, ask_vms(site)[0])
    data = ask(site, "unprotect", vm=chosen.vm).data
    if as_json:
        return show_json(data)
    return click.echo(f"{chosen.name} is no longer protected; it is still watched and reported")


@vm.command()
@vm_argument
@json_option
@pass_site
def recover(site: Site, name: str, as_json: bool) -> None:
    """Try again to bring a VM back, with a new budget of restarts."""
    chosen = find_vm(name, ask_vms(site)[0])
    data = ask(site, "recover", vm=chosen.vm).data
    if as_json:
        return show_json(data)
    click.echo(f"recovery of {chosen.name} begins anew")
    return click.echo("watch it: holdfast incidents")


def _say_answers_now(name: str, found: str | None) -> None:
    """Of a VM that runs; a way that nobody can see work would be known only after a failure."""
    if found:
        click.echo(f"and it does so now: {found}")
    elif found is not None:
        text = "but it does not answer that way now: after a restart it would be handed over to you"
        click.secho(text, fg="yellow")
        click.echo(
            f"  see that it does, or say another way: holdfast vm protect {name} --answers HOW"
        )


def _say_elsewhere(data: dict[str, Any]) -> None:
    """Of a site with other hosts: whether it would start on one of them, and others still would."""
    if data.get("starts_elsewhere"):
        click.echo("and it would start elsewhere if its host died")
    elif data.get("elsewhere"):
        click.secho(f"but it would not start elsewhere: {data['elsewhere']}", fg="yellow")
        click.echo(f"  what helps: {data.get('elsewhere_helps')}")
    if data.get("rebuilt"):
        click.secho(f"its local disks would be {data['rebuilt']}", fg="yellow")
    if data.get("would_break"):
        click.secho(f"and now {data['would_break']}", fg="yellow")
        click.echo("  what helps: make room, or see all that would stay down: holdfast guarantee")


def _wait_protected(site: Site, vm: str, group: str, answer: str) -> VmSummary:
    """The agent tells the list of VMs a moment after it took a grant: show what was asked for."""
    deadline = time.monotonic() + TOLD_WITHIN_S
    while True:
        after = find_vm(vm, ask_vms(site)[0])
        is_told = after.is_protected and group in ("", after.group) and answer in ("", after.answer)
        if is_told or time.monotonic() > deadline:
            return after
        time.sleep(0.1)
