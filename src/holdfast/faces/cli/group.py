"""Groups: VMs that share an owner of recovery and a service level."""

from typing import Any

import click

from holdfast.faces.cli.asking import ask, convert
from holdfast.faces.cli.choosing import Choices, complete_group, rows_of
from holdfast.faces.cli.exits import unknown
from holdfast.faces.cli.local_disks import image_option, local_disk_option, read_images
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, show, show_json
from holdfast.faces.cli.small_files import read_named
from holdfast.facts.promises import Admission, Group, Owner, Spread, Zones

name_argument = click.argument("name", metavar="GROUP", shell_complete=complete_group)


@click.group(cls=Choices)
def group() -> None:
    """List, show, set and forget groups of VMs.

    Every VM is in one group; the group `default` is always there.
    """


def ask_groups(site: Site) -> list[Group]:
    return convert(rows_of(ask(site, "groups").data, "groups"), list[Group])


@group.command("list")
@json_option
@pass_site
def list_groups(site: Site, as_json: bool) -> None:
    """Every group, its owner and its service level."""
    groups = ask_groups(site)
    if as_json:
        return show_json({"groups": groups})
    # Late: JSON needs no tables.
    from holdfast.faces.cli.vm import ask_vms
    from holdfast.faces.pages.groups import groups_page  # Late: likewise.

    return show(groups_page(groups, ask_vms(site)[0]))


@group.command("show")
@name_argument
@json_option
@pass_site
def show_group(site: Site, name: str, as_json: bool) -> None:
    """One group, its VMs, and what stands in the way of restarting them."""
    groups = {known.name: known for known in ask_groups(site)}
    if name not in groups:
        raise unknown("group", name, groups, "holdfast group list")
    # Late: the list of groups is had without VMs.
    from holdfast.faces.cli.vm import ask_vms

    members = [vm for vm in ask_vms(site)[0] if vm.group == name]
    template = ask(site, "group", name=name).data.get("template")
    if as_json:
        return show_json({"group": groups[name], "vms": members, "template": template})
    # Late: JSON needs no tables.
    from holdfast.faces.pages.groups import group_page

    return show(group_page(groups[name], members, template))


@group.command("set")
@name_argument
@click.option("--owner", type=click.Choice([str(owner) for owner in Owner]), help="Who recovers.")
@click.option("--level", type=click.IntRange(1, 3), help="Service level.")
@click.option("--restarts", type=click.IntRange(0, 1_000), help="Restarts until hand-over ...")
@click.option("--restarts-window-s", type=click.IntRange(1, 604_800), help="... within seconds.")
@click.option("--dump/--no-dump", default=None, help="Keep memory dumps of failed guests.")
@click.option(
    "--priority", type=click.IntRange(-100, 100), help="Who starts elsewhere first: the higher."
)
@click.option(
    "--spread",
    type=click.Choice([str(spread) for spread in Spread]),
    help="What its VMs do not share when one starts elsewhere.",
)
@click.option(
    "--zones",
    type=click.Choice([str(zones) for zones in Zones]),
    help="Where its VMs start elsewhere: in the zone that they were in, or in any.",
)
@click.option(
    "--lease/--no-lease",
    default=None,
    help="Whether its VMs rely on their host's lease: see docs/operate/lease.md before.",
)
@click.option(
    "--admit",
    type=click.Choice([str(admit) for admit in Admission]),
    help="Of a VM that could not start elsewhere, when it is protected: warn, or refuse it.",
)
@local_disk_option()
@image_option
@click.option(
    "--template",
    metavar="FILE",
    help="Holdfast makes the VMs of this group itself, of this libvirt XML (virsh dumpxml).",
)
@click.option("--count", type=click.IntRange(0, 1_000), help="So many of them are promised.")
@click.option("--remove", multiple=True, metavar="VM", help="One of them ends. Once for each.")
@json_option
@pass_site
def set_group(site: Site, /, name: str, as_json: bool, **options: Any) -> None:
    """Make a group, or change what is named of it."""
    options["images"] = read_images(options["images"]) or None
    given = {key: value for key, value in options.items() if value not in (None, ())}
    if "template" in given:
        given["template"] = read_named(given["template"])
    data = ask(site, "group-set", name=name, **given).data
    if as_json:
        return show_json(data)
    if data.get("template"):
        made = data["template"]
        text = f"group {name} is set: {made['count']} VMs are promised, {made['in_service']} serve"
        return click.echo(f"{text}\nwatch them: holdfast group show {name}")
    return click.echo(
        f"group {name} is set; put VMs into it: holdfast vm protect VM --group {name}"
    )


@group.command()
@name_argument
@json_option
@pass_site
def forget(site: Site, name: str, as_json: bool) -> None:
    """Forget a group that no VM is in."""
    data = ask(site, "group-forget", name=name).data
    if as_json:
        return show_json(data)
    return click.echo(f"group {name} is forgotten")
