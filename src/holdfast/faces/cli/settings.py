"""Settings as the command line finds them: the file that was named, or the default if it exists."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click
from msgspec import structs

from holdfast.faces.cli.exits import Exit, Failure
from holdfast.faces.cli.small_files import read_small, why_not
from holdfast.facts.settings import DEFAULT_FILE, Settings

ONLY_ASK = (
    "status host vm group alarms events audit token incidents explain last-words disarm arm settle"
).split()


@dataclass
class Site:
    """What every command gets: where the settings are, and which controller is asked."""

    config: str | None = None
    url: str = ""  # Of a controller's API elsewhere; empty: the one on this host.
    token_file: str = ""
    ca: str = ""

    @property
    def is_elsewhere(self) -> bool:
        return bool(self.url)

    @cached_property
    def settings(self) -> Settings:
        """Commands that only ask go on with a mistake in the file: Holdfast runs, and somebody
        may need to disarm it while a colleague is half-way through editing a webhook."""
        try:
            return load_settings(self.config)
        except Failure as failure:
            asked = click.get_current_context().find_root().invoked_subcommand
            path = Path(self.config or DEFAULT_FILE)
            if asked not in ONLY_ASK or not path.exists():
                raise
            click.echo(f"holdfast: {failure.message}; asking all the same", err=True)
            click.echo("  holdfast config check", err=True)
            return Settings(run_dir=_guess_run_dir(path))


def _guess_run_dir(path: Path) -> str:
    """What the file says of it, as far as a person can still read that."""
    try:
        found = re.search(r'^\s*run_dir\s*=\s*"([^"]+)"', read_small(path), re.MULTILINE)
    except (OSError, ValueError):
        found = None
    return found.group(1) if found else Settings().run_dir


pass_site = click.make_pass_decorator(Site, ensure=True)


def load_settings(config: str | None) -> Settings:
    """Raises Failure with every mistake; without a file the defaults serve."""
    # Late: most commands find no settings file, and need no reader of it.
    from holdfast.facts.settings_reader import SettingsWrong, read_settings

    path = Path(config or DEFAULT_FILE)
    try:
        settings = read_settings(read_small(path), str(path))
        return structs.replace(settings, file=str(path.absolute()))
    except FileNotFoundError:
        if config is None:
            return Settings()
        raise Failure(f"there is no settings file {path}", code=Exit.USAGE) from None
    except SettingsWrong as wrong:
        count = len(wrong.problems)
        what = "1 mistake" if count == 1 else f"{count} mistakes"
        raise Failure(f"{what} in the settings", str(wrong), Exit.USAGE) from None
    except (OSError, ValueError) as error:
        raise Failure(f"cannot read {path}: {why_not(error)}", code=Exit.USAGE) from None
