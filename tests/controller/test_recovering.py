"""Acts of recovery are committed first, and each commit looks again whether it may still be.

covers: H2 H7 H9
"""

from typing import Any

import msgspec
import pytest
from msgspec import structs

from holdfast.controller.registry import Known
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts.definitions import RebuiltDisk, VmDefinition
from holdfast.facts.fencing import FenceStep, HostFencing
from holdfast.facts.outcomes import SiteOutcome
from holdfast.facts.promises import Disarm, Protection
from holdfast.facts.recoveries import RecoveryStep
from holdfast.facts.tenure import TenureState, Wanted
from tests.controller.recovery_scene import (
    DEFINITION,
    FOR_EVER_MS,
    PROOF,
    Scene,
    fence_proven,
    intent,
    protection,
    recovery,
    run,
)


def test_a_fence_is_committed_with_its_times_and_goes_only_forward() -> None:
    async def work(scene: Scene) -> None:
        await fence_proven(scene)
        assert scene.fence is not None
        assert scene.fence.step is FenceStep.OFF
        assert scene.fence.intended_utc_ms
        assert scene.fence.proven_utc_ms
        await scene.do(act.PutFence(fence=intent(scene.term)))
        assert scene.fence.step is FenceStep.OFF
        await scene.do(act.PutFence(fence=intent(scene.term, number=3)))
        assert scene.fence.number == 1
        await scene.do(act.PutFence(fence=intent(scene.term, number=2, boot="b2")))
        assert scene.fence.number == 2

    run(work)


def test_what_is_in_doubt_is_proven_by_nobody_and_ends_with_a_new_boot() -> None:
    async def work(scene: Scene) -> None:
        await scene.do(act.PutFence(fence=intent(scene.term)))
        await scene.do(act.PutFence(fence=intent(scene.term, doubt="h3 fell silent, too")))
        off = intent(scene.term, step=FenceStep.OFF, proof=PROOF)
        for next_one in (off, structs.replace(off, doubt="x"), intent(scene.term)):
            await scene.do(act.PutFence(fence=next_one))
            assert scene.fence is not None
            assert (scene.fence.step, scene.fence.doubt) == (
                FenceStep.INTENDED,
                "h3 fell silent, too",
            )
        closed = intent(scene.term, step=FenceStep.CLOSED, doubt="h3 fell silent, too")
        await scene.do(act.PutFence(fence=closed))
        assert scene.fence is not None
        assert scene.fence.step is FenceStep.CLOSED

    run(work)


@pytest.mark.parametrize("boot", ["b1", "b2"])
def test_an_intent_is_taken_back_only_when_its_host_has_greeted_in_another_boot(boot: str) -> None:
    async def work(scene: Scene) -> None:
        await scene.put("agents/h4", Known(host="h4", host_name="four", boot=boot, state_id="s"))
        await scene.do(act.PutFence(fence=intent(scene.term)))
        await scene.do(act.PutFence(fence=intent(scene.term, step=FenceStep.CLOSED)))
        assert scene.fence is not None
        assert scene.fence.step is (FenceStep.CLOSED if boot == "b2" else FenceStep.INTENDED)

    run(work)


@pytest.mark.parametrize("why", ["disarmed", "report mode", "another term", "no term"])
def test_no_intent_is_committed_when_it_may_not_be_any_more(why: str) -> None:
    async def work(scene: Scene) -> None:
        term = scene.term
        if why == "disarmed":
            disarm = Disarm(owner="a", reason="b", since_utc_ms=0, until_utc_ms=FOR_EVER_MS)
            await scene.put("disarm", disarm)
        elif why == "report mode":
            await scene.put("fencing/h4", HostFencing(host="h4"))
        elif why == "another term":
            term = (term or 0) + 1
        else:
            scene.term = None
        await scene.do(act.PutFence(fence=intent(term)))
        assert scene.fence is None

    run(work)


def test_the_ladder_is_climbed_until_one_device_proves_it() -> None:
    async def work(scene: Scene) -> None:
        await scene.do(act.PutFence(fence=intent(scene.term)))
        assert scene.fence is not None
        await scene.do(act.SwitchOff(incident="i", fence=scene.fence))
        assert scene.ladder.asked == ["fence_a", "fence_b"]
        [off] = scene.came
        assert isinstance(off, came.SwitchedOff)
        assert off.proof.host == "h4"

    run(work)


