"""What every sensor does: it looks until it is cancelled, ends at once, and can be begun again."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from holdfast.facts.observations import Observation
from holdfast.ports.sensor import Sensor

END_LIMIT_S = 5.0
LIMIT_S = 20.0


class SensorContract:
    """`see_something` lets the world do what this sensor looks at; None where it cannot here."""

    def make(self) -> Sensor:
        raise NotImplementedError

    async def see_something(self) -> None:
        pytest.skip("what it looks at is not on this machine: its lab test shows it")

    def test_its_name_is_that_of_its_file(self) -> None:
        sensor = self.make()
        module = type(sensor).__module__
        assert sensor.name == module.rpartition(".")[2] or ".simulated." in module

    def test_it_runs_until_it_is_cancelled_and_leaves_nothing_behind(self) -> None:
        async def story() -> None:
            before = children()
            task = asyncio.create_task(self.make().run(lambda _: None))
            await asyncio.sleep(0.3)
            assert not task.done()
            await end(task)
            assert children() == before
            assert asyncio.all_tasks() == {asyncio.current_task()}

        asyncio.run(story())

    def test_it_can_be_begun_again(self) -> None:
        async def story() -> None:
            sensor = self.make()
            for _ in range(2):
                task = asyncio.create_task(sensor.run(lambda _: None))
                await asyncio.sleep(0.1)
                assert not task.done()
                await end(task)

        asyncio.run(story())

    def test_what_it_sees_is_handed_over_as_observations(self) -> None:
        async def story() -> None:
            seen: list[Observation] = []
            has_seen = asyncio.Event()

            def see(one: Observation) -> None:
                seen.append(one)
                has_seen.set()

            task = asyncio.create_task(self.make().run(see))
            try:
                await asyncio.sleep(0.1)
                await self.see_something()
                async with asyncio.timeout(LIMIT_S):
                    await has_seen.wait()
            finally:
                await end(task)
            assert all(one.at > 0 for one in seen)

        asyncio.run(story())


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        async with asyncio.timeout(END_LIMIT_S):
            await task


def children() -> set[str]:
    """Workers of ours, zombies left out."""
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    found = path.read_text().split() if path.exists() else []
    return {pid for pid in found if not _is_zombie(pid)}


def _is_zombie(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
