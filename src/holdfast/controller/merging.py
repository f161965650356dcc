"""Journals of several programs as one story, in the order of causes and not of clocks.

What is known for sure: the order within each journal, and that nobody took over an alarm before it
was reported. Whatever that leaves open is laid in the order of the wall clocks, which may be wrong.
"""

import heapq
from collections.abc import Iterable, Mapping
from typing import Any

Record = dict[str, Any]
Alarm = tuple[str, int]  # Key and revision.


class _Turn:
    """An input and what was done because of it; never torn apart."""

    def __init__(self, source: str, number: int) -> None:
        self.source, self.number = source, number
        self.records: list[Record] = []
        self.after: list[_Turn] = []  # Those that cannot have come before this one.
        self.awaited = 0

    @property
    def when(self) -> tuple[int, str, int]:
        return int(self.records[0].get("utc_ms", 0)), self.source, self.number


def merge(journals: Mapping[str, Iterable[Record]]) -> list[Record]:
    """Each record gets `from`, the name of its journal."""
    turns = [turn for name, records in journals.items() for turn in _turns(name, records)]
    _link(turns)
    ready = [(turn.when, turn) for turn in turns if not turn.awaited]
    heapq.heapify(ready)
    merged: list[Record] = []
    left = len(turns)
    while ready:
        _, turn = heapq.heappop(ready)
        left -= 1
        merged += [{**record, "from": turn.source} for record in turn.records]
        for later in turn.after:
            later.awaited -= 1
            if not later.awaited:
                heapq.heappush(ready, (later.when, later))
    assert not left, "causes go in a circle: an alarm was taken over before it was reported"
    return merged


def _turns(source: str, records: Iterable[Record]) -> list[_Turn]:
    found: list[_Turn] = []
    for record in records:
        if not found or record.get("kind") != "action":
            found.append(_Turn(source, len(found)))
        found[-1].records.append(record)
    return found


def _link(turns: list[_Turn]) -> None:
    """Within each journal one after the other; across, from a report to those who took it over."""
    reported: dict[Alarm, _Turn] = {}
    before: dict[str, _Turn] = {}
    for turn in turns:
        if turn.source in before:
            _follows(turn, before[turn.source])
        before[turn.source] = turn
        for record in turn.records:
            alarm = _alarm(record, "Report")
            if alarm is not None:
                reported.setdefault(alarm, turn)
    for turn in turns:
        alarm = _alarm(turn.records[0], "AlarmShared")
        origin = reported.get(alarm) if alarm is not None else None
        if origin is None or origin.source == turn.source or _leads_to(turn, origin):
            continue
        _follows(turn, origin)


def _follows(later: _Turn, earlier: _Turn) -> None:
    earlier.after.append(later)
    later.awaited += 1


def _leads_to(first: _Turn, target: _Turn) -> bool:
    """Whether `target` is already known to come after `first`."""
    seen: set[int] = set()
    waiting = [first]
    while waiting:
        turn = waiting.pop()
        if turn is target:
            return True
        if id(turn) not in seen:
            seen.add(id(turn))
            waiting += turn.after
    return False


def _alarm(record: Record, name: str) -> Alarm | None:
    body = record.get("body")
    if not isinstance(body, dict) or body.get("is") != name:
        return None
    alarm = body.get("alarm")
    if not isinstance(alarm, dict):
        return None
    return str(alarm.get("key", "")), int(alarm.get("revision", 0))
