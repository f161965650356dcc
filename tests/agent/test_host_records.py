"""A host tells its last records each ten seconds, and at once when they jump."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from holdfast.adapters.sensors.kernel_log import KernelLog
from holdfast.agent.host_records import AGAIN_S, HostRecords
from holdfast.facts import wire

LIMIT_S = 10.0


class Kernel:
    """A kernel's log that we write, and pressure that we set."""

    def __init__(self) -> None:
        self.reads, self._writes = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)  # A read is one line.
        self.log = KernelLog(lambda: os.dup(self.reads))
        self.stalls_since = 0.0
        self._sequence = 0

    def say(self, text: str, level: int = 6) -> None:
        self._sequence += 1
        os.write(self._writes, f"{level},{self._sequence},{self._sequence},-;{text}\n".encode())

    def pressure(self) -> dict[str, str]:
        stalled_s = time.monotonic() - self.stalls_since if self.stalls_since else 0
        return {"memory": f"some total=0\nfull avg10=0.00 total={int(stalled_s * 1e6)}"}

    def close(self) -> None:
        self.log.close()
        os.close(self.reads)
        os.close(self._writes)


class Sent:
    def __init__(self) -> None:
        self.frames: list[wire.HostRecords] = []

    def __call__(self, frame: wire.Frame) -> None:
        assert isinstance(frame, wire.HostRecords)
        self.frames.append(frame)

    async def wait(self, is_it: Callable[[wire.HostRecords], bool]) -> wire.HostRecords:
        async with asyncio.timeout(LIMIT_S):
            while True:
                for frame in self.frames:
                    if is_it(frame):
                        return frame
                await asyncio.sleep(0.005)


@asynccontextmanager
async def telling(kernel: Kernel) -> AsyncIterator[tuple[HostRecords, Sent]]:
    sent = Sent()
    earlier = {"dmesg": "Oops"}
    records = HostRecords(kernel.log, "boot-1", sent, kernel.pressure, lambda: earlier, look_s=0.02)
    tasks = [
        asyncio.create_task(kernel.log.run(lambda _: None)),
        asyncio.create_task(records.run()),
    ]
    try:
        yield records, sent
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        kernel.close()


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


def test_the_first_record_is_whole(kernel: Kernel) -> None:
    async def story() -> None:
        kernel.say("Linux version 6.1")
        async with telling(kernel) as (_, sent):
            first = await sent.wait(lambda frame: bool(frame.kernel_log))
            assert first.boot == "boot-1"
            assert first.kernel_log[0].endswith("Linux version 6.1")
            assert "memory" in first.pressure
            assert first.earlier == {"dmesg": "Oops"}

    asyncio.run(story())


def test_a_grave_line_is_told_at_once_and_a_plain_one_is_not(kernel: Kernel) -> None:
    async def story() -> None:
        async with telling(kernel) as (_, sent):
            await sent.wait(lambda _: True)
            told = len(sent.frames)
            kernel.say("a plain line")
            await asyncio.sleep(0.2)
            assert len(sent.frames) == told
            kernel.say("mce: [Hardware Error]: Machine check events logged")
            grave = await sent.wait(lambda frame: bool(frame.hardware))
            assert [line.partition("] ")[2] for line in grave.kernel_log][-2:] == [
                "a plain line",
                "mce: [Hardware Error]: Machine check events logged",
            ]
            assert grave.earlier == {}

    asyncio.run(story())


def test_a_flood_of_grave_lines_is_told_together(kernel: Kernel) -> None:
    async def story() -> None:
        async with telling(kernel) as (_, sent):
            await sent.wait(lambda _: True)
            told, began = len(sent.frames), time.monotonic()
            for number in range(300):
                kernel.say(f"I/O error, dev sda, sector {number}", level=3)
                await asyncio.sleep(0.001)
            last = "I/O error, dev sda, sector 299"
            await sent.wait(lambda frame: any(last in line for line in frame.kernel_log))
            waits = (time.monotonic() - began) / AGAIN_S  # A busy machine takes longer for all.
            assert len(sent.frames) - told <= waits + 2

    asyncio.run(story())


def test_work_that_begins_to_stand_still_is_told_once(kernel: Kernel) -> None:
    async def story() -> None:
        async with telling(kernel) as (_, sent):
            await sent.wait(lambda _: True)
            told = len(sent.frames)
            kernel.stalls_since = time.monotonic()
            await asyncio.sleep(0.3)
            assert len(sent.frames) == told + 1

    asyncio.run(story())


def test_who_just_greeted_is_told_all(kernel: Kernel) -> None:
    async def story() -> None:
        kernel.say("an old line")
        async with telling(kernel) as (records, sent):
            await sent.wait(lambda frame: bool(frame.kernel_log))
            told = len(sent.frames)
            records.greeted()
            await sent.wait(lambda _: len(sent.frames) > told)
            assert sent.frames[-1].kernel_log
            assert sent.frames[-1].earlier

    asyncio.run(story())
