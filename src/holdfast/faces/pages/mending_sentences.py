"""What a host did to mend itself, and what came of it, as sentences."""

from collections.abc import Callable
from typing import Any

from holdfast.faces.pages.tables import counted, ended
from holdfast.facts import actions as act
from holdfast.facts import commands as told
from holdfast.facts import outcomes as came
from holdfast.facts.instants import spoken


def _done(fact: came.StepDone, _name: str) -> str:
    return f"The step was done{f': {fact.said}' if fact.said else ''}; that proves nothing yet."


def _failed(fact: came.StepFailed, _name: str) -> str:
    how = "ran too long and was ended" if fact.overran else "failed"
    return f"The step {how}: {ended(fact.reason)}"


def _ladders(fact: told.LaddersSet, _name: str) -> str:
    """One without steps mends nothing: it only waits for another."""
    known = counted(sum(bool(one.steps) for one in fact.ladders), "repair")
    return f"This host knows {known} of its own."


MENDING: dict[type, Callable[[Any, str], str]] = {
    act.TryRepair: lambda f, _: f"Trying to {f.step.says} (at most {spoken(f.limit_ms)}).",
    act.LookAgain: lambda f, _: f"Looking whether that helped {f.subject.name}.",
    came.StepDone: _done,
    came.StepFailed: _failed,
    told.LaddersSet: _ladders,
}
