"""Settings as the command line finds them: the file that was named, or the default if it exists."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import click

from holdfast.faces.cli.exits import Exit, Failure
from holdfast.facts.settings import DEFAULT_FILE, Settings


@dataclass
class Site:
    """What every command gets: where the settings are. Read when first needed."""

    config: str | None = None

    @cached_property
    def settings(self) -> Settings:
        return load_settings(self.config)


pass_site = click.make_pass_decorator(Site, ensure=True)


def load_settings(config: str | None) -> Settings:
    """Raises Failure with every mistake; without a file the defaults serve."""
    # Late: most commands find no settings file, and need no reader of it.
    from holdfast.facts.settings_reader import SettingsWrong, read_settings

    path = Path(config or DEFAULT_FILE)
    try:
        return read_settings(path.read_text(), str(path))
    except FileNotFoundError:
        if config is None:
            return Settings()
        raise Failure(f"there is no settings file {path}", code=Exit.USAGE) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise Failure(f"cannot read {path}: {reason}", code=Exit.USAGE) from None
    except SettingsWrong as wrong:
        count = len(wrong.problems)
        what = "1 mistake" if count == 1 else f"{count} mistakes"
        raise Failure(f"{what} in the settings", str(wrong), Exit.USAGE) from None
