"""What changes while a commit waits, and what a leader must not be left waiting for.

covers: H2 H7 H9
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.promises import Promises
from holdfast.controller.registry import Registry
from holdfast.controller.restoring import restore
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts import wire
from holdfast.facts.fencing import FenceStep
from holdfast.facts.recoveries import RecoveryStep
from tests.controller.recovery_scene import PROOF, Scene, fence_proven, intent, recovery, run


def be_heard(scene: Scene) -> None:
    scene.lost_ms = 0


def brake(scene: Scene) -> None:
    scene.hindrance = "3 of 6 hosts are silent"


@pytest.mark.parametrize("change", [be_heard, brake])
def test_what_changes_before_the_store_takes_an_intent_ends_it(
    change: Callable[[Scene], None],
) -> None:
    """Policy wanted it while the store did not answer; once committed it has no way back."""

    async def work(scene: Scene) -> None:
        may_go_on, txn = asyncio.Event(), scene.store.txn

        async def slow(**args: Any) -> Any:
            await may_go_on.wait()
            return await txn(**args)

        scene.store.txn = slow  # type: ignore[method-assign]
        first = asyncio.create_task(scene.put("definitions/web", None))
        await asyncio.sleep(0)
        await scene.do(act.PutFence(fence=intent(scene.term)))
        change(scene)
        may_go_on.set()
        await first
        await scene.do(act.PutFence(fence=intent(scene.term)))
        assert scene.fence is None

    run(work)


def test_a_brake_that_comes_on_the_ladder_stops_before_the_next_device() -> None:
    async def work(scene: Scene) -> None:
        await scene.do(act.PutFence(fence=intent(scene.term)))

        async def meanwhile() -> None:
            brake(scene)

        scene.ladder.before = meanwhile
        assert scene.fence is not None
        await scene.do(act.SwitchOff(incident="i", fence=scene.fence))
        assert scene.ladder.asked == ["fence_a"]
        (failed,) = scene.came
        assert isinstance(failed, came.NotSwitchedOff)
        assert "3 of 6 hosts" in failed.reason

    run(work)


def test_a_vm_that_its_former_host_gave_back_is_placed_once_more() -> None:
    async def work(scene: Scene) -> None:
        await fence_proven(scene)
        first = recovery(scene.term)
        await scene.do(act.PutRecovery(recovery=first))
        back = structs.replace(first, step=RecoveryStep.GIVEN_BACK)
        await scene.do(act.PutRecovery(recovery=back))
        closed = intent(scene.term, step=FenceStep.CLOSED, proof=PROOF)
        await scene.do(act.PutFence(fence=closed))
        home = recovery(scene.term, generation=3, target="h4", target_boot="b2", attempt=2)
        await scene.do(act.PutRecovery(recovery=home))
        back = structs.replace(home, step=RecoveryStep.GIVEN_BACK)
        await scene.do(act.PutRecovery(recovery=back))
        assert (scene.tenure.host, scene.tenure.generation) == ("h4", 3)
        await scene.do(act.PutRecovery(recovery=recovery(scene.term, generation=4, attempt=3)))
        assert (scene.tenure.host, scene.tenure.generation) == ("h1", 4)

    run(work)


def test_a_start_that_fell_into_a_lapse_of_the_term_is_told_again() -> None:
    """A lapse that is shorter than policy looks for the term is no change of leader."""

    async def work(scene: Scene) -> None:
        await fence_proven(scene)
        asked = recovery(scene.term)
        await scene.do(act.PutRecovery(recovery=asked))
        term, scene.term = scene.term, None
        start = act.RestartElsewhere(incident="i", recovery=asked, proof=PROOF)
        await scene.do(start)
        scene.term = term
        assert [type(one) for one in scene.came] == [came.TargetSilent]

    run(work)


def test_a_defect_while_it_is_switched_off_ends_in_another_try() -> None:
    async def work(scene: Scene) -> None:
        await scene.do(act.PutFence(fence=intent(scene.term)))

        async def fail() -> None:
            raise RuntimeError("a defect")

        scene.ladder.before = fail
        assert scene.fence is not None
        await scene.do(act.SwitchOff(incident="i", fence=scene.fence))
        assert [type(one) for one in scene.came] == [came.NotSwitchedOff]

    run(work)


def test_what_an_agent_forgot_while_its_host_was_switched_off_is_not_granted_after() -> None:
    """Until its second greeting another VM was granted to it: it does not say any more that it
    forgot. The store knows it by its memory's id."""

    async def work(scene: Scene) -> None:
        promises = Promises(scene.registry, scene.agents)
        await scene.do(act.PutFence(fence=intent(scene.term)))
        await scene.do(act.PutFence(fence=intent(scene.term, doubt="x")))
        hello = wire.Hello(
            version=wire.VERSION, host="h4", host_name="four", boot="b2", state_id="n", stream="x"
        )
        await promises.greet(structs.replace(hello, is_amnesiac=True))
        closed = intent(scene.term, step=FenceStep.CLOSED, doubt="x")
        await scene.do(act.PutFence(fence=closed))
        await promises.greet(hello)
        assert scene.tenure.boot == ""

    run(work)


def test_a_fence_that_was_open_in_a_backup_switches_nobody_off() -> None:
    """Its host may have been mended since, and run what it should."""

    async def work() -> None:
        store = StoreInMemory()
        term = await store.begin_term("c1", 10_000)
        registry = Registry(store, lambda: term)
        await registry.begin(term or 0)
        await registry.change(lambda: {"fences/h4": intent(term)})
        await store.end_term(term or 0)
        await restore(store, None, 1_000)
        term = await store.begin_term("c1", 10_000)
        await registry.begin(term or 0)
        fence = registry.fence("h4")
        assert fence is not None
        assert fence.step is FenceStep.CLOSED
        await store.close()

    asyncio.run(work())