def test_what_all_devices_say_is_told() -> None:
    async def work(scene: Scene) -> None:
        scene.ladder.works = set()
        await scene.do(act.PutFence(fence=intent(scene.term)))
        assert scene.fence is not None
        await scene.do(act.SwitchOff(incident="i", fence=scene.fence))
        [failed] = scene.came
        assert isinstance(failed, came.NotSwitchedOff)
        assert failed.reason == "fence_a: it does not answer; fence_b: it does not answer"

    run(work)


@pytest.mark.parametrize("why", ["not committed", "deposed", "disarmed", "proven meanwhile"])
def test_no_power_action_without_the_store_and_the_term(why: str) -> None:
    async def work(scene: Scene) -> None:
        if why != "not committed":
            await scene.do(act.PutFence(fence=intent(scene.term)))
        fence = scene.fence or intent(scene.term)
        if why == "deposed":
            scene.term = None
        elif why == "disarmed":
            disarm = Disarm(owner="a", reason="b", since_utc_ms=0, until_utc_ms=FOR_EVER_MS)
            await scene.put("disarm", disarm)
        elif why == "proven meanwhile":
            off = intent(scene.term, step=FenceStep.OFF, proof=PROOF)
            await scene.do(act.PutFence(fence=off))
        await scene.do(act.SwitchOff(incident="i", fence=fence))
        assert scene.ladder.asked == []

    run(work)


def test_who_is_deposed_while_a_device_is_asked_asks_no_other() -> None:
    async def work(scene: Scene) -> None:
        async def depose() -> None:
            scene.term = None

        scene.ladder.before = depose
        await scene.do(act.PutFence(fence=intent(scene.term)))
        assert scene.fence is not None
        await scene.do(act.SwitchOff(incident="i", fence=scene.fence))
        assert scene.ladder.asked == ["fence_a"]

    run(work)


def test_a_vm_is_placed_with_its_tenure_in_one_transaction() -> None:
    async def work(scene: Scene) -> None:
        await fence_proven(scene)
        await scene.do(act.PutRecovery(recovery=recovery(scene.term)))
        held = scene.tenure
        assert (held.generation, held.host, held.boot) == (2, "h1", "t1")
        assert held.state is TenureState.RECOVERING
        kept = scene.registry.recovery("web")
        assert kept is not None
        assert kept.fault_utc_ms > 0
        for key in ("protections/web", "recoveries/web"):
            stored = await scene.store.get(key)
            assert stored is not None
        both = [await scene.store.get(k) for k in ("protections/web", "recoveries/web")]
        assert len({one.revision for one in both if one is not None}) == 1

    run(work)


@pytest.mark.parametrize(
    "why", ["no proof", "stopped", "moved", "booted", "closed", "disarmed", "generation"]
)
def test_nothing_is_placed_that_may_not_be_any_more(why: str) -> None:
    async def work(scene: Scene) -> None:
        if why != "no proof":
            await fence_proven(scene)
        changes: dict[str, Any] = {}
        if why == "stopped":
            await scene.put("protections/web", protection(wanted=Wanted.STOPPED))
        elif why == "moved":
            await scene.put("protections/web", protection(host="h2", boot="x", generation=1))
        elif why == "booted":
            await scene.put("protections/web", protection(boot="b2", revision=1))
        elif why == "closed":
            closed = intent(scene.term, step=FenceStep.CLOSED, proof=PROOF)
            await scene.do(act.PutFence(fence=closed))
        elif why == "disarmed":
            disarm = Disarm(owner="a", reason="b", since_utc_ms=0, until_utc_ms=FOR_EVER_MS)
            await scene.put("disarm", disarm)
        elif why == "generation":
            changes = {"generation": 5}
        before = scene.tenure
        await scene.do(act.PutRecovery(recovery=recovery(scene.term, **changes)))
        assert scene.tenure == before
        assert scene.registry.recovery("web") is None

    run(work)


