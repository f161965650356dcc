"""Whoever says that a host is dead is told of its own VMs, and of starts that can happen.

covers: H9
"""

import asyncio

from msgspec import structs

from holdfast.facts.tenure import ProofKind
from tests.controller.test_confirming import WHY, Scene, defined, protection


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


def test_of_what_was_looked_at_only_whose_word_it_is_is_said_again_and_again() -> None:
    """The rest, with its times, is told once: by the story of the incident."""

    async def work() -> None:
        scene = Scene()
        await scene.begin(protection("vm-1"))
        proof = (await scene.confirm()).proof
        assert proof is not None
        assert len(proof.shown) > 1
        assert proof.in_short == f"anna says that it is dead: {WHY}"
        power = structs.replace(proof, kind=ProofKind.POWER, shown=("it was off", "read back"))
        assert power.in_short == "it was off; read back"

    asyncio.run(work())
