"""Hosts: how the controllers hear them, and what runs there."""

from typing import Any

import click

from holdfast.faces.cli.alarms import wall_ms
from holdfast.faces.cli.asking import ask, convert
from holdfast.faces.cli.choosing import Choices, complete_host
from holdfast.faces.cli.dead_host import confirm_dead, mode
from holdfast.faces.cli.hook import install_here
from holdfast.faces.cli.migrating import drain, undrain
from holdfast.faces.cli.predicted import predicted
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, show, show_json


@click.group(cls=Choices)
def host() -> None:
    """List, show and drain hosts; say what is done when one dies, or that one is dead.

    A host is named by its name or its id.
    """


host.add_command(mode)
host.add_command(confirm_dead)
host.add_command(drain)
host.add_command(undrain)
host.add_command(install_here)
host.add_command(predicted)


@host.command("list")
@json_option
@pass_site
def list_hosts(site: Site, as_json: bool) -> None:
    """Every host, and how it was last heard."""
    rows = ask(site, "hosts").data
    if as_json:
        return show_json({"hosts": rows})
    # Late: JSON needs no tables.
    from holdfast.faces.pages.hosts import HostRow, hosts_page

    return show(hosts_page(convert(rows, list[HostRow]), wall_ms()))


@host.command("show")
@click.argument("name", metavar="HOST", shell_complete=complete_host)
@json_option
@pass_site
def show_host(site: Site, name: str, as_json: bool) -> None:
    """One host: how it was heard on each plane, its open alarms, and its VMs."""
    data: dict[str, Any] = ask(site, "host", host=name).data
    if as_json:
        return show_json(data)
    # Late: JSON needs no tables.
    from holdfast.faces.pages.hosts import HostView, host_page

    return show(host_page(convert(data, HostView), wall_ms()))
