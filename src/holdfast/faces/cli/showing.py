"""Pages on a terminal or in a file: colours only for a terminal, and never against NO_COLOR."""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import click
import msgspec

PLAIN_WIDTH = 100


def show(page: Iterable[Any], file: IO[str] | None = None) -> None:
    """Print what rich can render, one after the other.

    A line of text is broken between words on a terminal, and not at all in a file or a pipe.
    """
    # Late: with --json nothing is laid out.
    from rich.console import Console
    from rich.text import Text  # Late: likewise.

    out = file or sys.stdout
    is_terminal = out.isatty()
    width = shutil.get_terminal_size((PLAIN_WIDTH, 40)).columns if is_terminal else PLAIN_WIDTH
    console = Console(
        file=out,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        color_system="auto" if is_terminal else None,
        legacy_windows=False,
    )
    with console.capture() as captured:
        for part in page:
            console.print(part, soft_wrap=isinstance(part, str | Text) and not is_terminal)
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), file=out, color=is_terminal)


def show_json(data: Any) -> None:
    """One JSON document, laid out for eyes as well."""
    click.echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())


def say(text: str) -> None:
    """What a command that takes a while is at, or did."""
    click.echo(f"holdfast: {text}")


def note(text: str) -> None:
    """Say something beside the output."""
    if text:
        click.secho(f"holdfast: {text}", err=True, fg="yellow")


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def typable() -> str:
    """How the person who reads this can type our name, from where they are."""
    program = Path(sys.argv[0])
    on_path = shutil.which("holdfast")
    name = "holdfast"
    if program.name == "holdfast" and (not on_path or not Path(on_path).samefile(program)):
        here = Path.cwd()
        full = program.absolute()
        name = str(full.relative_to(here)) if full.is_relative_to(here) else str(full)
    return f"sudo {name}" if os.environ.get("SUDO_USER") else name
