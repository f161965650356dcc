"""What firmware kept of a crash of this host's kernel: read once after a boot, and told once."""

import asyncio
import logging
import time
from collections.abc import Callable

from holdfast.adapters.drivers.hardware_memory import HardwareMemory
from holdfast.adapters.drivers.pstore import CrashRecord, read_records
from holdfast.facts.hardware import KernelCrashed
from holdfast.facts.instants import Instant
from holdfast.ports.clock import utc_ms
from holdfast.ports.sensor import See, Sensor

log = logging.getLogger(__name__)

LOOKS = (0.0, 5.0, 30.0, 120.0)  # systemd moves the records while the host boots.
KEPT = 64
NEWS_MS = 7 * 24 * 3_600_000  # What is older when it is first seen is history.
CRASH = ("dmesg-", "mce-")  # Kinds of records. Source: fs/pstore/inode.c.


class CrashRecords:
    """A record of before this agent was installed is told, too, unless it is old."""

    name = "crash_records"

    def __init__(
        self,
        memory: HardwareMemory,
        read: Callable[[], list[CrashRecord]] = read_records,
    ) -> None:
        self._memory, self._read = memory, read
        self.state = "not looked yet"

    async def run(self, see: See) -> None:
        for pause_s in LOOKS:
            await asyncio.sleep(pause_s)
            await self._look(see)
        await asyncio.get_running_loop().create_future()

    async def _look(self, see: See) -> None:
        """The records of one crash are one: that which names the panic is told, or the newest."""
        records = [one for one in await asyncio.to_thread(self._read) if _is_crash(one)]
        self.state = f"{len(records)} crash records are here"
        known = set(self._memory.known.crashes)
        new = [one for one in records if _key(one) not in known]
        if not new:
            return
        news = [one for one in new if utc_ms() - one.written_utc_ms < NEWS_MS]
        if news:
            told = next((one for one in news if "panic" in one.text.lower()), news[0])
            see(
                KernelCrashed(
                    at=Instant(time.monotonic_ns()),
                    record=told.name,
                    last_words=told.text,
                    written_utc_ms=told.written_utc_ms,
                )
            )
        kept = [*self._memory.known.crashes, *(_key(one) for one in new)][-KEPT:]
        try:
            await asyncio.to_thread(lambda: self._memory.change(crashes=tuple(kept)))
        except OSError as error:
            log.warning("that a crash was told cannot be kept, and it is told again: %s", error)


def _is_crash(record: CrashRecord) -> bool:
    return record.name.rpartition("/")[2].startswith(CRASH)


def _key(record: CrashRecord) -> str:
    """Systemd moves a record into a folder of its own, and keeps its time."""
    return f"{record.name.rpartition('/')[2]}@{record.written_utc_ms // 1_000}"


PLUGIN: type[Sensor] = CrashRecords
