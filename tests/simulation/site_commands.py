"""The commands of a story of a site, one function each: what breaks, and what people do."""

import shlex
from collections.abc import Callable
from typing import Any

from tests.simulation.site_stage import SiteStage

Words = list[str]
Options = dict[str, str]
UNITS_MS = {"ms": 1.0, "s": 1_000.0, "min": 60_000.0, "h": 3_600_000.0}


class BadStory(Exception):
    """A line of a story cannot be played; which, and why."""


def open_stage(line: str, **more: Any) -> SiteStage:
    """`site hosts=5 controllers=3 [racks=N]`: the first line of every story."""
    name, *rest = shlex.split(line)
    if name != "site":
        raise BadStory(f"{line!r}: a story of a site begins with its site")
    given = {key: int(value) for key, value in (word.split("=", 1) for word in rest)}
    return SiteStage(**given, **more)


def play(stage: SiteStage, line: str) -> list[str]:
    """Carry out one line; what was said meanwhile, and what the line itself asked for."""
    name, *rest = shlex.split(line)
    command = COMMANDS.get(name)
    if command is None:
        raise BadStory(f"{line!r}: there is no command {name}; there are {', '.join(COMMANDS)}")
    words = [word for word in rest if "=" not in word]
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    try:
        shown = command(stage, words, options) or []
    except (KeyError, IndexError, ValueError) as error:
        raise BadStory(f"{line!r}: {error!r}") from None
    said, stage.said = stage.said, []
    return [*said, *shown]


def _advance(stage: SiteStage, words: Words, _options: Options) -> None:
    number, unit = words
    stage.advance(float(number) * UNITS_MS[unit])


def _vm(stage: SiteStage, words: Words, options: Options) -> None:
    stage.site.add_vm(options["on"], words[0])


def _power_cut(stage: SiteStage, words: Words, _options: Options) -> None:
    for host in words:
        stage.laws.lost(host)
        stage.site.cut_power(host)


def _boot(stage: SiteStage, words: Words, _options: Options) -> None:
    for host in words:
        stage.site.boot(host)


def _status(stage: SiteStage, _words: Words, _options: Options) -> list[str]:
    leaders = [name for name, one in stage.site.controllers.items() if one.leads()]
    alarms = sorted(f"{a.condition} of {a.subject.name}" for a in stage.site.receiver.open())
    running = [
        name
        for host in stage.site.hosts.values()
        for name, vm in host.machine.vms.vms.items()
        if vm.runs
    ]
    return [
        f"leads: {', '.join(leaders) or 'nobody'}",
        f"open alarms: {', '.join(alarms) or 'none'}",
        f"running VMs: {', '.join(running) or 'none'}",
    ]


COMMANDS: dict[str, Callable[[SiteStage, Words, Options], list[str] | None]] = {
    "advance": _advance,
    "vm": _vm,
    "power-cut": _power_cut,
    "boot": _boot,
    "status": _status,
}
