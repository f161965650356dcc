"""What happened in the site, event by event; and who changed what."""

import itertools
from collections.abc import Iterator
from typing import Any

import click

from holdfast.faces.cli.alarms import wall_ms
from holdfast.faces.cli.asking import CONTROLLER, ask, convert
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, note, show, show_json
from holdfast.facts.events import Change, Event, EventGap, EventKind

MOST = 1_000
count_option = click.option(
    "--last",
    "count",
    type=click.IntRange(1, MOST),
    default=50,
    show_default=True,
    help="How many, the newest last.",
)


@click.command()
@count_option
@click.option("--after", default="", metavar="ID", help="Those that follow this one.")
@click.option("--follow", is_flag=True, help="Print each as it comes, until Ctrl-C.")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice([str(kind) for kind in EventKind]),
    multiple=True,
    help="Only these.",
)
@json_option
@pass_site
def events(
    site: Site, count: int, after: str, follow: bool, kinds: tuple[str, ...], as_json: bool
) -> None:
    """Tell what happened: alarms, incidents, hosts, leaders, and changes by people.

    Every event has a number. `--after ID` goes on where you were: ID is `next` in --json.
    """
    args: dict[str, Any] = {"after": after} if after else {}
    said = ask(site, "events", limit=count, **args)
    found = [one for one in convert(said.data["events"], list[Event]) if _is_of(one, kinds)]
    if as_json and not follow:
        return show_json({"events": found, "gap": said.data["gap"], "next": said.data["next"]})
    if said.data["gap"]:
        gap = convert(said.data["gap"], EventGap)
        note(f"events {gap.first} to {gap.last} are missing: {gap.reason}")
    coming = _stream(site, str(said.data["next"])) if follow else iter(())
    for event in itertools.chain(found, coming):
        if _is_of(event, kinds):
            _print(event, as_json)
    return None


@click.command()
@count_option
@json_option
@pass_site
def audit(site: Site, count: int, as_json: bool) -> None:
    """Tell who changed what, from where, and what came of it."""
    said = ask(site, "audit", limit=count)
    changes = convert(said.data["changes"], list[Change])
    if as_json:
        return show_json({"changes": changes, "from": CONTROLLER})
    # Late: JSON needs no tables.
    from holdfast.faces.pages.events import audit_page

    return show(audit_page(changes, wall_ms()))


def _stream(site: Site, after: str) -> Iterator[Event]:
    # Late: only --follow reads a stream.
    from holdfast.faces.cli.following import follow

    return follow(site, after)


def _is_of(event: Event, kinds: tuple[str, ...]) -> bool:
    return not kinds or event.kind in kinds


def _print(event: Event, as_json: bool) -> None:
    # Late: what the printing of one event needs.
    import msgspec

    if as_json:
        click.echo(msgspec.json.encode(event).decode())
        return
    from holdfast.faces.pages.events import event_line  # Late: JSON needs no words.

    show([event_line(event, wall_ms())])
