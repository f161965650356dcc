"""Incidents: the list, and a person's word that one is dealt with."""

import click

from holdfast.faces.cli.alarms import wall_ms
from holdfast.faces.cli.asking import Said, ask, convert
from holdfast.faces.cli.choosing import complete_incident, rows_of
from holdfast.faces.cli.exits import unknown
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, note, show, show_json
from holdfast.facts.incidents import Incident


def read_incidents(said: Said) -> list[Incident]:
    """The newest last."""
    found = convert(rows_of(said.data, "incidents"), list[Incident])
    return sorted(found, key=lambda incident: incident.fault_utc_ms)


@click.command()
@json_option
@pass_site
def incidents(site: Site, as_json: bool) -> None:
    """List what went wrong, the newest last, and whether it needs you."""
    said = ask(site, "incidents", or_agent=True)
    found = read_incidents(said)
    if as_json:
        return show_json({"incidents": found, "from": said.source})
    # Late: JSON needs no tables.
    from holdfast.faces.pages.incidents import incidents_page

    note(said.note)
    return show(incidents_page(found, wall_ms()))


@click.command()
@click.argument("incident", shell_complete=complete_incident)
@click.option("--leave-down", is_flag=True, help="Also where VMs of a silent host stay down.")
@json_option
@pass_site
def settle(site: Site, incident: str, leave_down: bool, as_json: bool) -> None:
    """Say that an incident is dealt with: it closes, and its alarms clear.

    Refused for a silent host that holds VMs: once it is known to be dead they start elsewhere.
    """
    found = {known.id: known for known in read_incidents(ask(site, "incidents"))}
    if incident not in found:
        raise unknown("incident", incident, found, "holdfast incidents")
    more = {"leave_down": True} if leave_down else {}
    data = ask(site, "settle", incident=incident, **more).data
    if as_json:
        return show_json(data)
    return click.echo(f"incident {incident} of {found[incident].name} is settled")
