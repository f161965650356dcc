"""The settings file, checked before anything reads it in earnest."""

import stat
from collections.abc import Iterator
from pathlib import Path

import click

from holdfast.faces.cli.choosing import Choices
from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.settings import Site, pass_site
from holdfast.facts.settings import DEFAULT_FILE, Settings


@click.group(cls=Choices)
def config() -> None:
    """Check the settings file."""


@config.command()
@click.argument("file", required=False, type=click.Path())
@pass_site
def check(site: Site, file: str | None) -> None:
    """Name every mistake in FILE at once, with its line."""
    site.config = file or site.config
    settings = site.settings
    name = site.config or DEFAULT_FILE
    problems = list(outside_problems(settings))
    if problems:
        raise Failure(f"{name} does not fit this machine", "\n".join(problems), Exit.USAGE)
    if site.config is None and not Path(DEFAULT_FILE).exists():
        click.echo(f"there is no {DEFAULT_FILE}: the defaults serve, and nobody is told of alarms")
    else:
        click.echo(f"{name} is well: {_summary(settings)}")


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


def _summary(settings: Settings) -> str:
    named = {
        "webhook": [webhook.name for webhook in settings.webhooks],
        "exec": [program.name for program in settings.execs],
        "group": [group.name for group in settings.groups],
    }
    parts = [f"{kind} {', '.join(names)}" for kind, names in named.items() if names]
    return "; ".join(parts) or "no webhook, no exec, no group"
