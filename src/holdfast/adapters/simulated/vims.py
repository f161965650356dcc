"""Two VIMs in memory: one like the built-in, and one like Nova, which acts by itself."""

import asyncio
import time
from collections.abc import Sequence

from msgspec import structs

from holdfast.facts.alarms import AlarmRecord, AlarmReport, AlarmState, record_of
from holdfast.facts.instants import NS_PER_MS
from holdfast.ports.vim import Ownership, VimAnswer, VimAway, VimRefused, VimVm

NOVA_STOPPED_DELAY_S = 15.0


class VimInMemory:
    """See ports.vim.Vim; like the built-in one. It can be away, slow, or refuse."""

    def __init__(self, vms: Sequence[VimVm] = ()) -> None:
        self.owns = Ownership(definitions=False, placement=False)
        self.is_away = False
        self.refuses = ""  # A condition that it will not have.
        self.delay_s = 0.0
        self._vms = {vm.vm: vm for vm in vms}
        self._records: dict[str, AlarmRecord] = {}

    async def report(self, report: AlarmReport) -> VimAnswer:
        await self._serve()
        if self.refuses == report.alarm.condition:
            raise VimRefused(f"it will have no {self.refuses}")
        utc_ms = time.time_ns() // NS_PER_MS
        before = self._records.get(report.alarm.key)
        if before is not None and before.alarm.revision >= report.alarm.revision:
            return VimAnswer(arrived_utc_ms=utc_ms, was_new=False, record=before)
        record = self._records[report.alarm.key] = record_of(report, utc_ms, before)
        return VimAnswer(arrived_utc_ms=utc_ms, was_new=True, record=record)

    async def alarms(self, *, include_cleared: bool = False) -> list[AlarmRecord]:
        await self._serve()
        return [
            record
            for record in self._records.values()
            if include_cleared or record.alarm.state is not AlarmState.CLEARED
        ]

    async def acknowledge(self, key: str, by: str) -> AlarmRecord:
        await self._serve()
        utc_ms = time.time_ns() // NS_PER_MS
        record = structs.replace(self._records[key], acknowledged_by=by, acknowledged_utc_ms=utc_ms)
        self._records[key] = record
        return record

    async def vms(self, host: str) -> list[VimVm]:
        await self._serve()
        return [vm for vm in self._vms.values() if vm.host == host]

    async def task_in_flight(self, vm: str) -> str:
        await self._serve()
        return self._vms[vm].task if vm in self._vms else ""

    async def close(self) -> None:
        pass

    async def _serve(self) -> None:
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if self.is_away:
            raise VimAway("the VIM is away, as it was told to be")


class VimLikeNova(VimInMemory):
    """It owns definitions and placement, and acts by itself.

    A crashed VM still shows as ACTIVE; `stopped_delay_s` after the crash Nova stops it by itself,
    and it shows as an ordinary SHUTOFF. While a task is in flight a restart in place would collide.
    Time is an argument: `pass_time`.
    """

    def __init__(
        self, vms: Sequence[VimVm] = (), stopped_delay_s: float = NOVA_STOPPED_DELAY_S
    ) -> None:
        super().__init__(vms)
        self.owns = Ownership(definitions=True, placement=True)
        self._stopped_delay_s = stopped_delay_s
        self._now_s = 0.0
        self._crashed_at: dict[str, float] = {}

    def begin_task(self, vm: str, task: str) -> None:
        """As a person or the cloud does: `rebooting`, `migrating`, `powering-off`."""
        self._vms[vm] = structs.replace(self._vms[vm], task=task)

    def end_task(self, vm: str, state: str) -> None:
        self._vms[vm] = structs.replace(self._vms[vm], task="", state=state)

    def move(self, vm: str, host: str) -> None:
        self._vms[vm] = structs.replace(self._vms[vm], host=host)

    def crash(self, vm: str) -> None:
        """An event of libvirt reaches nova-compute: nothing shows yet."""
        self._crashed_at[vm] = self._now_s

    def restart(self, vm: str) -> None:
        """Somebody started it below Nova: its delayed stop finds a VM that runs."""
        self._crashed_at.pop(vm, None)

    def pass_time(self, seconds: float) -> None:
        self._now_s += seconds
        for vm, at in list(self._crashed_at.items()):
            if self._now_s - at >= self._stopped_delay_s:
                del self._crashed_at[vm]
                self._vms[vm] = structs.replace(self._vms[vm], state="SHUTOFF", task="")
