"""What a pager is not told at once: a mere suspicion, which may be taken back in a second.

It is told when the suspicion became certain, or has stood for a while. What was never told is not
taken back either. Keys of what was told are kept on disk, so that a restart changes nothing of it.
"""

from collections.abc import Iterable

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.facts.alarms import AlarmRecord, AlarmState
from holdfast.facts.instants import NS_PER_S, Instant, after
from holdfast.facts.verdicts import Certainty
from holdfast.policy.timing import PAGE_AFTER_MS
from holdfast.ports import clock


class Patience:
    """`name` is the notifier's."""

    def __init__(self, name: str, shelf: Shelf) -> None:
        self._folder, self._shelf = f"paged {name}", shelf
        self._told = set(shelf.all(self._folder))
        self._held: dict[str, tuple[Instant, AlarmRecord]] = {}

    def keeps(self, record: AlarmRecord) -> bool:
        """Whether this is not to be told now; it may be later, or never."""
        key = record.alarm.key
        if record.alarm.state is AlarmState.CLEARED:
            was_held = self._held.pop(key, None) is not None
            was_told = key in self._told
            self._forget(key)
            is_suspicion = record.alarm.certainty is Certainty.SUSPECTED
            return was_held or (is_suspicion and not was_told)
        if record.alarm.certainty is not Certainty.SUSPECTED or key in self._told:
            self._held.pop(key, None)
            self._note(key)
            return False
        due = self._held[key][0] if key in self._held else _due(record)
        self._held[key] = (due, record)
        return True

    def restore(self, records: Iterable[AlarmRecord]) -> None:
        """After a restart: suspicions that stand, and were not told yet, are held again."""
        for record in records:
            is_suspicion = record.alarm.certainty is Certainty.SUSPECTED
            is_open = record.alarm.state is not AlarmState.CLEARED
            if is_open and is_suspicion and record.alarm.key not in self._told:
                self._held.setdefault(record.alarm.key, (_due(record), record))

    def take_due(self) -> list[AlarmRecord]:
        """Those that have stood long enough, the oldest first: they are told now."""
        now = clock.now()
        due = [record for at, record in self._held.values() if at <= now]
        for record in due:
            del self._held[record.alarm.key]
            self._note(record.alarm.key)
        return due

    def wait_s(self) -> float | None:
        """Until the first of them is due; None: nothing is held."""
        first = min((at for at, _ in self._held.values()), default=None)
        return None if first is None else max(0.001, (first - clock.now()) / NS_PER_S)

    def _note(self, key: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._shelf.put(self._folder, key, b"1")

    def _forget(self, key: str) -> None:
        if key in self._told:
            self._told.discard(key)
            self._shelf.put(self._folder, key, None)


def _due(record: AlarmRecord) -> Instant:
    """Counted from when it was raised, as far as the wall clock can be believed."""
    stood_ms = min(max(0, clock.utc_ms() - record.raised_utc_ms), PAGE_AFTER_MS)
    return after(clock.now(), PAGE_AFTER_MS - stood_ms)
