"""The VIM for sites without one: Holdfast itself keeps the list of alarms.

Notify first, write beside: each new record is handed to `tell` before it is written to disk.
"""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from holdfast.adapters.drivers.shelf import Shelf
from holdfast.facts.alarms import (
    AlarmRecord,
    AlarmReport,
    AlarmState,
    completed,
    record_of,
    with_acknowledgement,
)
from holdfast.ports import clock
from holdfast.ports.journal import Losses
from holdfast.ports.vim import Ownership, VimAnswer, VimVm

CLEARED_KEPT = 1_000
SHELF = "alarm"
_decoder = msgspec.json.Decoder(AlarmRecord)


class Builtin:
    """See ports.vim.Vim. `inventory` gives the VMs of a host; `tell` must return at once."""

    def __init__(
        self,
        path: Path,
        *,
        tell: Callable[[AlarmRecord], None] = lambda _: None,
        inventory: Callable[[str], Sequence[VimVm]] = lambda _: (),
        cleared_kept: int = CLEARED_KEPT,
        shelf: Shelf | None = None,
    ) -> None:
        self.owns = Ownership(definitions=False, placement=False)
        self._tell, self._inventory = tell, inventory
        self._cleared_kept = cleared_kept
        self._shelf = shelf or Shelf(path)
        self._unreadable = 0
        found = self._read()
        self._records = {r.alarm.key: r for r in sorted(found, key=lambda r: r.changed_utc_ms)}
        self._cleared = {
            key: None for key, r in self._records.items() if r.alarm.state is AlarmState.CLEARED
        }

    async def report(self, report: AlarmReport) -> VimAnswer:
        arrived_utc_ms = clock.utc_ms()
        alarm = report.alarm
        before = self._records.get(alarm.key)
        if before is not None and before.alarm.revision >= alarm.revision:
            # What it repeats may still be on its way to the disk.
            await self._shelf.kept()
            return VimAnswer(arrived_utc_ms=arrived_utc_ms, was_new=False, record=before)
        record = record_of(report, arrived_utc_ms, before)
        self._remember(record)
        self._tell(record)
        await asyncio.sleep(0)  # Those who were told send now, before anything is written.
        self._put(record.alarm.key)
        await self._shelf.kept()
        return VimAnswer(arrived_utc_ms=arrived_utc_ms, was_new=True, record=record)

    async def alarms(self, *, include_cleared: bool = False) -> list[AlarmRecord]:
        return [
            record
            for record in self._records.values()
            if include_cleared or record.alarm.state is not AlarmState.CLEARED
        ]

    async def acknowledge(self, key: str, by: str) -> AlarmRecord:
        utc_ms = clock.utc_ms()
        record = structs.replace(self._records[key], acknowledged_by=by, acknowledged_utc_ms=utc_ms)
        self._records[key] = record
        self._put(key)
        await self._shelf.kept()
        return record

    async def vms(self, host: str) -> list[VimVm]:
        return list(self._inventory(host))

    async def task_in_flight(self, vm: str) -> str:
        """It does nothing with VMs by itself: recovery is the agent's and the leader's."""
        del vm
        return ""

    async def close(self) -> None:
        await asyncio.to_thread(self._shelf.close)

    def absorb(self, record: AlarmRecord) -> bool:
        """Take over, and tell nobody, what a notifier still had to say when the program was
        killed, or what another controller told. Whether it was news."""
        key = record.alarm.key
        before = self._records.get(key)
        if before is None or before.alarm.revision < record.alarm.revision:
            self._remember(with_acknowledgement(record, before) if before else record)
        elif before.alarm.revision > record.alarm.revision:
            return False
        else:
            whole = completed(before, record)
            if whole == before:
                return False
            self._records[key] = whole
        self._put(key)
        return True

    def find(self, key: str) -> AlarmRecord | None:
        return self._records.get(key)

    def open_ones(self) -> list[AlarmRecord]:
        return [r for r in self._records.values() if r.alarm.state is not AlarmState.CLEARED]

    def forget(self, key: str) -> None:
        """It is over, and its end was told elsewhere."""
        if self._records.pop(key, None) is not None:
            self._cleared.pop(key, None)
            self._shelf.put(SHELF, key, None)

    def note_answer(self, key: str, answered_utc_ms: int, fault_to_answer_ms: float | None) -> None:
        """Somebody outside answered for an alarm; the first answer stands."""
        record = self._records.get(key)
        if record is None or record.answered_utc_ms is not None:
            return
        self._records[key] = structs.replace(
            record, answered_utc_ms=answered_utc_ms, fault_to_answer_ms=fault_to_answer_ms
        )
        self._put(key)

    def losses(self) -> Losses:
        lost = self._shelf.losses()
        if not self._unreadable:
            return lost
        reason = lost.reason or f"{self._unreadable} alarms could not be read back"
        return Losses(count=lost.count + self._unreadable, reason=reason)

    def _remember(self, record: AlarmRecord) -> None:
        key = record.alarm.key
        self._records.pop(key, None)  # The newest stands last.
        self._cleared.pop(key, None)
        self._records[key] = record
        if record.alarm.state is AlarmState.CLEARED:
            self._cleared[key] = None
            while len(self._cleared) > self._cleared_kept:
                oldest = next(iter(self._cleared))
                del self._cleared[oldest], self._records[oldest]
                self._shelf.put(SHELF, oldest, None)

    def _put(self, key: str) -> None:
        record = self._records.get(key)
        if record is not None:
            self._shelf.put(SHELF, key, msgspec.json.encode(record))

    def _read(self) -> list[AlarmRecord]:
        found = []
        for value in self._shelf.all(SHELF).values():
            try:
                found.append(_decoder.decode(value))
            except msgspec.MsgspecError:
                self._unreadable += 1
        return found


PLUGIN = Builtin
