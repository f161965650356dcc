"""What a value of the settings file must be: each check says the rest of a sentence about it."""

import difflib
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from holdfast.facts.promises import images_problem

# A check returns the value to keep, or raises ValueError with the rest of a sentence.
Check = Callable[[Any], Any]

UNIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.@\\-]*\.service")


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str | int | float) else "this"


def truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {shown(value)}")
    return value


def word_of(words: type[StrEnum]) -> Check:
    known = [str(word) for word in words]

    def check(value: Any) -> StrEnum:
        if value not in known:
            raise ValueError(f"must be one of {', '.join(known)}{near(str(value), known)}")
        return words(value)

    return check


def images(value: Any) -> dict[str, str]:
    if problem := images_problem(value):
        raise ValueError(problem)
    return dict(value)


def command(value: Any) -> tuple[str, ...]:
    is_list = isinstance(value, list) and value and all(isinstance(word, str) for word in value)
    if not is_list:
        raise ValueError('must be a list of words, like ["/usr/local/bin/mail-alarm", "--brief"]')
    if not value[0].startswith("/"):
        raise ValueError(f"must begin with an absolute path, and {value[0]!r} is none")
    return tuple(value)


def words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise ValueError('must be a list of words, like ["--config", "x"]')
    return tuple(value)


def units(value: Any) -> tuple[str, ...]:
    named = [value] if isinstance(value, str) else value
    found = words(named)
    for one in found:
        if not UNIT.fullmatch(one):
            raise ValueError(f"must be a systemd service like nova-compute.service, not {one!r}")
    return found


def near(word: str, known: list[str]) -> str:
    found = difflib.get_close_matches(word, known, n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(found)}?" if found else ""


def seconds(least: float, most: float) -> Check:
    def check(value: Any) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not least <= value <= most:
            raise ValueError(f"must be seconds from {least:g} to {most:g}, not {shown(value)}")
        return float(value)

    return check


def whole_number(least: int, most: int, unit: str = "") -> Check:
    allowed = f"must be a whole number from {least} to {most}" + (f" ({unit})" if unit else "")

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"{allowed}, not {shown(value)}")
        return value

    return check
