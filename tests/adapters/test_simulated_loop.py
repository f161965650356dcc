"""A loop in virtual time is a loop: asyncio runs on it unchanged, and nobody waits."""

import asyncio
import time

import pytest

from holdfast.adapters.simulated.clock import Clock, HostClock
from holdfast.adapters.simulated.virtual_loop import Deadlock, Spinning, VirtualLoop


def test_an_hour_passes_at_once_and_to_the_nanosecond() -> None:
    clock = Clock()
    loop = VirtualLoop(clock)

    async def work() -> float:
        before = asyncio.get_running_loop().time()
        await asyncio.sleep(3_600)
        return asyncio.get_running_loop().time() - before

    began = time.monotonic()
    assert loop.run_until_complete(work()) == 3_600
    assert clock.now == 3_600 * 10**9
    assert time.monotonic() - began < 5


def test_tasks_queues_groups_threads_and_limits_work_as_ever() -> None:
    async def produce(queue: "asyncio.Queue[int]") -> None:
        for number in range(3):
            await asyncio.sleep(1)
            queue.put_nowait(number)

    async def work() -> list[object]:
        queue: asyncio.Queue[int] = asyncio.Queue()
        said: list[object] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(produce(queue))
            said += [await queue.get() for _ in range(3)]
        try:
            async with asyncio.timeout(0.5):
                await asyncio.Event().wait()
        except TimeoutError:
            said.append("late")
        said.append(await asyncio.to_thread(lambda: "a thread"))
        return [*said, asyncio.get_running_loop().time()]

    assert VirtualLoop(Clock()).run_until_complete(work()) == [0, 1, 2, "late", "a thread", 3.5]


def test_what_will_never_happen_and_what_never_rests_are_errors() -> None:
    async def wait_for_ever() -> None:
        await asyncio.Event().wait()

    async def spin() -> None:
        for _ in range(1_000_000):
            await asyncio.sleep(0)

    for work, error in ((wait_for_ever, Deadlock), (spin, Spinning)):
        loop = VirtualLoop(Clock())
        with pytest.raises(error):
            loop.run_until_complete(work())
        loop.bury()


def test_what_a_process_makes_ready_comes_after_what_others_do_at_that_instant() -> None:
    clock = Clock()
    one, other = VirtualLoop(clock), VirtualLoop(clock)
    said: list[str] = []

    def begin() -> None:
        said.append("one begins")
        one.call_soon(said.append, "one goes on")

    one.call_later(1, begin)
    other.call_later(1, said.append, "other")
    clock.run_until(2_000_000_000)
    assert said == ["one begins", "other", "one goes on"]


def test_a_process_that_freezes_itself_runs_nothing_more() -> None:
    clock = Clock()
    loop = VirtualLoop(clock)
    said: list[str] = []
    loop.call_soon(loop.call_soon, said.append, "after")
    loop.call_soon(loop.freeze)
    clock.run_until(1)
    assert said == []
    loop.thaw()
    clock.run_until(2)
    assert said == ["after"]


def test_each_process_has_its_own_time_and_can_be_frozen_starved_and_killed() -> None:
    clock = Clock()
    said: list[tuple[str, int]] = []

    async def tick(name: str) -> None:
        while True:
            await asyncio.sleep(1)
            said.append((name, clock.now // 10**6))

    fast = VirtualLoop(clock, HostClock(clock, ppm=500))
    frozen, starved, killed = (VirtualLoop(clock) for _ in range(3))
    loops = {"fast": fast, "frozen": frozen, "starved": starved, "killed": killed}
    for name, loop in loops.items():
        loop.create_task(tick(name))
    starved.lag_ms = 300
    clock.at(1_500 * 10**6, frozen.freeze)
    clock.at(1_500 * 10**6, killed.kill)
    clock.at(2_700 * 10**6, frozen.thaw)
    clock.run_until(3 * 10**9)
    by_name = {name: [at for who, at in said if who == name] for name in loops}
    assert by_name == {
        "fast": [999, 1_999, 2_998],
        "frozen": [1_000, 2_700],
        "starved": [1_300, 2_600],
        "killed": [1_000],
    }
    for loop in loops.values():
        loop.bury()


def test_a_clock_that_drifts_finds_its_own_instants() -> None:
    clock = Clock()
    for ppm in (-500, 0, 17, 500):
        own = HostClock(clock, ppm=ppm, begins_ns=123)
        for instant in (124, 10**9 + 1, 3_600 * 10**9 + 7):
            clock.now = own.virtual_at(instant)
            assert own.monotonic_ns() >= instant
            clock.now -= 1
            assert own.monotonic_ns() < instant
        clock.now = 0
