"""Writes what drills measured as a page: the goals first, then every spread, then the machine."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Result = Mapping[str, Any]

HEAD = """# Figures

Written by `make bench`, which breaks VMs and hosts in the lab and measures; do not edit. Every
figure runs from the instant of the injection to the instant at which an independent receiver had
read the whole alarm, or at which the guest's agent answered the drill itself, on one clock
(CLOCK_MONOTONIC). p99 of fewer than 100 runs is the worst run. A figure is good for the machine
named below only; ratios are taken side by side in the same runs.
"""


def render_page(results: Sequence[Result]) -> str:
    """The whole page, from the newest result of each command."""
    parts = [HEAD, *_goals(results), *_spreads(results), *_storms(results), *_notes(results)]
    return "\n".join([*parts, *_machines(results)]).rstrip() + "\n"


def _goals(results: Sequence[Result]) -> list[str]:
    rows = [
        (
            f"`{result['command'].removeprefix('holdfast drill ')}`",
            goal["what"],
            f"{'≥' if goal['at_least'] else '≤'} {_number(goal['limit'], goal['unit'])}",
            _number(goal["measured"], goal["unit"]),
            "met" if goal["met"] else "**not met**",
        )
        for result in results
        for goal in result["goals"]
    ]
    return ["## Goals", "", *_table(("drill", "what", "goal", "measured", ""), rows), ""]


def _spreads(results: Sequence[Result]) -> list[str]:
    titles = [
        *("command", "runs", "fault to VIM, ms", "fault to proof, ms", "fault to answering, ms"),
        *("libvirt's event, ms", "×", "plain start, ms", "×", "lost", "false"),
        *("ran twice", "healthy VMs ended"),
    ]
    rows = []
    for result in results:
        peers = result["peers"]
        rows.append(
            (
                f"`{result['command']} --json`",
                str(result["runs"]),
                _spread(result["fault_to_vim_ms"]),
                _spread(result.get("confirmed_ms")),
                _spread(result["fault_to_answering_ms"]),
                _spread(peers.get("libvirt_event_ms")),
                _number(peers.get("libvirt_event_ratio_median")),
                _spread(peers.get("plain_start_ms")),
                _number(peers.get("restart_ratio_median")),
                str(result["lost"]),
                str(result["false_alarms"]),
                *(_count(result.get(key)) for key in ("ran_twice", "vms_stopped")),
            )
        )
    text = "p50 / p99 / max. Peers are measured in the same runs; ratios are medians over the runs."
    return ["## Measured", "", text, "", *_table(titles, rows), ""]


def _storms(results: Sequence[Result]) -> list[str]:
    """VMs on a host that is lost: the rows of the requirement, beside the published trial."""
    titles = (
        *("command", "VMs on the lost host", "the last VM's alarm, ms"),
        *("published, told first, ms", "published, written first, ms"),
    )
    rows = [
        (
            f"`{result['command']} --json`",
            str(row["vms"]),
            _spread(row["last_alarm_ms"]),
            _number(row["published_told_first_ms"]),
            _number(row["published_written_first_ms"]),
        )
        for result in results
        for row in result["figures"].get("rows", ())
    ]
    return ["## All VMs of a lost host", "", *_table(titles, rows), ""] if rows else []


def _notes(results: Sequence[Result]) -> list[str]:
    lines = []
    for result in results:
        figures = {name: value for name, value in result["figures"].items() if name != "rows"}
        told = [f"{name} {_shown(value)}" for name, value in figures.items()]
        told += [*result["notes"], *result["overran"]]
        lines += [f"- `{result['command']}`: {'; '.join(told)}"] if told else []
    return ["## Beside", "", *lines, ""] if lines else []


def _machines(results: Sequence[Result]) -> list[str]:
    lines = {
        f"- {result['date'][:10]}: kernel {result['kernel']}, {result['cores']} cores,"
        f" guests by {result['accelerator']}, "
        + ", ".join(f"{name} {version}" for name, version in sorted(result["versions"].items()))
        for result in results
    }
    return ["## Measured on", "", *sorted(lines)]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [titles, ["---"] * len(titles), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _spread(spread: Mapping[str, float] | None) -> str:
    if spread is None:
        return "-"
    return " / ".join(_plain(spread[key]) for key in ("p50", "p99", "max"))


def _number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{_plain(value)} {unit}".strip()


def _count(value: int | None) -> str:
    """Of a drill that did not look: nothing."""
    return "-" if value is None else str(value)


def _plain(value: float) -> str:
    """Three digits that count, and no more."""
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return _spread(value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "-" if value is None else str(value)
