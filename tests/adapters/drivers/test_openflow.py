"""Flows are counted by OpenFlow of each version that is spoken, and who hangs is given up."""

import asyncio
import struct
import time
from pathlib import Path

import pytest

from holdfast.adapters.drivers.openflow import Openflow, OpenflowTrouble
from tests.adapters.switch_stand_in import SwitchStandIn

V10 = b"\x01\x00\x00\x08\x00\x00\x00\x01"
V13_WITHOUT_LIST = b"\x04\x00\x00\x08\x00\x00\x00\x01"
V15_ALONE = b"\x06\x00\x00\x10\x00\x00\x00\x01" + struct.pack("!HHI", 1, 8, 1 << 6)


@pytest.mark.parametrize("hello", [None, V13_WITHOUT_LIST])
def test_all_flows_and_those_of_a_cookie_are_counted(tmp_path: Path, hello: bytes | None) -> None:
    async def story() -> None:
        async with SwitchStandIn(tmp_path).serving() as switch:
            switch.hello = hello or switch.hello
            switch.flows = {None: 40_000, 7: 2}
            openflow = Openflow("br", tmp_path)
            assert await openflow.count() == 40_000
            assert await openflow.count(7) == 2
            switch.drop()
            with pytest.raises(OpenflowTrouble, match="closed the connection"):
                await openflow.count()
            assert await openflow.count() == 40_000
            await openflow.close()

    asyncio.run(story())


def test_the_oldest_version_knows_no_cookies(tmp_path: Path) -> None:
    async def story() -> None:
        async with SwitchStandIn(tmp_path).serving() as switch:
            switch.hello = V10
            openflow = Openflow("br", tmp_path)
            assert await openflow.count() == 5
            assert await openflow.count(7) is None
            await openflow.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("hello", "complaint"),
    [(V15_ALONE, "speaks none of"), (b"\x01\x03\x00\x08\x00\x00\x00\x01", "no hello")],
)
def test_an_unknown_version_is_named(tmp_path: Path, hello: bytes, complaint: str) -> None:
    async def story() -> None:
        async with SwitchStandIn(tmp_path).serving() as switch:
            switch.hello = hello
            with pytest.raises(OpenflowTrouble, match=complaint):
                await Openflow("br", tmp_path).count()

    asyncio.run(story())


def test_who_hangs_or_is_not_there_is_given_up_soon(tmp_path: Path) -> None:
    async def story() -> None:
        with pytest.raises(OpenflowTrouble, match="is not there"):
            await Openflow("br", tmp_path).count()
        async with SwitchStandIn(tmp_path).serving() as switch:
            switch.is_hung = True
            began = time.monotonic()
            with pytest.raises(OpenflowTrouble, match="does not answer"):
                await Openflow("br", tmp_path).count()
            assert time.monotonic() - began < 3

    asyncio.run(story())
