"""From a person's word to the order to start: a whole controller, and two hosts."""

import asyncio
import json
from pathlib import Path
from typing import Any

from msgspec import structs

from holdfast.facts import hearing as heard
from holdfast.facts import wire
from holdfast.facts.definitions import HostSize, VmDefinition, VmNeeds
from holdfast.facts.fencing import FenceStep, HostMode
from holdfast.facts.migrations import Migration, MigrationStep
from holdfast.facts.tenure import ProofKind, Tenure, TenureState
from holdfast.policy.proofs import is_dead
from holdfast.ports import clock
from tests.controller.fake_agent import LIMIT_S, FakeAgent, ask, ask_all, summary, wait_for
from tests.controller.fake_fencer import SECRET, FakeFencer
from tests.controller.house import House, running, settings
from tests.controller.test_confirming import Scene, protection
from tests.controller.test_fencing import IPMI
from tests.controller.test_life_signs import silent

SIZE = HostSize(memory_mib=4_096, cpus=4)
DEFINITION = VmDefinition(
    vm="vm-1", name="web-1", xml="<domain/>", needs=VmNeeds(memory_mib=512, vcpus=1)
)


def grant(asked: wire.Question) -> wire.Reply:
    return wire.Reply(id=asked.id, data={"protection": asked.args["protection"]})


def pulses(house: House, host: str, boot: str) -> None:
    seen = heard.PlaneHeard(at=clock.now(), host=host, plane="a", boot=boot)
    house.controller.watch.see(seen)


def falls_silent(house: House, host: str) -> None:
    at = clock.now()
    gone = structs.replace(silent(host, "a", at), newest_other=at)
    house.controller.watch.see(gone)


async def confirm_dead(house: House, host: str, **word: str) -> Any:
    """As a person does whom a controller on a busy machine asks to try again in a moment."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            reply = await ask_all(house.socket, "host-confirm-dead", host=host, **word)
            if "was too slow to know" not in reply.error:
                assert not reply.error, reply.error
                return reply.data
            await wait_for(house.controller.hearing.is_reliable)


def test_after_a_persons_word_the_vms_are_ordered_on_another_host_also_in_mode_report(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with running(settings(tmp_path), fencer=FakeFencer()) as house:
            await wait_for(house.controller.hearing.is_reliable)
            registry = house.controller.registry
            dying = FakeAgent(house.socket)
            dying.answers["grant"] = grant
            target = FakeAgent(house.socket, host="host-b", boot="boot-b", stream="boot-b.x")
            target.hello = structs.replace(target.hello, features=(wire.STARTS_HERE,))
            async with dying.link(), target.link():
                await dying.send(wire.Inventory(vms=(summary(),), size=SIZE))
                await target.send(wire.Inventory(vms=(), size=SIZE))
                await wait_for(house.controller.agents.all_vms)
                await ask(house.socket, "protect", vm="web-1")
                await dying.send(wire.Definitions(definitions=(DEFINITION,)))
                await wait_for(lambda: registry.definition("vm-1") is not None)
                await ask(house.socket, "fence-set", host="host-a", **IPMI)
                pulses(house, "host-a", "boot-1")
                pulses(house, "host-b", "boot-b")
                await dying.hang_up()
                agents = house.controller.agents
                await wait_for(lambda: agents.by_host["host-a"].link is None)
                falls_silent(house, "host-a")
                assert registry.fencing("host-a").mode is HostMode.REPORT
                looked = await confirm_dead(house, "host-a")
                assert looked["vms"] == [{"vm": "vm-1", "name": "web-1", "stays": ""}]
                assert registry.fence("host-a") is None
                word = {"confirmed": "host-a", "because": "its plug is out"}
                await confirm_dead(house, "host-a", **word)
                await target.wait(lambda: any(one.name == "start-here" for one in target.asked))
                [order] = [one for one in target.asked if one.name == "start-here"]
                assert order.args["was"] == "host-a"
                held = registry.protection("vm-1")
                recovery = registry.recovery("vm-1")
                assert held is not None
                assert recovery is not None
                assert of(held.tenure) == ("host-b", "boot-b", 2)
                assert (recovery.proof.kind, recovery.proof.by) == (ProofKind.PERSON, "anna")
                fence = registry.fence("host-a")
                assert fence is not None
                assert (fence.step, fence.by) == (FenceStep.OFF, "anna")
                incidents = await ask(house.socket, "incidents")
                assert any("is dead" in one["step"] for one in incidents)
                story = await ask(house.socket, "explain", incident=fence.incident)
                bodies = [one["body"] for one in story["records"]]
                told = [one["fence"]["by"] for one in bodies if one.get("is") == "FenceSet"]
                assert told == ["anna"], "it is in the journal, once"
                assert SECRET not in json.dumps(story)

    asyncio.run(work())


def of(tenure: Tenure) -> tuple[str, str, int]:
    return tenure.host, tenure.boot, tenure.generation


def test_a_word_on_a_dead_host_covers_the_boot_to_which_a_vm_was_moving() -> None:
    """The host was booted since, and died before its agent could say that nothing had come."""

    async def work() -> None:
        scene = Scene()
        await scene.begin(protection("vm-1", "b", host="h1-id", state=TenureState.MIGRATING))
        moves = Migration(
            vm="vm-1",
            name="vm-1",
            number=1,
            generation=1,
            revision=1,
            source="h1-id",
            source_boot="b",
            target="h4-id",
            target_boot="boot-1",
            term=7,
            step=MigrationStep.BEGUN,
            limit_s=60,
        )
        await scene.put("migrations/vm-1", moves)
        fence = await scene.confirm()
        assert (fence.boot, fence.earlier) == ("boot-3", ("boot-1",))
        assert is_dead(fence.proof, moves.target, moves.target_boot)

    asyncio.run(work())
