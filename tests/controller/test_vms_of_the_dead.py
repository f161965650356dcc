"""Whoever says that a host is dead is told of its own VMs, and of starts that can happen.

covers: H9
"""

import asyncio

from tests.controller.test_confirming import Scene, defined, protection


def test_what_another_host_holds_by_now_is_none_of_the_dead_ones() -> None:
    async def work() -> None:
        scene, moved = Scene(), protection("vm-2", host="h1-id")
        running = {"vm-1": "web-1", "vm-2": "web-2"}
        await scene.begin(protection("vm-1"), moved, running=running)
        await scene.put("definitions/vm-1", defined("vm-1"))
        vms = (await scene.ask())["vms"]
        assert [(one["vm"], one["stays"]) for one in vms] == [("vm-1", "")]

    asyncio.run(work())


def test_on_a_site_of_one_host_nothing_is_said_to_start_elsewhere() -> None:
    async def work() -> None:
        scene = Scene()
        await scene.begin(protection("vm-1"), is_alone=True)
        await scene.put("definitions/vm-1", defined("vm-1"))
        [vm] = (await scene.ask())["vms"]
        assert vm["stays"] == "the site has no other host"

    asyncio.run(work())