def test_a_second_target_needs_the_first_ones_word() -> None:
    async def work(scene: Scene) -> None:
        await fence_proven(scene)
        await scene.do(act.PutRecovery(recovery=recovery(scene.term)))
        other = recovery(scene.term, generation=3, target="h2", target_boot="u1")
        await scene.do(act.PutRecovery(recovery=other))
        assert scene.tenure.host == "h1"
        back = recovery(scene.term, step=RecoveryStep.GIVEN_BACK)
        await scene.do(act.PutRecovery(recovery=back))
        await scene.do(act.PutRecovery(recovery=other))
        assert (scene.tenure.host, scene.tenure.generation) == ("h2", 3)

    run(work)


def test_once_it_runs_its_host_holds_it_as_any_other() -> None:
    async def work(scene: Scene) -> None:
        await fence_proven(scene)
        await scene.do(act.PutRecovery(recovery=recovery(scene.term)))
        await scene.do(act.PutRecovery(recovery=recovery(scene.term, step=RecoveryStep.STARTED)))
        assert scene.tenure.state is TenureState.HELD

    run(work)


async def order(scene: Scene) -> SiteOutcome:
    await fence_proven(scene)
    await scene.do(act.PutRecovery(recovery=recovery(scene.term)))
    kept = scene.registry.recovery("web")
    assert kept is not None
    await scene.do(act.RestartElsewhere(incident="i", recovery=kept, proof=PROOF))
    [outcome] = scene.came
    return outcome


def test_the_target_is_told_all_that_it_needs() -> None:
    async def work(scene: Scene) -> None:
        assert isinstance(await order(scene), came.StartTaken)
        [asked] = scene.asked
        assert asked.name == "start-here"
        assert asked.term == scene.term
        held = msgspec.convert(asked.args["protection"], Protection).tenure
        assert (held.state, held.host, held.generation) == (TenureState.HELD, "h1", 2)
        assert msgspec.convert(asked.args["definition"], VmDefinition) == DEFINITION
        assert asked.args["was"] == "four"
        assert asked.args["fault_age_ms"] >= 4_000

    run(work)


def test_the_target_is_told_which_disks_it_makes_anew() -> None:
    disk = RebuiltDisk(name="vda", path="/a", format="qcow2", size_bytes=1, image="/b")

    async def work(scene: Scene) -> None:
        await fence_proven(scene)
        await scene.do(act.PutRecovery(recovery=recovery(scene.term, rebuilds=(disk,))))
        kept = scene.registry.recovery("web")
        assert kept is not None
        assert kept.rebuilds == (disk,), "it is in the store before anybody is told"
        await scene.do(act.RestartElsewhere(incident="i", recovery=kept, proof=PROOF))
        [asked] = scene.asked
        assert msgspec.convert(asked.args["rebuilds"], tuple[RebuiltDisk, ...]) == (disk,)

    run(work)


def test_a_target_that_refuses_has_given_it_back() -> None:
    async def work(scene: Scene) -> None:
        scene.reply = {"is_taken": False, "reason": "no bridge br0"}
        outcome = await order(scene)
        assert isinstance(outcome, came.GivenBack)
        assert outcome.reason == "no bridge br0"

    run(work)


@pytest.mark.parametrize("reply", [None, {}, {"is_taken": "perhaps"}])
def test_anything_but_a_clear_no_is_no_answer(reply: dict[str, Any] | None) -> None:
    async def work(scene: Scene) -> None:
        scene.reply = reply
        assert isinstance(await order(scene), came.TargetSilent)

    run(work)


def test_a_target_in_another_boot_is_not_told() -> None:
    async def work(scene: Scene) -> None:
        scene.link("t2")
        assert isinstance(await order(scene), came.TargetSilent)
        assert scene.asked == []

    run(work)


def test_taking_back_needs_a_proof_of_the_target() -> None:
    async def work(scene: Scene) -> None:
        await fence_proven(scene)
        await scene.do(act.PutRecovery(recovery=recovery(scene.term)))
        kept = scene.registry.recovery("web")
        assert kept is not None
        back = act.TakeBack(incident="i", recovery=kept, reason="it could not start it")
        scene.reply = {"is_gone": False, "reason": "its process hangs"}
        await scene.do(back)
        assert isinstance(scene.came[-1], came.TargetSilent)
        scene.reply = {"is_gone": True}
        await scene.do(back)
        assert isinstance(scene.came[-1], came.GivenBack)

    run(work)
