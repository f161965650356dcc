"""The database of the switch is followed whole, whatever comes in which pieces."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from holdfast.adapters.drivers import ovsdb
from holdfast.adapters.drivers.ovsdb import Ovsdb, OvsdbTrouble, one, plain, several
from tests.adapters.switch_stand_in import SwitchStandIn

WANTED = {"Bridge": ("name", "ports"), "Interface": ("name", "error", "of_tomorrow")}
LIMIT_S = 10.0


async def wait_until(is_so: "asyncio.Event") -> None:
    async with asyncio.timeout(LIMIT_S):
        await is_so.wait()
    is_so.clear()


def test_changes_arrive_in_pieces_and_several_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with SwitchStandIn(tmp_path).serving() as switch:
            followed, changed = Ovsdb(WANTED, switch.path), asyncio.Event()
            task = asyncio.create_task(followed.follow(changed.set))
            await wait_until(changed)
            assert followed.rows["Bridge"]["b"]["name"] == "br"
            assert followed.rows["Interface"]["i"]["error"] == []
            error = {"Interface": {"i": {"new": {"name": "eth9", "error": "no } such"}}}}
            text = json.dumps({"id": None, "method": "update", "params": ["x", error]})
            for piece in (text[:70], text[70:]):  # The first one may end anywhere, at a brace too.
                switch.say_raw(piece)
                await asyncio.sleep(0.02)
            await wait_until(changed)
            assert followed.rows["Interface"]["i"]["error"] == "no } such"
            switch.say_raw(json.dumps({"id": "a", "method": "echo", "params": []}) + text)
            switch.tell({"Bridge": {"b": {"old": {}}}})
            while followed.rows["Bridge"]:
                await wait_until(changed)
            switch.drop()
            with pytest.raises(OvsdbTrouble, match="closed the connection"):
                await task

    asyncio.run(story())


def test_columns_of_another_version_are_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with SwitchStandIn(tmp_path).serving() as switch:
            followed = Ovsdb(WANTED, switch.path)
            for _ in range(2):
                changed = asyncio.Event()
                task = asyncio.create_task(followed.follow(changed.set))
                await wait_until(changed)
                switch.drop()
                with pytest.raises(OvsdbTrouble):
                    await task

    with caplog.at_level(logging.WARNING):
        asyncio.run(story())
    assert [each.message for each in caplog.records] == [
        "OVSDB (version 8.3.1) lacks Interface.of_tomorrow"
    ]


def test_a_database_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    async def story() -> None:
        async with SwitchStandIn(tmp_path).serving() as switch:
            switch.is_hung = True
            followed = Ovsdb(WANTED, switch.path, answer_s=0.2)
            with pytest.raises(OvsdbTrouble, match="does not answer"):
                await followed.follow(lambda: None)

    asyncio.run(story())


def test_a_database_that_falls_silent_later_is_given_up(tmp_path: Path) -> None:
    async def story() -> None:
        async with SwitchStandIn(tmp_path).serving() as switch:
            followed, changed = Ovsdb(WANTED, switch.path, answer_s=0.2), asyncio.Event()
            task = asyncio.create_task(followed.follow(changed.set))
            await wait_until(changed)
            await asyncio.sleep(0.5)
            assert not task.done(), "it answers echoes"
            switch.is_hung = True
            with pytest.raises(OvsdbTrouble, match="does not answer"):
                async with asyncio.timeout(LIMIT_S):
                    await task

    asyncio.run(story())


def test_values_are_plain() -> None:
    assert plain(["set", [["uuid", "a"], ["uuid", "b"]]]) == ["a", "b"]
    assert plain(["map", [["state", "up"]]]) == {"state": "up"}
    assert several("x") == ["x"]
    assert one([]) == ""
    assert one(["set"]) == "set"
    assert ovsdb.one([], otherwise=None) is None
