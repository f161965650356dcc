"""`holdfast host predicted`: a host that somebody, or something, expects to fail."""

from typing import Any

import click

from holdfast.faces.cli.asking import ask
from holdfast.faces.cli.choosing import complete_host
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, show_json


@click.command()
@click.argument("name", metavar="HOST", shell_complete=complete_host)
@click.option("--reason", default="", help="What makes you expect that it fails.")
@click.option("--clear", is_flag=True, help="It is expected no longer.")
@json_option
@pass_site
def predicted(site: Site, name: str, reason: str, clear: bool, as_json: bool) -> None:
    """Say that a host is expected to fail (a tool may, too), or see what is known of that.

    Nothing is placed there from then on. In mode act its VMs move away while they run, a few at a
    time, unless a brake holds; in report mode they stay, and it is only told.
    """
    if clear and reason:
        raise Failure("--reason and --clear exclude each other", code=Exit.USAGE)
    args: dict[str, Any] = {"host": name, "reason": reason} if reason else {"host": name}
    question = "host-unpredict" if clear else "host-predict" if reason else "prediction"
    data: dict[str, Any] = ask(site, question, **args).data
    if as_json:
        return show_json(data)
    if not data["is_predicted"]:
        is_news = "" if data.get("was_predicted") or not clear else "; nor was it before"
        return click.echo(f"{data['host_name']} is not expected to fail{is_news}")
    return _show(data)


def _show(data: dict[str, Any]) -> None:
    name = data["host_name"]
    click.echo(f"{name} is expected to fail: {data['reason']} (said by {data['by']})")
    click.echo("nothing is placed there")
    if data["kept"]:
        click.secho(f"its VMs stay there: {data['kept']}", fg="yellow")
        click.echo(f"  what moves them away: holdfast host drain {name}")
        return
    stays = {one["name"]: one["stays"] for one in data["vms"] if one["stays"]}
    left = len(data["vms"]) - len(stays)
    click.echo(f"its VMs move away; still there: {left}" if left else "no VM waits to move")
    for vm, why in sorted(stays.items()):
        click.secho(f"{vm} stays: {why}", fg="yellow")
