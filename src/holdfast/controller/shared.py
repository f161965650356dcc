"""Alarms that all replicas share: told to notifiers by one of them, known to each of them.

After an alarm was handed to the notifiers, it is written beside them into the store, and again when
one of them has answered. The leader hands on what nobody is known to have got: all of it when it
comes to lead, and later what another one did not tell in time, or did not know to be worth telling.
Nothing is told later because of this: a store that is away only makes others tell it once more.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
from msgspec import Struct, structs

from holdfast.controller.shared_folder import SharedFolder
from holdfast.facts.alarms import Alarm, AlarmRecord, AlarmState, completed, with_acknowledgement
from holdfast.ports import clock
from holdfast.ports.store import Store

FOLDER = "alarms"
ANSWER_WAIT_S = 0.2  # Less than an agent waits before it tells the next controller.
SAFE_LIMIT_S = 1.0
TELL_LIMIT_S = 10.0  # So long the leader leaves it to the one who was told.
CLEARED_KEPT_MS = 3_600_000
CLEARED_MOST = 1_000
assert ANSWER_WAIT_S < 0.25 < SAFE_LIMIT_S


class SharedAlarm(Struct, frozen=True, kw_only=True):
    """`told` are the notifiers that have answered for this revision, by name; `heard` those that
    had answered for an earlier one since it was raised, so that they must hear of its end."""

    record: AlarmRecord
    told: tuple[str, ...] = ()
    heard: tuple[str, ...] = ()


Missing = tuple[AlarmRecord, Collection[str]]


class _Open(Struct):
    """Which revision and earlier hearers this is of, since when, and to whom it was handed."""

    known: tuple[int, tuple[str, ...]]
    since_s: float
    handed: set[str] = msgspec.field(default_factory=set)


class SharedAlarms:
    """`absorb` takes what another replica told; `hand` hands records on, each to its notifiers.

    `kept` hears that the store has it, `forget` that it has it no more.
    `notifiers` are ours, and for how many seconds each may be on its way through another
    controller; those in `quick` answer at once, where all is well.
    """

    def __init__(
        self,
        store: Store,
        *,
        absorb: Callable[[AlarmRecord], None],
        hand: Callable[[Sequence[Missing]], None],
        notifiers: Mapping[str, float],
        quick: Collection[str] = (),
        kept: Callable[[str], None] = lambda _: None,
        forget: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._note_kept = kept
        self._absorb, self._hand, self._forget = absorb, hand, forget
        self._notifiers, self._quick = dict(notifiers), list(quick)
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._term = 0
        self._open: dict[str, _Open] = {}  # What somebody is not known to have got, in this term.
        self.folder: SharedFolder[SharedAlarm] = SharedFolder(
            store,
            FOLDER,
            SharedAlarm,
            merged,
            taken=self._taken,
            kept=self._kept,
            gone=self._gone,
        )

    def note(self, record: AlarmRecord, told: tuple[str, ...] = ()) -> None:
        """It was handed to the notifiers, acknowledged, or its times became known."""
        self.folder.put(record.alarm.key, SharedAlarm(record=record, told=told))

    def answered(self, record: AlarmRecord, notifier: str) -> None:
        """This notifier has it, or has refused it for good."""
        alarm = record.alarm
        known = self.folder.get(alarm.key)
        if known is not None and known.record.alarm.revision == alarm.revision:
            if notifier not in known.told:
                told = (*known.told, notifier)
                self.folder.put(alarm.key, structs.replace(known, told=told))
            self._wake(alarm.key)

    def was_told(self, record: AlarmRecord, notifier: str) -> bool:
        """Whether this notifier has got it since it was raised, from whichever controller."""
        known = self.folder.get(record.alarm.key)
        if known is None:
            return False
        if not _is_over(known):
            return notifier in (*known.told, *known.heard)
        return record.alarm.state is AlarmState.CLEARED and notifier in known.heard

    def adopt(self, term: int) -> bool:
        """As the leader, again and again: hand on what some notifier is not known to have got.
        Whether this term has only begun."""
        is_new, now = term != self._term, clock.monotonic_s()
        if is_new:
            self._term, self._open = term, {}
        found: list[Missing] = []
        for key, shared in self.folder.all().items():
            missing = [name for name in self._notifiers if name not in shared.told]
            if not missing:
                self._open.pop(key, None)
                continue
            known = shared.record.alarm.revision, shared.heard
            if key not in self._open or self._open[key].known != known:
                self._open[key] = _Open(known, now)
            waits = self._open[key]
            due = [
                name
                for name in missing
                if name not in waits.handed
                and (is_new or now - waits.since_s >= self._notifiers[name])
            ]
            if due:
                waits.handed.update(due)
                found.append((shared.record, due))
        if found:
            self._hand(found)
        return is_new

    async def wait_safe(self, alarm: Alarm) -> None:
        """Return when its notifier has answered, or else the store has it; in any case soon."""
        if self._quick:
            await self._wait(alarm, ANSWER_WAIT_S, self._is_told)
        await self._wait(alarm, SAFE_LIMIT_S, lambda one: self._is_told(one) or self._is_kept(one))

    def outlived(self) -> list[str]:
        """What may be deleted from the store: cleared long ago, or too many."""
        cleared = [
            (shared.record.changed_utc_ms, key)
            for key, shared in self.folder.all().items()
            if _is_over(shared)
        ]
        oldest = clock.utc_ms() - CLEARED_KEPT_MS
        newest_first = sorted(cleared, reverse=True)
        return [
            key
            for number, (changed, key) in enumerate(newest_first)
            if changed < oldest or number >= CLEARED_MOST
        ]

    def _is_told(self, alarm: Alarm) -> bool:
        known = self.folder.get(alarm.key)
        if known is None:
            return False
        newer = known.record.alarm.revision - alarm.revision
        return newer > 0 or (newer == 0 and bool(known.told))

    def _is_kept(self, alarm: Alarm) -> bool:
        stored = self.folder.stored(alarm.key)
        return stored is not None and stored.record.alarm.revision >= alarm.revision

    async def _wait(self, alarm: Alarm, limit_s: float, is_so: Callable[[Alarm], bool]) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit_s):
                while not is_so(alarm):
                    future: asyncio.Future[None] = loop.create_future()
                    self._waiting.setdefault(alarm.key, []).append(future)
                    await future
        except TimeoutError:
            return

    def _wake(self, key: str) -> None:
        for future in self._waiting.pop(key, ()):
            if not future.done():
                future.set_result(None)

    def _taken(self, shared: SharedAlarm) -> None:
        self._absorb(shared.record)

    def _kept(self, key: str) -> None:
        self._note_kept(key)
        self._wake(key)

    def _gone(self, key: str) -> None:
        self._open.pop(key, None)
        self._forget(key)


def merged(one: SharedAlarm, other: SharedAlarm) -> SharedAlarm:
    """The higher revision, and who had heard of it, or had seen it, before; of one revision, all
    that either knows of it."""
    mine, theirs = one.record, other.record
    if mine.alarm.revision != theirs.alarm.revision:
        older, newer = sorted((one, other), key=lambda shared: shared.record.alarm.revision)
        heard = () if _is_over(older) else (*older.heard, *older.told)
        record = with_acknowledgement(newer.record, older.record)
        return structs.replace(newer, record=record, heard=_joined(newer.heard, heard))
    record = completed(mine, theirs)
    told, heard = _joined(one.told, other.told), _joined(one.heard, other.heard)
    return structs.replace(one, record=record, told=told, heard=heard)


def _joined(names: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*names, *more)))


def _is_over(shared: SharedAlarm) -> bool:
    return shared.record.alarm.state is AlarmState.CLEARED
