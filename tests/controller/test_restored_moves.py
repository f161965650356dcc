"""A VM that was moving when a backup was made runs once, wherever it went since.

covers: H2 H9
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import structs

from holdfast.adapters.stores.sqlite import Sqlite
from holdfast.controller.restoring import restore
from holdfast.facts.migrations import Migration, MigrationStep
from holdfast.facts.tenure import RESTORED, Tenure, TenureState
from tests.controller.fake_agent import FakeAgent, ask, wait_for
from tests.controller.house import House, running, settings
from tests.controller.test_restoring import NOW_MS, Backup, protect, told


async def moving_at_backup(folder: Path, backup: Backup) -> Tenure:
    """web-1 moves from host-a to host-b; a copy of the store is made, and put back."""
    async with running(settings(folder)) as house:
        agent = FakeAgent(house.socket)
        async with agent.link():
            await protect(house, agent)
        registry = house.controller.registry
        held = registry.protection("vm-1")
        assert held is not None
        tenure = structs.replace(
            held.tenure, state=TenureState.MIGRATING, revision=held.tenure.revision + 1
        )
        puts = {
            "protections/vm-1": structs.replace(held, tenure=tenure),
            "migrations/vm-1": begun(tenure),
        }
        await registry.change(lambda: puts)
        backup.make()
    backup.put_back()
    store = Sqlite(backup.store)
    done = await restore(store, None, NOW_MS)
    assert done.moving == ("web-1",)
    await store.close()
    return tenure


def begun(tenure: Tenure) -> Migration:
    return Migration(
        vm="vm-1",
        name="web-1",
        number=1,
        generation=tenure.generation,
        revision=tenure.revision,
        source="host-a",
        source_boot="boot-1",
        target="host-b",
        target_boot="boot-b",
        term=1,
        step=MigrationStep.BEGUN,
        limit_s=300,
    )


def source(house: House, tenure: Tenure) -> FakeAgent:
    return FakeAgent(house.socket, tenures=(tenure,))


def target(house: House, barred: int = 0, tenure: Tenure | None = None) -> FakeAgent:
    tenures = () if tenure is None else (tenure,)
    agent = FakeAgent(
        house.socket, host="host-b", boot="boot-b", state_id="state-b", tenures=tenures
    )
    if barred:
        agent.hello = structs.replace(agent.hello, barred={"vm-1": barred})
    return agent


def held(house: House) -> Tenure:
    protection = house.controller.registry.protection("vm-1")
    assert protection is not None
    return protection.tenure


def step(house: House) -> MigrationStep:
    migration = house.controller.registry.migration("vm-1")
    assert migration is not None
    return migration.step


def restored(folder: Path, work: Callable[[House, Tenure], Awaitable[None]]) -> None:
    async def whole() -> None:
        tenure = await moving_at_backup(folder, Backup(folder))
        async with running(settings(folder)) as house:
            await work(house, tenure)

    asyncio.run(whole())


def test_its_source_alone_is_granted_nothing_whatever_its_own_copy_says(tmp_path: Path) -> None:
    async def work(house: House, tenure: Tenure) -> None:
        for copy in (tenure, structs.replace(tenure, state=TenureState.HELD, revision=9)):
            agent = source(house, copy)
            async with agent.link():
                assert told(agent).boot == RESTORED
                await asyncio.sleep(0.3)  # As long as a leader takes to end a move.
                assert (held(house).boot, step(house)) == (RESTORED, MigrationStep.BEGUN)
                assert (await ask(house.socket, "status"))["held_for_a_person"] == ["web-1"]

    restored(tmp_path, work)


def test_both_ends_that_know_of_nothing_newer_leave_it_moving_as_it_was(tmp_path: Path) -> None:
    async def work(house: House, tenure: Tenure) -> None:
        first = source(house, tenure)
        async with first.link(), target(house).link():
            now = held(house)
            assert (now.host, now.boot) == ("host-a", "boot-1")
            assert (now.state, now.generation) == (TenureState.MIGRATING, tenure.generation)
            assert now.revision > tenure.revision
            await wait_for(lambda: told(first).boot == "boot-1")

    restored(tmp_path, work)


def test_it_makes_no_difference_which_end_greets_first(tmp_path: Path) -> None:
    async def work(house: House, tenure: Tenure) -> None:
        async with target(house).link():
            again = source(house, tenure)
            async with again.link():
                assert (told(again).boot, told(again).state) == ("boot-1", TenureState.MIGRATING)

    restored(tmp_path, work)


@pytest.mark.parametrize("newer", ["the target holds it", "the target knows of another"])
@pytest.mark.parametrize("is_source_first", [True, False])
def test_a_target_that_knows_of_a_newer_generation_leaves_it_to_a_person(
    tmp_path: Path, newer: str, is_source_first: bool
) -> None:
    async def work(house: House, tenure: Tenure) -> None:
        generation = tenure.generation + 2
        theirs = structs.replace(tenure, host="host-b", boot="boot-b", generation=generation)
        is_holder = newer == "the target holds it"
        second = target(house, 0 if is_holder else generation, theirs if is_holder else None)
        first = source(house, tenure)
        async with contextlib.AsyncExitStack() as stack:
            for agent in (first, second) if is_source_first else (second, first):
                await stack.enter_async_context(agent.link())
        assert (held(house).boot, held(house).generation) == ("", generation)

    restored(tmp_path, work)


def test_an_end_that_forgot_what_it_knew_leaves_it_to_a_person(tmp_path: Path) -> None:
    async def work(house: House, tenure: Tenure) -> None:
        other = target(house)
        other.hello = structs.replace(other.hello, is_amnesiac=True)
        async with source(house, tenure).link(), other.link():
            assert held(house).boot == ""

    restored(tmp_path, work)


def test_a_source_without_a_copy_of_its_own_leaves_it_to_a_person(tmp_path: Path) -> None:
    async def work(house: House, _tenure: Tenure) -> None:
        async with FakeAgent(house.socket).link(), target(house).link():
            assert held(house).boot == ""

    restored(tmp_path, work)


def test_a_person_who_protects_it_again_ends_the_move(tmp_path: Path) -> None:
    """Its target may never come back: neither end is busy with it for ever."""

    async def work(house: House, tenure: Tenure) -> None:
        agent = source(house, tenure)
        async with agent.link():
            now = await protect(house, agent)
            assert (now.host, now.boot, now.state) == ("host-a", "boot-1", TenureState.HELD)
            assert step(house) is MigrationStep.UNDONE

    restored(tmp_path, work)
