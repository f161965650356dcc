"""The executor: what it asks once more before a VM starts, and what it says came of an action."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.agent.answers import Answers
from holdfast.agent.executor import STARTS_AT_ONCE, Executor
from holdfast.agent.loop import now
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts.commands import Booted, Disarmed, ProtectionEnded, ProtectionGranted
from holdfast.facts.instants import NS_PER_S, Instant
from holdfast.facts.outcomes import Outcome
from holdfast.facts.promises import Answer, AnswerKind, Disarm
from holdfast.facts.subjects import Incarnation
from holdfast.policy import promise
from holdfast.policy.decide import Decider
from holdfast.policy.vm_states import VmState
from holdfast.ports.hypervisor import CallFailed
from tests.agent.scene import (
    BOOT,
    HOST,
    domain_of,
    life_of,
    protection_of,
    restart_of,
    wait_for,
)


class Slow(HypervisorInMemory):
    """Starts wait until they are let go."""

    def __init__(self) -> None:
        super().__init__(BOOT)
        self.may_go = asyncio.Event()
        self.is_slow = False

    async def start(self, vm: str, limit_ms: int = 60_000) -> Incarnation:
        life = await super().start(vm, limit_ms)
        if self.is_slow:
            await self.may_go.wait()
        return life


class NoUplink:
    def report(self, action: act.Report) -> None:
        raise AssertionError(action)

    def tell_tenure(self, action: act.TellTenure) -> None:
        raise AssertionError(action)

    def tell_incident(self, action: act.TellIncident) -> None:
        raise AssertionError(action)


class Scene:
    """VMs that died, are protected, and whose start policy has asked for."""

    def __init__(self, *vms: str) -> None:
        self.hypervisor = Slow()
        self.decider = Decider()
        self.decider.step(
            Booted(at=now(), host=HOST, host_name="h", boot=BOOT, state_id="s", is_amnesiac=False)
        )
        for vm in vms:
            self.hypervisor.add(domain_of(vm))
            granted = ProtectionGranted(at=now(), protection=protection_of(vm), by="me")
            self.decider.step(granted)
            record = self.decider.world.vms[vm]
            record.protection = protection_of(vm)  # A grant of what does not run wants it stopped.
            record.incident = record.start_in_flight = f"i-{vm}"
            record.state, record.life = VmState.STARTING, life_of(vm)
            record.is_dying = record.is_gone = True
        self.came: list[Outcome] = []
        self.unwritten: set[str] = set()
        self.words: Outcome | Exception = came.LastWordsFailed(
            incident="i-a", at=now(), reason="the disk is full"
        )
        self.executor = Executor(
            hypervisor=self.hypervisor,
            uplink=NoUplink(),
            answers=Answers(
                self.hypervisor, lambda life: self.hypervisor.life(life.vm) == life, lambda _: False
            ),
            capture=self.capture,
            await_end=self.await_end,
            host=HOST,
            boot=BOOT,
            may_start=lambda asked: promise.may_start(self.decider.world, asked),
            consume=self.came.append,
            is_kept=self.is_kept,
        )

    async def capture(self, asked: act.CaptureLastWords) -> Outcome:
        assert asked.incident
        if isinstance(self.words, Exception):
            raise self.words
        return self.words

    async def is_kept(self, vm: str) -> bool:
        return vm not in self.unwritten

    async def await_end(self, vm: str, limit_s: float) -> None:
        assert vm
        assert limit_s > 0

    def disarm(self) -> None:
        told = Disarm(owner="me", reason="upgrade", since_utc_ms=0, until_utc_ms=1)
        until = Instant(now() + 600 * NS_PER_S)
        self.decider.step(Disarmed(at=now(), disarm=told, until=until))

    @property
    def starts(self) -> list[str]:
        return [vm for call, vm in self.hypervisor.calls if call == "start"]

    async def outcome(self, action: act.Action) -> Outcome:
        self.executor.carry_out(action)
        await wait_for(lambda: self.came, "an outcome")
        [outcome] = self.came
        return outcome


def run(work: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(limited())


def test_a_start_that_waited_for_its_turn_is_refused_after_a_disarm() -> None:
    async def story() -> None:
        vms = [f"{n}" for n in range(STARTS_AT_ONCE + 1)]
        scene = Scene(*vms)
        scene.hypervisor.is_slow = True
        for vm in vms:
            scene.executor.carry_out(restart_of(vm))
        await wait_for(lambda: len(scene.starts) == STARTS_AT_ONCE, "eight begin")
        scene.disarm()
        scene.hypervisor.may_go.set()
        await wait_for(lambda: len(scene.came) == len(vms), "all have an outcome")
        assert scene.starts == vms[:-1]
        [refused] = [o for o in scene.came if not isinstance(o, came.VmStarted)]
        assert isinstance(refused, came.StartFailed)
        assert refused.incident == f"i-{vms[-1]}"
        assert "disarmed by me (upgrade)" in refused.reason
        assert not refused.is_final

    run(story())


def test_a_start_whose_tenure_is_held_is_carried_out() -> None:
    async def story() -> None:
        scene = Scene("a")
        started = await scene.outcome(restart_of("a"))
        assert isinstance(started, came.VmStarted)
        assert started.life == scene.hypervisor.life("a")
        assert ("prove_gone", "a") not in scene.hypervisor.calls, "the proof is fresh"

    run(story())


def test_an_unprotected_vm_is_not_started() -> None:
    async def story() -> None:
        scene = Scene("a")
        scene.decider.step(ProtectionEnded(at=now(), vm="a", by="me"))
        refused = await scene.outcome(restart_of("a"))
        assert isinstance(refused, came.StartFailed)
        assert refused.reason == "it is not protected any more"
        assert scene.starts == []

    run(story())


def test_a_tenure_of_another_host_starts_nothing() -> None:
    async def story() -> None:
        scene = Scene("a")
        refused = await scene.outcome(restart_of("a", host="host-2"))
        assert isinstance(refused, came.StartFailed)
        assert refused.reason == "its tenure is of host host-2"
        assert scene.starts == []

    run(story())


def test_an_old_proof_is_made_again_before_the_start() -> None:
    async def story() -> None:
        scene = Scene("a")
        assert isinstance(await scene.outcome(restart_of("a", age_s=3)), came.VmStarted)
        assert scene.hypervisor.calls == [("prove_gone", "a"), ("start", "a")]

    run(story())


def test_an_old_proof_that_does_not_hold_any_more_starts_nothing() -> None:
    async def story() -> None:
        scene = Scene("a")
        scene.hypervisor.leftovers["a"] = "its disk is in use by process 9"
        refused = await scene.outcome(restart_of("a", age_s=3))
        assert isinstance(refused, came.StartFailed)
        assert "its disk is in use by process 9" in refused.reason
        assert not refused.is_final
        assert scene.starts == []

    run(story())


def test_a_disarm_while_the_proof_is_made_again_is_heard() -> None:
    async def story() -> None:
        scene = Scene("a")
        prove = scene.hypervisor.prove_gone

        async def prove_and_disarm(
            life: Incarnation, name: str, limit_ms: int = 2_000, *, is_copy: bool = False
        ) -> Any:
            scene.disarm()
            return await prove(life, name, limit_ms, is_copy=is_copy)

        scene.hypervisor.prove_gone = prove_and_disarm  # type: ignore[method-assign]
        assert isinstance(await scene.outcome(restart_of("a", age_s=3)), came.StartFailed)
        assert scene.starts == []

    run(story())


def test_a_start_that_libvirt_did_not_confirm_is_unknown_and_not_failed() -> None:
    async def story() -> None:
        scene = Scene("a")
        scene.hypervisor.hangs.add("a")
        unknown = await scene.outcome(restart_of("a"))
        assert isinstance(unknown, came.StartUnknown)
        assert "did not answer start" in unknown.reason

    run(story())


@pytest.mark.parametrize("is_final", [False, True])
def test_a_start_that_libvirt_refuses_has_failed(*, is_final: bool) -> None:
    async def story() -> None:
        scene = Scene("a")
        scene.hypervisor.refuses["a"] = CallFailed("no memory", is_final=is_final)
        failed = await scene.outcome(restart_of("a"))
        assert isinstance(failed, came.StartFailed)
        assert (failed.reason, failed.is_final) == ("no memory", is_final)

    run(story())


def prove(vm: str) -> act.ProveGone:
    return act.ProveGone(incident=f"i-{vm}", life=life_of(vm), name=f"web-{vm}")


def test_an_end_that_somebody_wanted_is_said_with_the_proof() -> None:
    async def story() -> None:
        scene = Scene("a")
        scene.hypervisor.add(domain_of("a", reason="destroyed"))
        proven = await scene.outcome(prove("a"))
        assert isinstance(proven, came.GoneProven)
        assert proven.wanted == "libvirt says destroyed"
        assert proven.proof.incarnation == life_of("a").key

    run(story())


def test_nothing_is_proven_while_libvirt_says_that_it_runs() -> None:
    async def story() -> None:
        scene = Scene("a")
        scene.hypervisor.add(domain_of("a", "running", "booted"))
        failed = await scene.outcome(prove("a"))
        assert isinstance(failed, came.GoneNotProven)
        assert failed.reason == "libvirt still says running"

    run(story())


def test_an_end_and_an_end_that_fails() -> None:
    async def story() -> None:
        scene = Scene("a")
        life = await scene.hypervisor.start("a")
        asked = act.EndVm(incident="i-a", life=life, name="web-a", reason="it is stuck")
        scene.hypervisor.hangs.add("a")
        failed = await scene.outcome(asked)
        assert isinstance(failed, came.VmNotEnded)
        assert "did not answer end" in failed.reason
        scene.came.clear()
        scene.hypervisor.hangs.clear()
        ended = await scene.outcome(asked)
        assert isinstance(ended, came.VmEnded)
        assert scene.hypervisor.life("a") is None

    run(story())


def test_last_words_that_fail_are_an_outcome() -> None:
    async def story() -> None:
        scene = Scene("a")
        asked = act.CaptureLastWords(incident="i-a", life=life_of("a"), name="web-a")
        assert await scene.outcome(asked) == scene.words

    run(story())


def test_an_answer_and_an_answer_that_is_overdue() -> None:
    async def story() -> None:
        scene = Scene("a")
        life = await scene.hypervisor.start("a")
        asked = act.AwaitAnswer(
            incident="i-a",
            life=life,
            name="web-a",
            answer=Answer(kind=AnswerKind.AGENT),
            limit_ms=100,
        )
        overdue = await scene.outcome(asked)
        assert isinstance(overdue, came.AnswerOverdue)
        scene.came.clear()
        scene.hypervisor.answering.add("a")
        answered = await scene.outcome(asked)
        assert isinstance(answered, came.VmAnswered)
        assert (answered.how, answered.verified) == ("its guest agent answers", True)

    run(story())


def test_what_is_not_written_down_is_not_started() -> None:
    async def story() -> None:
        scene = Scene("a")
        scene.unwritten.add("a")
        scene.executor.carry_out(restart_of("a"))
        await wait_for(lambda: scene.came, "an outcome")
        [failed] = scene.came
        assert isinstance(failed, came.StartFailed)
        assert failed.is_final
        assert "could not be written to the disk" in failed.reason
        assert ("start", "a") not in scene.hypervisor.calls

    asyncio.run(story())
