"""How a command ends: a code for programs, and for people one sentence and what to do."""

import difflib
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import click


class Exit(IntEnum):
    """Documented in docs/cli.md; numbers never change."""

    FINE = 0
    BAD_NEWS = 1  # The answer was had, and something in it needs a person.
    USAGE = 2  # A wrong option, an unknown name, wrong settings.
    AWAY = 3  # What was to be asked does not run or does not answer.
    REFUSED = 4  # It was asked and will not do it.
    BROKEN = 5  # Holdfast itself failed.
    INTERRUPTED = 130


class Failure(click.ClickException):
    """`hint` says what to do about it: a command, or a short sentence."""

    def __init__(self, sentence: str, hint: str = "", code: int = Exit.REFUSED) -> None:
        super().__init__(sentence)
        self.hint = hint
        self.code = int(code)

    def show(self, file: Any = None) -> None:
        del file  # People read errors beside the output, never within it.
        click.secho(f"holdfast: {self.message}", err=True, fg="red")
        for line in self.hint.splitlines():
            click.echo(f"  {line}", err=True)


def near(word: str, known: Iterable[str]) -> list[str]:
    """The names that may have been meant, the nearest first."""
    by_fold = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(word.casefold(), by_fold, n=3, cutoff=0.5)
    begin = [name for name in sorted(by_fold) if word and name.startswith(word.casefold())]
    return [by_fold[name] for name in dict.fromkeys([*close, *begin[:3]])]


def unknown(what: str, name: str, known: Iterable[str], lister: str) -> Failure:
    """There is no such VM, group, ...: name the near ones, or say which command lists all."""
    found = near(name, known)
    hint = f"did you mean {' or '.join(found)}?" if found else f"{lister} lists what there is"
    return Failure(f"there is no {what} {name!r}", hint, Exit.USAGE)
