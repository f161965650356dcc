"""What every VIM keeps: the contract that the built-in one and the fakes are tested by."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from holdfast.facts.alarms import Alarm, AlarmReport, AlarmState, Severity
from holdfast.facts.instants import Instant
from holdfast.facts.subjects import vm_subject
from holdfast.facts.verdicts import Certainty
from holdfast.ports.vim import Ownership, Vim, VimVm

LIMIT_S = 10.0
VMS = (
    VimVm(vm="vm-1", name="web-1", host="host-a", state="ACTIVE"),
    VimVm(vm="vm-2", name="web-2", host="host-b", state="ACTIVE"),
)


def told(
    number: int = 1,
    revision: int = 1,
    state: AlarmState = AlarmState.RAISED,
    fault_age_us: int = 2_500,
) -> AlarmReport:
    alarm = Alarm(
        key=f"vm-1/boot/{number}.1:vm-gone",
        condition="vm-gone",
        revision=revision,
        state=state,
        subject=vm_subject("vm-1", "web-1"),
        host="host-a",
        boot="boot",
        certainty=Certainty.CERTAIN,
        severity=Severity.CRITICAL,
        text=f"revision {revision}",
        fault_at=Instant(1),
        detected_at=Instant(2),
    )
    return AlarmReport(
        alarm=alarm,
        fault_age_us=fault_age_us,
        detected_age_us=1_000,
        sent_utc_ms=time.time_ns() // 1_000_000,
    )


class VimContract:
    owns: Ownership

    def make(self) -> Vim:
        """With VMS."""
        raise NotImplementedError

    def run(self, work: Callable[[Vim], Awaitable[None]]) -> None:
        async def whole() -> None:
            vim = self.make()
            try:
                async with asyncio.timeout(LIMIT_S):
                    await work(vim)
            finally:
                await vim.close()

        asyncio.run(whole())

    def test_a_raised_alarm_is_listed_with_its_times(self) -> None:
        async def work(vim: Vim) -> None:
            report = told()
            answer = await vim.report(report)
            assert answer.was_new
            assert answer.arrived_utc_ms >= report.sent_utc_ms
            [record] = await vim.alarms()
            assert record.alarm == report.alarm == answer.record.alarm
            assert record.fault_utc_ms == report.sent_utc_ms - 2
            assert record.detected_utc_ms == report.sent_utc_ms - 1
            assert record.arrived_utc_ms == answer.arrived_utc_ms
            assert record.fault_to_arrival_ms == 2.5

        self.run(work)

    def test_a_duplicate_and_a_late_revision_are_accepted_and_change_nothing(self) -> None:
        async def work(vim: Vim) -> None:
            await vim.report(told(revision=3))
            before = await vim.alarms()
            for revision in (3, 2, 1):
                answer = await vim.report(told(revision=revision))
                assert not answer.was_new
            assert await vim.alarms() == before

        self.run(work)

    def test_a_late_suspicion_reopens_nothing(self) -> None:
        async def work(vim: Vim) -> None:
            await vim.report(told(revision=1))
            await vim.report(told(revision=3, state=AlarmState.CLEARED))
            assert not (await vim.report(told(revision=2, state=AlarmState.CHANGED))).was_new
            assert await vim.alarms() == []
            [record] = await vim.alarms(include_cleared=True)
            assert record.cleared_utc_ms is not None
            assert record.raised_utc_ms <= record.cleared_utc_ms

        self.run(work)

    def test_later_revisions_keep_the_time_of_the_first_report(self) -> None:
        async def work(vim: Vim) -> None:
            first = (await vim.report(told(revision=1))).record
            later = told(revision=2, state=AlarmState.CLEARED, fault_age_us=60_000_000)
            record = (await vim.report(later)).record
            assert record.fault_to_arrival_ms == first.fault_to_arrival_ms == 2.5
            assert record.raised_utc_ms == first.raised_utc_ms

        self.run(work)

    def test_who_acknowledged_is_kept_until_the_alarm_is_raised_anew(self) -> None:
        async def work(vim: Vim) -> None:
            report = told(revision=1)
            await vim.report(report)
            record = await vim.acknowledge(report.alarm.key, "anna")
            assert record.acknowledged_by == "anna"
            changed = await vim.report(told(revision=2, state=AlarmState.CHANGED))
            assert changed.record.acknowledged_by == "anna"
            await vim.report(told(revision=3, state=AlarmState.CLEARED))
            anew = await vim.report(told(revision=4))
            assert anew.record.acknowledged_by == ""
            with pytest.raises(KeyError):
                await vim.acknowledge("no such alarm", "anna")

        self.run(work)

    def test_it_says_what_it_owns_and_which_vms_it_sees(self) -> None:
        async def work(vim: Vim) -> None:
            assert vim.owns == self.owns
            assert [vm.vm for vm in await vim.vms("host-a")] == ["vm-1"]
            assert await vim.vms("no such host") == []
            assert await vim.task_in_flight("vm-1") == ""

        self.run(work)
