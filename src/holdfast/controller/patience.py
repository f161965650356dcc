"""What a pager is not told at once: a mere suspicion, which may be taken back in a second.

It is told when the suspicion became certain, or has stood for a while. What was never told is not
taken back either. Keys of what was told are kept on disk, so that a restart changes nothing of it.

Of several controllers each holds what is suspected, whoever reported it, and the leader tells it.
The others tell it only when nobody is known to have done so a while later: rather twice than never.
"""

from collections.abc import Callable, Iterable

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.facts.alarms import AlarmRecord, AlarmState
from holdfast.facts.instants import NS_PER_S, Instant, after
from holdfast.facts.verdicts import Certainty
from holdfast.policy.timing import PAGE_AFTER_MS
from holdfast.ports import clock

LEFT_TO_LEADER_MS = 10_000  # So long it may take to tell it, and to let the others know.


class Patience:
    """`name` is the notifier's. `is_ours`: this controller leads, or is alone; `told_elsewhere`
    says whether another controller has told an alarm since it was raised."""

    def __init__(self, name: str, shelf: Shelf) -> None:
        self.is_ours: Callable[[], bool] = lambda: True
        self.told_elsewhere: Callable[[AlarmRecord], bool] = lambda _: False
        self._folder, self._shelf = f"paged {name}", shelf
        self._told = set(shelf.all(self._folder))
        self._held: dict[str, tuple[Instant, AlarmRecord]] = {}

    def keeps(self, record: AlarmRecord) -> bool:
        """Whether this is not to be told now; it may be later, or never."""
        key = record.alarm.key
        if record.alarm.state is AlarmState.CLEARED:
            was_held, was_told = key in self._held, self._was_told(record)
            self.forget(key)
            return not was_told and (was_held or _is_suspicion(record))
        if not _is_suspicion(record) or self._was_told(record):
            self._held.pop(key, None)
            self._note(key)
            return False
        self._hold(record)
        return True

    def absorb(self, record: AlarmRecord, *, is_end_told: bool) -> bool:
        """Another controller said this. Whether we tell it all the same: what we told is over, and
        whoever ended it did not know that it was told (`is_end_told` says that they did)."""
        key = record.alarm.key
        if record.alarm.state is AlarmState.CLEARED:
            is_ours_to_end = key in self._told and not is_end_told
            self.forget(key)
            return is_ours_to_end
        if not _is_suspicion(record):
            self._held.pop(key, None)
        elif not self._was_told(record):
            self._hold(record)
        return False

    def restore(self, records: Iterable[AlarmRecord]) -> None:
        """After a restart: suspicions that stand, and were not told yet, are held again."""
        for record in records:
            is_open = record.alarm.state is not AlarmState.CLEARED
            if is_open and _is_suspicion(record) and record.alarm.key not in self._told:
                self._held.setdefault(record.alarm.key, (_due(record), record))

    def take_due(self) -> list[AlarmRecord]:
        """Those that have stood long enough, the oldest first: they are told now."""
        now, left_ms = clock.now(), self._left_ms()
        due = [record for at, record in self._held.values() if after(at, left_ms) <= now]
        for record in due:
            del self._held[record.alarm.key]
        ours = [record for record in due if not self.told_elsewhere(record)]
        for record in ours:
            self._note(record.alarm.key)
        return ours

    def wait_s(self) -> float | None:
        """Until the first of them is due; None: nothing is held."""
        first = min((at for at, _ in self._held.values()), default=None)
        if first is None:
            return None
        return max(0.001, (after(first, self._left_ms()) - clock.now()) / NS_PER_S)

    def forget(self, key: str) -> None:
        """It is over."""
        self._held.pop(key, None)
        if key in self._told:
            self._told.discard(key)
            self._shelf.put(self._folder, key, None)

    def _left_ms(self) -> int:
        return 0 if self.is_ours() else LEFT_TO_LEADER_MS

    def _was_told(self, record: AlarmRecord) -> bool:
        return record.alarm.key in self._told or self.told_elsewhere(record)

    def _hold(self, record: AlarmRecord) -> None:
        known = self._held.get(record.alarm.key)
        self._held[record.alarm.key] = (known[0] if known else _due(record), record)

    def _note(self, key: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._shelf.put(self._folder, key, b"1")


def _is_suspicion(record: AlarmRecord) -> bool:
    return record.alarm.certainty is Certainty.SUSPECTED


def _due(record: AlarmRecord) -> Instant:
    """Counted from when it was raised, as far as the wall clock can be believed."""
    stood_ms = min(max(0, clock.utc_ms() - record.raised_utc_ms), PAGE_AFTER_MS)
    return after(clock.now(), PAGE_AFTER_MS - stood_ms)
