"""The commands of a story about a host's hardware: what it may mend, and memory that is lost."""

from collections.abc import Callable

from holdfast.adapters.simulated.parts import SimulatedParts
from holdfast.facts import commands as told
from holdfast.facts.hardware import MemoryFailure, PageOwnerKilled
from holdfast.facts.settings_hardware import Repair
from holdfast.policy.hand_overs import handed_over
from holdfast.policy.hardware_ladders import hardware_ladders
from tests.stories.stage import Stage

Words = list[str]
Options = dict[str, str]
Command = Callable[[Stage, Words, Options], list[str] | None]
SIGBUS_WITH_CORE = 7 | 0x80


def _mends(stage: Stage, words: Words, options: Options) -> None:
    """`mends-hardware none|harmless|all [steps=mends,fails,nothing]`."""
    parts = SimulatedParts(stage.host.later, stage.host.now, stage.see, stage.hear)
    parts.does = options.get("steps", "mends").split(",")
    stage.executor.parts = parts
    stage.hear(told.LaddersSet(at=stage.at(), ladders=hardware_ladders(Repair(words[0]))))


def _poison(stage: Stage, words: Words, options: Options) -> None:
    """`poison VM page=0x8396`: a page of its memory loses its content, and its QEMU touches it."""
    life = stage.host.vms[words[0]].life
    assert life is not None
    page, at = options["page"], stage.host.now()
    lost = MemoryFailure(at=at, page=page, used_for="dirty LRU page", result="Recovered")
    stage.see(lost)
    stage.see(PageOwnerKilled(at=at, page=page, pid=life.pid, task="qemu-system-x86"))
    stage.host.kill(words[0], "segv", SIGBUS_WITH_CORE)


def _handed_over(stage: Stage, _words: Words, _options: Options) -> list[str]:
    over = handed_over(stage.world).items()
    return [f"handed over: {subject} ({one.advice}): {one.reason}" for subject, one in over]


HARDWARE_COMMANDS: dict[str, Command] = {
    "mends-hardware": _mends,
    "poison": _poison,
    "handed-over": _handed_over,
}
