"""What the watch remembers of the store is set right when a controller begins anew.

covers: H2 H9
"""

import asyncio
from pathlib import Path

from msgspec import Struct

from holdfast.facts.fencing import FenceStep
from holdfast.facts.promises import Disarm
from holdfast.facts.recoveries import RecoveryStep
from holdfast.ports import clock
from tests.controller.fake_agent import wait_for
from tests.controller.house import running, settings
from tests.controller.recovery_scene import intent, protection, recovery

HOUR_MS = 3_600_000


def test_a_disarm_still_ends_by_itself_when_the_controllers_host_was_booted(tmp_path: Path) -> None:
    async def work() -> None:
        given, now_ms = settings(tmp_path), clock.utc_ms()
        disarm = Disarm(
            owner="ann", reason="works", since_utc_ms=now_ms, until_utc_ms=now_ms + HOUR_MS
        )
        async with running(given) as house:
            await house.controller.registry.change(lambda: {"disarm": disarm})
        async with running(given, boot="boot 2") as house:
            world = house.controller.watch.decider.world
            await wait_for(lambda: world.boot == "boot 2" and world.term > 0)
            assert world.disarm == disarm
            assert world.disarmed_until is not None

    asyncio.run(work())


def test_what_the_store_does_not_hold_any_more_is_not_believed_any_more(tmp_path: Path) -> None:
    """As after a backup was put back: fences would have numbers that the store never takes."""

    async def work() -> None:
        given, now_ms = settings(tmp_path), clock.utc_ms()
        disarm = Disarm(owner="a", reason="b", since_utc_ms=now_ms, until_utc_ms=now_ms + HOUR_MS)
        closed = intent(1, step=FenceStep.CLOSED, number=3)
        over = recovery(1, step=RecoveryStep.ANSWERED, generation=5)
        records: dict[str, Struct | None] = {
            "disarm": disarm,
            "fences/h4": closed,
            "recoveries/web": over,
            "protections/web": protection(),
        }
        async with running(given) as house:
            await house.controller.registry.change(lambda: records)
            world = house.controller.watch.decider.world
            assert world.fences["h4"].number == 3
            assert world.recoveries["web"].generation == 5
        async with running(settings(tmp_path / "other")) as house:
            await house.controller.registry.change(lambda: {"protections/web": protection()})
        for old in (tmp_path / "state" / "controller").glob("store.db*"):
            old.unlink()
        for new in (tmp_path / "other" / "state" / "controller").glob("store.db*"):
            new.rename(tmp_path / "state" / "controller" / new.name)
        async with running(given) as house:
            world = house.controller.watch.decider.world
            await wait_for(lambda: house.controller.registry.is_loaded and world.term > 0)
            assert world.fences == {}
            assert world.recoveries == {}
            assert world.disarm is None
            assert list(world.promises) == ["web"]

    asyncio.run(work())
