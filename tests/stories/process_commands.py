"""The commands of a story about guarded processes: who guards what, and what befalls it."""

from collections.abc import Callable

from holdfast.adapters.simulated.guarded import SimulatedProcesses
from holdfast.facts import commands as told
from holdfast.facts.guards import make_guard
from holdfast.policy.process_ladders import ladders_of
from holdfast.policy.vswitch_ladders import with_switch
from tests.stories.stage import Stage

MARKS = "/run/stopped"

Words = list[str]
Options = dict[str, str]
Command = Callable[[Stage, Words, Options], list[str] | None]


def _guard(stage: Stage, words: Words, options: Options) -> None:
    """`guard NAME... [needs=NAME] [restart=mends|fails|hangs|does-nothing] [hand-over=SECONDS]
    [switch=repair]`."""
    guards = tuple(
        make_guard(
            name,
            units=(f"{name}.service",),
            needs=tuple(
                one for one in (options.get("needs"),) if one and one != name and one in words
            ),
            hand_over_s=float(options.get("hand-over", "60")),
        )
        for name in words
    )
    processes = SimulatedProcesses(stage.host.later, stage.host.now, stage.see, stage.hear)
    processes.restart = options.get("restart", "mends")
    stage.executor.processes = processes
    ladders = with_switch(
        ladders_of(guards, MARKS), MARKS, repair="switch" in options, runs_an_hour=1
    )
    stage.hear(told.LaddersSet(at=stage.at(), ladders=ladders))
    for name in words:
        processes.begin(name)
    stage.advance(1_500)


def _kill(stage: Stage, words: Words, _options: Options) -> None:
    for name in words:
        stage.executor.processes.kill(name)


def _freeze(stage: Stage, words: Words, _options: Options) -> None:
    stage.executor.processes.freeze(words[0])


def _stop(stage: Stage, words: Words, _options: Options) -> None:
    stage.executor.processes.stop(words[0])


def _start(stage: Stage, words: Words, _options: Options) -> None:
    stage.executor.processes.begin(words[0])


PROCESS_COMMANDS: dict[str, Command] = {
    "guard": _guard,
    "kill-process": _kill,
    "freeze-process": _freeze,
    "stop-process": _stop,
    "start-process": _start,
}
