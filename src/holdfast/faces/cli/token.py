"""Tokens of the API: for programs, and for people on other machines."""

import click

from holdfast.faces.cli.alarms import wall_ms
from holdfast.faces.cli.arming import read_duration_s
from holdfast.faces.cli.asking import ask, convert
from holdfast.faces.cli.choosing import Choices
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, note, show, show_json
from holdfast.facts.roles import Role
from holdfast.facts.tokens import TokenShown


@click.group(cls=Choices)
def token() -> None:
    """Make, list and revoke tokens of the API. Those of hosts that join: holdfast ca token.

    Use one elsewhere: HOLDFAST_API=https://h1:7310 HOLDFAST_TOKEN=... holdfast status
    """


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice([str(role) for role in Role]), required=True)
@click.option("--for", "duration", default="90d", show_default=True, metavar="TIME")
@json_option
@pass_site
def create(site: Site, name: str, role: str, duration: str, as_json: bool) -> None:
    """Make a token that may see, operate or administer. It is printed once, and kept nowhere."""
    seconds = read_duration_s(duration)
    data = ask(site, "api-token-create", name=name, role=role, seconds=seconds).data
    if as_json:
        return show_json(data)
    click.echo(data["token"])
    return note(f"may {role}, until it ends in {duration}; it is not shown again")


@token.command("list")
@json_option
@pass_site
def list_tokens(site: Site, as_json: bool) -> None:
    """Every token: its role, its end, and when it was last used."""
    tokens = convert(ask(site, "api-tokens").data, list[TokenShown])
    if as_json:
        return show_json({"tokens": tokens})
    # Late: JSON needs no tables.
    from holdfast.faces.pages.tokens import tokens_page

    return show(tokens_page(tokens, wall_ms()))


@token.command()
@click.argument("name")
@json_option
@pass_site
def revoke(site: Site, name: str, as_json: bool) -> None:
    """End a token now."""
    if not name:
        raise Failure("a token has a name", "holdfast token list", Exit.USAGE)
    data = ask(site, "api-token-revoke", name=name).data
    if as_json:
        return show_json(data)
    return click.echo(f"the token {name} opens nothing any more")
