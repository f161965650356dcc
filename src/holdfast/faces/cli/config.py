"""The settings file, checked before anything reads it in earnest."""

import stat
from collections.abc import Iterator
from pathlib import Path

import click

from holdfast.faces.cli.choosing import Choices
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.faces.cli.showing import json_option, show_json
from holdfast.facts.settings import DEFAULT_FILE, Settings


@click.group(cls=Choices)
def config() -> None:
    """Check the settings file."""


@config.command()
@click.argument("file", required=False, type=click.Path())
@json_option
@pass_site
def check(site: Site, file: str | None, as_json: bool) -> int:
    """Name every mistake in FILE at once, with its line."""
    site.config = file or site.config
    name = site.config or DEFAULT_FILE
    try:
        settings = site.settings
        problems = list(outside_problems(settings))
    except Failure as failure:
        if not as_json:
            raise
        settings, problems = Settings(), (failure.hint or failure.message).splitlines()
    if as_json:
        show_json({"file": name, "is_well": not problems, "problems": problems, **_named(settings)})
        return Exit.USAGE if problems else Exit.FINE
    if problems:
        raise Failure(f"{name} does not fit this machine", "\n".join(problems), Exit.USAGE)
    if site.config is None and not Path(DEFAULT_FILE).exists():
        click.echo(f"there is no {DEFAULT_FILE}: the defaults serve, and nobody is told of alarms")
    else:
        click.echo(f"{name} is well: {_summary(settings)}")
    return Exit.FINE


def outside_problems(settings: Settings) -> Iterator[str]:
    """What the text alone cannot show: files that are missing, or readable by the wrong people."""
    for webhook in settings.webhooks:
        if webhook.secret_file:
            problem = _secret_problem(Path(webhook.secret_file))
            if problem:
                yield f"[webhook.{webhook.name}] secret_file {problem}"
    for program in settings.execs:
        if not Path(program.command[0]).is_file():
            yield f"[exec.{program.name}] command {program.command[0]} does not exist"


def _secret_problem(path: Path) -> str:
    try:
        mode = path.stat().st_mode
        empty = not path.read_bytes().strip()
    except OSError as error:
        return f"{path} cannot be read: {error.strerror}"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"{path} is open to others than its owner: chmod 600 {path}"
    return f"{path} is empty" if empty else ""


def _named(settings: Settings) -> dict[str, list[str]]:
    return {
        "webhooks": [webhook.name for webhook in settings.webhooks],
        "execs": [program.name for program in settings.execs],
        "groups": [group.name for group in settings.groups],
    }


def _summary(settings: Settings) -> str:
    named = _named(settings).items()
    parts = [f"{kind.removesuffix('s')} {', '.join(names)}" for kind, names in named if names]
    return "; ".join(parts) or "no webhook, no exec, no group"
