"""What was done about VMs that move while they run, and what came of it, as sentences."""

from collections.abc import Callable
from typing import Any

from holdfast.faces.pages.tables import ended
from holdfast.facts import actions as act
from holdfast.facts import commands
from holdfast.facts import outcomes as came
from holdfast.facts import site as told
from holdfast.facts.migrations import End, Migration, MigrationStep

Say = Callable[[Any, str], str]

_HAS = {
    End.UNKNOWN: "did not say what it has of it",
    End.MOVING: "says that it moves",
    End.RUNS: "has it",
    End.NOTHING: "has nothing of it",
    End.DEAD: "is proven dead",
}


def _stands(one: Migration) -> str:
    why = f", since {one.reason}" if one.reason else ""
    told = f": {one.reason}" if one.reason else ""
    return {
        MigrationStep.BEGUN: f"{one.name} moves from {one.source} to {one.target}",
        MigrationStep.DONE: f"{one.name} has moved to {one.target}{told}",
        MigrationStep.UNDONE: f"{one.name} stays on {one.source}{why}",
        MigrationStep.IN_DOUBT: f"{one.name} runs on {one.source} and on {one.target}",
    }[one.step]


def _began(fact: commands.MigrationBegan, _name: str) -> str:
    if fact.is_source:
        word = "until it says how that ended, this host only reports"
        return f"The leader moves {fact.name} from here: {word}."
    return f"The leader moves {fact.name} to here: it is not this host's before it has come."


def _over(fact: commands.MigrationEnded, _name: str) -> str:
    held = "this host holds it" if fact.is_held else "it is another host's"
    lost = " It died on the way." if fact.is_lost else ""
    why = f" ({fact.reason})" if fact.reason else ""
    return f"The migration is over, and {held}{why}.{lost}"


def _seen(fact: commands.MoveSeen, name: str) -> str:
    if fact.is_under_way:
        return f"Somebody else moves {name} from here: nobody starts it before that is over."
    return f"The move of {name} that somebody else began is over, and it did not leave."


def _looked(fact: came.EndsLooked, _name: str) -> str:
    why = f" {ended(fact.reason).capitalize()}" if fact.reason else ""
    return f"The source {_HAS[fact.source]}; the target {_HAS[fact.target]}.{why}"


def _begun(fact: came.MoveBegun, _name: str) -> str:
    if fact.refusal:
        return f"It does not move: {ended(fact.refusal)}"
    return "Both ends were told to move it."


MOVING: dict[type, Say] = {
    act.PutMigration: lambda f, _: f"Asking the store to note that {_stands(f.migration)}.",
    act.Migrate: lambda f, _: (
        f"Telling {f.migration.target} to let {f.migration.name} in, and {f.migration.source} to"
        " send it."
    ),
    act.LookAtEnds: lambda f, _: f"Asking both ends what they have of {f.migration.name}.",
    act.TellEnds: lambda f, _: f"Telling both ends: {_stands(f.migration)}.",
    came.MoveBegun: _begun,
    came.EndsLooked: _looked,
    commands.MigrationBegan: _began,
    commands.MigrationEnded: _over,
    commands.MoveSeen: _seen,
    told.MigrationSet: lambda f, _: f"It is committed: {_stands(f.migration)}.",
    told.DrainSet: lambda f, name: (
        f"{name} is drained ({f.drain.by}): its VMs move away, and none is placed there."
    ),
    told.PredictionSet: lambda f, _: (
        f"{f.prediction.by} says that {f.prediction.name} is expected to fail:"
        f" {ended(f.prediction.reason)} Nothing is placed there."
    ),
    told.PredictionLifted: lambda _f, name: f"{name} is no longer expected to fail.",
    told.DrainLifted: lambda _f, name: f"{name} is no longer drained.",
}
