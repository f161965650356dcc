"""What a drill measured, beside what was to be reached, and on what machine."""

from collections.abc import Iterator
from typing import Any

from rich.text import Text

from holdfast.faces.pages.tables import BAD, GOOD, QUIET, STRONG, counted, facts, table
from holdfast.lab.drills.figures import Goal, Result, Spread

SPREADS = {
    "libvirt_event_ms": "libvirt's own event",
    "plain_start_ms": "a plain libvirt start",
    "plain_restart_ms": "cut off by a plain restart",
}
RATIOS = {
    "libvirt_event_ratio_median": "libvirt's event against ours, median of the runs",
    "restart_ratio_median": "our restart against a plain start, median of the runs",
}


def drill_page(result: Result) -> Iterator[Any]:
    title = Text(f"{result.drill}, {counted(result.runs, 'run')}: ", style=STRONG)
    said = f"{counted(result.lost, 'alarm')} lost, {result.false_alarms or 'none'} false"
    if result.overran:
        said += f", {counted(len(result.overran), 'wait')} overrun"
    yield title.append(said, style=GOOD if result.is_passed else BAD)
    yield facts(list(_rows(result)))
    if result.goals:
        yield ""
        yield table(("GOAL", "MEASURED", "", "WHAT"), [_goal(goal) for goal in result.goals])
    for text in (*result.overran, *result.notes):
        yield f"  {text}"
    if result.machine is not None:
        made = result.machine
        yield Text(
            f"{result.date}, kernel {made.kernel}, {counted(made.cores, 'core')},"
            f" guests by {made.accelerator}, VM of {result.vm_memory_mib} MiB",
            style=QUIET,
        )


def _rows(result: Result) -> Iterator[tuple[str, str]]:
    yield "fault to VIM", _spread(result.fault_to_vim_ms)
    if result.ran_twice is not None:  # A host was lost.
        yield "fault to proof", _spread(result.confirmed_ms)
    yield "fault to answer", _spread(result.fault_to_answering_ms)
    if result.ran_twice is not None:
        yield "ran twice", _vms(result.ran_twice)
    if result.vms_stopped is not None:
        yield "ended, healthy", _vms(result.vms_stopped)
    for key, what in SPREADS.items():
        if key in result.peers:
            yield what, _spread(result.peers[key])
    for key, what in RATIOS.items():
        if result.peers.get(key) is not None:
            yield what, f"{result.peers[key]:g} ×"
    for key, value in result.figures.items():
        if key != "rows":
            yield key.replace("_", " "), _figure(value)
    for row in result.figures.get("rows", ()):
        yield f"last of {row['vms']} VMs", _spread(row["last_alarm_ms"])


def _vms(number: int) -> str:
    return counted(number, "VM") if number else "no VM"


def _figure(value: Any) -> str:
    if value is None or isinstance(value, Spread):
        return _spread(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "not measured"
    return f"p50 {spread.p50:g} ms, p99 {spread.p99:g} ms, max {spread.max:g} ms"


def _goal(goal: Goal) -> list[str | Text]:
    sign = ">=" if goal.at_least else "<="
    measured = "-" if goal.measured is None else f"{goal.measured:g} {goal.unit}"
    met = Text("met", style=GOOD) if goal.is_met else Text("not met", style=BAD)
    return [f"{sign} {goal.limit:g} {goal.unit}", measured, met, goal.what]
