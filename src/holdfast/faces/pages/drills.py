"""What a drill measured, beside what was to be reached."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from holdfast.faces.pages.tables import BAD, GOOD, STRONG, facts, table
from holdfast.lab.drills.figures import Goal, Result, Spread


def drill_page(result: Result) -> Iterator[Any]:
    title = Text(f"{result.drill}, {result.runs} runs: ", style=STRONG)
    said = f"{result.lost} alarms lost, {result.false_alarms} false"
    yield title.append(said, style=GOOD if result.is_passed else BAD)
    rows = [
        ("fault to VIM", _spread(result.fault_to_vim_ms)),
        ("fault to answer", _spread(result.fault_to_answering_ms)),
    ]
    yield facts(rows)
    if result.goals:
        yield ""
        yield table(("GOAL", "MEASURED", "", "WHAT"), [_goal(goal) for goal in result.goals])
    for text in result.notes:
        yield f"  {text}"


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "not measured"
    return f"p50 {spread.p50:g} ms, p99 {spread.p99:g} ms, max {spread.max:g} ms"


def _goal(goal: Goal) -> list[str | Text]:
    sign = ">=" if goal.at_least else "<="
    measured = "-" if goal.measured is None else f"{goal.measured:g} {goal.unit}"
    met = Text("reached", style=GOOD) if goal.is_met else Text("missed", style=BAD)
    return [f"{sign} {goal.limit:g} {goal.unit}", measured, met, goal.what]
