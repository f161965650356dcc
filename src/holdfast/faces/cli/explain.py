"""The story of an incident, and the last words of a VM."""

from typing import Any

import click

from holdfast.faces.cli.asking import ask
from holdfast.faces.cli.choosing import complete_incident, complete_vm, find_vm
from holdfast.faces.cli.exits import Exit, Failure, near
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, note, show, show_json


@click.command()
@click.argument("incident", required=False, default="", shell_complete=complete_incident)
@json_option
@pass_site
def explain(site: Site, incident: str, as_json: bool) -> None:
    """Tell the story of an incident: what happened, what was done, what is left to do.

    Without INCIDENT it is the newest one; a VM's name stands for its newest one.
    """
    args = {"incident": incident} if incident else {}
    try:
        said = ask(site, "explain", or_agent=True, **args)
    except Failure as failure:
        if not incident and failure.code == Exit.USAGE:
            return _say_there_was_none(as_json)
        raise _with_near_incidents(site, incident, failure) from None
    if as_json:
        return show_json({**said.data, "from": said.source})
    # Late: JSON needs no page.
    from holdfast.faces.pages.explain import explain_page

    note(said.note)
    return show(explain_page(said.data))


@click.command()
@click.argument("vm", shell_complete=complete_vm)
@click.option("--incident", default="", shell_complete=complete_incident, help="Not the newest.")
@json_option
@pass_site
def last_words(site: Site, vm: str, incident: str, as_json: bool) -> None:
    """Show what a VM left at its death: console, events, counters, cause.

    VM may be the name of a host too: then it is what that host and its VMs last said.
    """
    # Late: explain needs no list of VMs.
    from holdfast.faces.cli.vm import ask_vms

    args: dict[str, Any] = {"incident": incident} if incident else {}
    try:
        said = ask(site, "last-words", or_agent=True, vm=vm, **args)
    except Failure as failure:
        if failure.code == Exit.USAGE:
            find_vm(vm, ask_vms(site)[0])  # An unknown VM is the likelier mistake.
        raise
    if as_json:
        return show_json({**said.data, "from": said.source})
    # Late: JSON needs no page.
    from holdfast.faces.pages.host_words import left_words_page

    note(said.note)
    return show(left_words_page(said.data))


def _say_there_was_none(as_json: bool) -> None:
    """No news is good news, and no mistake of who asks."""
    if as_json:
        return show_json({"incident": None, "records": []})
    return click.echo("There has been no incident.")


def _with_near_incidents(site: Site, incident: str, failure: Failure) -> Failure:
    if failure.code != Exit.USAGE or not incident:
        return failure
    # Late: only a name that slipped needs the list.
    from holdfast.faces.cli.incidents import read_incidents

    known = read_incidents(ask(site, "incidents", or_agent=True))
    found = near(incident, {one.id for one in known} | {one.name for one in known})
    if found:
        failure.hint = f"did you mean {' or '.join(found)}?"
    return failure
