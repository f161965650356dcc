"""What people wish for local disks is kept with the VM's promise, and is told to its agent.

covers: H15
"""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.controller.disk_wishes import read_wish
from holdfast.facts.promises import LocalDisk, Protection
from holdfast.ports.answers import Unanswerable
from tests.controller.fake_agent import FakeAgent, ask
from tests.controller.house import running, settings
from tests.controller.test_promises import greet


def test_a_wish_is_kept_until_another_is_said(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent = FakeAgent(house.socket)
            async with agent.link():
                await greet(agent, house)

                async def protect(**args: Any) -> tuple[LocalDisk | None, dict[str, str]]:
                    await ask(house.socket, "protect", vm="web-1", **args)
                    grants = [one for one in agent.asked if one.name == "grant"]
                    told = msgspec.convert(grants[-1].args["protection"], Protection)
                    assert told == house.controller.registry.protection("vm-1")
                    return told.local_disk, told.images

                images = {"vda": "/images/base"}
                assert await protect() == (None, {})
                assert await protect(local_disk="rebuild", images=images) == (
                    LocalDisk.REBUILD,
                    images,
                )
                assert await protect(group="default") == (LocalDisk.REBUILD, images)
                assert await protect(local_disk="keep") == (LocalDisk.KEEP, images)
                assert await protect(local_disk="group") == (None, {})

    asyncio.run(work())


@pytest.mark.parametrize(
    ("args", "why"),
    [
        ({"local_disk": "move"}, "one of keep, rebuild, alarm, group, not 'move'"),
        ({"images": {"vda": "base.qcow2"}}, "whole path of the file, not vda=base.qcow2"),
        ({"images": {"": "/base"}}, "an image is DISK=FILE"),
        ({"images": "base"}, "must name a file for each disk"),
    ],
)
def test_what_does_not_fit_is_refused(args: dict[str, Any], why: str) -> None:
    with pytest.raises(Unanswerable, match=why):
        read_wish(args)
