"""The leader's orders to start a VM of a dead host here, and to take it back.

covers: H9 H15
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.drivers.vm_needs import Place
from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.adapters.simulated.journal import JournalInMemory
from holdfast.agent.answers import Answers
from holdfast.agent.executor import Executor
from holdfast.agent.loop import Loop, now
from holdfast.agent.questions import PLAIN, Questions
from holdfast.agent.starting import Starting
from holdfast.agent.terms import Terms
from holdfast.agent.view import View
from holdfast.detectors.panel import Panel
from holdfast.facts import actions as act
from holdfast.facts import commands as told
from holdfast.facts import outcomes as came
from holdfast.facts import wire
from holdfast.facts.definitions import HostSize, VmDefinition, VmNeeds
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.outcomes import Outcome
from holdfast.facts.promises import Disarm, Protection
from holdfast.facts.verdicts import VmProcessEnded
from holdfast.policy import promise
from holdfast.policy.decide import Decider
from holdfast.policy.vm_states import VmState
from holdfast.policy.world import VmRecord
from holdfast.ports.hypervisor import CallFailed, CallOverran
from tests.agent.scene import BOOT, HOST, domain_of, life_of, protection_of, wait_for

TAKE_BACK_LIMIT_S = 0.5
VM, NAME = "vm-1", "web-vm-1"
XML = f"""<domain type='kvm'><name>{NAME}</name><uuid>{VM}</uuid><memory unit='MiB'>512</memory>
  <on_crash>destroy</on_crash><devices>
  <disk type='file' device='disk'><source file='/srv/web.img'/></disk>
  <interface type='bridge'><source bridge='br0'/></interface></devices></domain>"""
DEFINITION = VmDefinition(
    vm=VM, name=NAME, xml=XML, needs=VmNeeds(memory_mib=512, vcpus=1, bridges=("br0",))
)


class Disk(JournalInMemory):
    """A journal that says what was on the disk when; it is full, or slow, when a test says so."""

    def __init__(self, decider: Decider) -> None:
        super().__init__(1, lambda: decider.world)
        self.synced: list[str] = []
        self.may_sync = True

    def sync(self) -> None:
        if self.may_sync:
            self.synced = [str(bytes(r.body)) for r in self.records() if r.kind == "input"]
        else:
            self.is_full = True
            self.append("note", Instant(0), b"{}")

    def has(self, fact: str) -> bool:
        return any(f'"is":"{fact}"' in line for line in self.synced)


class Quiet:
    def report(self, action: act.Report) -> None:
        pass

    def tell_tenure(self, action: act.TellTenure) -> None:
        pass

    def tell_incident(self, action: act.TellIncident) -> None:
        pass


class Host(HypervisorInMemory):
    """It notes what was on the disk when a VM was started, and reports ends as sensors do."""

    def __init__(self) -> None:
        super().__init__(BOOT)
        self.has = HostSize(memory_mib=4_096, cpus=4, bridges=("br0",))
        self.on_start: Callable[[], None] = lambda: None
        self.on_end: Callable[[str], None] = lambda _: None

    async def start(self, vm: str, limit_ms: int = 60_000) -> Any:
        self.on_start()
        return await super().start(vm, limit_ms)

    def kill(self, vm: str, reason: str = "crashed") -> None:
        super().kill(vm, reason)
        self.on_end(vm)


class Scene:
    def __init__(self) -> None:
        self.decider = Decider()
        self.disk = Disk(self.decider)
        self.hypervisor = Host()
        self.started_with: list[bool] = []
        self.hypervisor.on_start = lambda: self.started_with.append(self.disk.has("StartOrdered"))
        self.hypervisor.on_end = self._ended
        self.loop = Loop(Panel({}), self.decider, self.disk, self._act)
        self.starting = Starting(self.loop, self.hypervisor, self.disk, TAKE_BACK_LIMIT_S)
        self.executor = Executor(
            hypervisor=self.hypervisor,
            uplink=Quiet(),
            answers=Answers(self.hypervisor, lambda _: True, lambda _: False),
            capture=self._capture,
            await_end=self._await_end,
            host=HOST,
            boot=BOOT,
            may_start=lambda asked: promise.may_start(self.decider.world, asked),
            consume=self.loop.consume,
            is_kept=self.starting.is_kept,
        )
        self.questions = Questions()
        self.starting.add_to(self.questions)
        self.view = View(self.loop, dict, lambda _: "")
        self.loop.consume(told.Booted(at=now(), host=HOST, host_name="h", boot=BOOT, state_id="s"))

    def _act(self, action: act.Action) -> None:
        self.executor.carry_out(action)

    def _ended(self, _vm: str) -> None:
        life = self.record.life
        if life is not None:
            self.loop.consume(VmProcessEnded(life=life, at=now()))

    async def _capture(self, asked: act.CaptureLastWords) -> Outcome:
        return came.LastWordsFailed(incident=asked.incident, at=now(), reason="none")

    async def _await_end(self, _vm: str, _limit_s: float) -> None:
        await asyncio.sleep(0)

    @property
    def record(self) -> VmRecord:
        return self.decider.world.vms[VM]

    def summary(self) -> wire.VmSummary:
        return next(one for one in self.view.vms() if one.vm == VM)

    async def order(
        self, generation: int = 2, definition: VmDefinition = DEFINITION, **fields: Any
    ) -> wire.Reply:
        args = {
            "protection": PLAIN(ordered(generation, **fields)),
            "definition": PLAIN(definition),
            "was": "h4",
            "fault_age_ms": 2_000,
            "incident": "h4-1a2b",
        }
        return await self.questions.answer(wire.Question(id=1, name="start-here", args=args))

    async def taken(self, generation: int = 2, **fields: Any) -> None:
        reply = await self.order(generation, **fields)
        assert reply.data == {"is_taken": True, "reason": ""}, reply

    async def refused(self, generation: int = 2, **fields: Any) -> str:
        reply = await self.order(generation, **fields)
        assert reply.data["is_taken"] is False, reply
        assert self.disk.has("StartRefused"), "a refusal is on the disk before it is said"
        return str(reply.data["reason"])

    async def take_back(self, generation: int = 2) -> Any:
        args = {"vm": VM, "generation": generation}
        reply = await self.questions.answer(wire.Question(id=1, name="take-back", args=args))
        return reply.data or reply

    async def runs(self) -> None:
        await wait_for(lambda: self.hypervisor.life(VM), "it runs")
        await wait_for(lambda: self.record.runs, "policy knows that it runs")


def ordered(generation: int = 2, **fields: Any) -> Protection:
    kept = protection_of(VM)
    tenure = structs.replace(kept.tenure, generation=generation, **fields)
    return structs.replace(kept, name=NAME, tenure=tenure)


def play(story: Callable[[Scene], Awaitable[None]]) -> None:
    async def whole() -> None:
        scene = Scene()
        try:
            async with asyncio.timeout(30):
                await story(scene)
        finally:
            await scene.executor.close()
            scene.loop.close()

    asyncio.run(whole())


def test_an_order_is_on_the_disk_before_it_is_answered_and_before_it_starts() -> None:
    async def story(scene: Scene) -> None:
        await scene.taken()
        assert scene.disk.has("StartOrdered")
        await scene.runs()
        assert scene.started_with == [True]
        shown = scene.summary()
        assert (shown.generation, shown.is_running, shown.is_given_up) == (2, True, False)
        assert not shown.is_serving, "its answer is awaited"
        assert (await scene.hypervisor.domain(VM)).on_crash == "preserve", "as protect does it"
        incident = scene.decider.world.incidents[scene.record.incident]
        age_ms = (now() - incident.fault_at) / NS_PER_MS
        assert 2_000 <= age_ms < 20_000, "its outage began with the death of its host"

    play(story)


def test_a_repeat_of_an_order_is_harmless() -> None:
    async def story(scene: Scene) -> None:
        await asyncio.gather(scene.taken(), scene.taken(), scene.taken())
        await scene.runs()
        await scene.taken()
        assert scene.started_with == [True]
        assert scene.hypervisor.calls.count(("define", VM)) == 1

    play(story)


Prepare = Callable[[Scene], None]


def run_unasked(scene: Scene) -> None:
    scene.hypervisor.add(domain_of(VM))
    scene.loop.consume(
        came.VmStarted(incident="none", at=now(), life=life_of(VM))  # Somebody started it.
    )


def disarm(scene: Scene) -> None:
    said = Disarm(owner="ann", reason="upgrade", since_utc_ms=0, until_utc_ms=1 << 50)
    scene.loop.consume(told.Disarmed(at=now(), disarm=said, until=Instant(1 << 60)))


def lack_bridge(scene: Scene) -> None:
    scene.hypervisor.has = HostSize(memory_mib=4_096, cpus=4)


def lack_disk(scene: Scene) -> None:
    scene.hypervisor.disks.places["/srv/web.img"] = Place.MISSING


def have_it_local(scene: Scene) -> None:
    scene.hypervisor.disks.places["/srv/web.img"] = Place.LOCAL


def hang(scene: Scene) -> None:
    scene.hypervisor.hangs.add(VM)


def name_another_so(scene: Scene) -> None:
    scene.hypervisor.add(structs.replace(domain_of("vm-9"), name=NAME))


def know_newer(scene: Scene) -> None:
    scene.loop.consume(told.ProtectionGranted(at=now(), protection=ordered(5), by="ann"))


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (run_unasked, "it runs here already, and not by this order"),
        (disarm, "recovery is disarmed here by ann (upgrade)"),
        (lack_bridge, "there is no bridge br0 on this host"),
        (lack_disk, "its disk /srv/web.img is missing on this host"),
        (have_it_local, "its disk /srv/web.img is on local storage"),
        (hang, "libvirt on this host: libvirt did not answer judge"),
        (name_another_so, "already exists with another uuid"),
        (know_newer, "this host knows generation 5 of it"),
    ],
)
def test_what_forbids_a_start_refuses_the_order_for_good(before: Prepare, said: str) -> None:
    async def story(scene: Scene) -> None:
        before(scene)
        assert said in await scene.refused()
        if before is not know_newer:  # Whatever was in the way is over: a late duplicate comes.
            scene.hypervisor.hangs.clear()
            scene.hypervisor.disks.places.clear()
            scene.hypervisor.has = HostSize(memory_mib=4_096, cpus=4, bridges=("br0",))
            scene.decider.world.disarm = scene.decider.world.disarmed_until = None
            assert "was refused or given back here" in await scene.refused()
            assert "was refused or given back here" in await scene.refused(generation=1)
        assert scene.started_with == []
        assert ("start", VM) not in scene.hypervisor.calls

    play(story)


def test_a_refused_host_may_be_told_anew_in_a_newer_generation() -> None:
    async def story(scene: Scene) -> None:
        lack_disk(scene)
        await scene.refused(2)
        scene.hypervisor.disks.places.clear()
        await scene.taken(4)
        await scene.runs()

    play(story)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"host": "host-2"}, "the order is for host host-2"),
        ({"boot": "boot-0"}, "an earlier boot of this host"),
        ({"state": "recovering"}, "its tenure says recovering"),
        ({"wanted": "stopped"}, "its tenure says held, wanted stopped"),
    ],
)
def test_an_order_for_another_host_boot_or_wish_is_refused(
    fields: dict[str, Any], said: str
) -> None:
    async def story(scene: Scene) -> None:
        assert said in await scene.refused(**fields)
        assert scene.hypervisor.calls == []

    play(story)


def test_a_definition_of_another_vm_is_not_defined() -> None:
    async def story(scene: Scene) -> None:
        other = structs.replace(DEFINITION, xml=XML.replace(VM, "vm-2"))
        assert "that of another VM" in await scene.refused(definition=other)
        broken = structs.replace(DEFINITION, xml="<domain>")
        assert "no XML" in await scene.refused(3, definition=broken)
        assert await scene.hypervisor.domains() == []

    play(story)


def test_an_order_that_cannot_be_written_down_is_not_taken_and_nothing_starts() -> None:
    async def story(scene: Scene) -> None:
        scene.disk.may_sync = False
        reply = await scene.order()
        assert "journal cannot be written" in reply.error, "no answer: neither taken nor refused"
        await wait_for(lambda: scene.record.state is VmState.HANDED_OVER, "it is handed over")
        assert scene.started_with == []
        scene.disk.may_sync, scene.disk.is_full = True, False
        assert await scene.take_back() == {"is_gone": True, "reason": ""}

    play(story)


def test_a_start_that_fails_for_good_is_given_up_and_says_why() -> None:
    async def story(scene: Scene) -> None:
        scene.hypervisor.refuses[VM] = CallFailed("no such emulator", is_final=True)
        await scene.taken()
        await wait_for(lambda: scene.summary().is_given_up, "it is given up")
        shown = scene.summary()
        assert (shown.generation, shown.is_running) == (2, False)
        incident = scene.decider.world.incidents[shown.incident]
        assert "no such emulator" in incident.step
        assert await scene.take_back() == {"is_gone": True, "reason": ""}
        assert "was refused or given back here" in await scene.refused()

    play(story)


def test_what_runs_is_ended_shown_gone_and_not_taken_again() -> None:
    async def story(scene: Scene) -> None:
        await scene.taken()
        await scene.runs()
        assert await scene.take_back() == {"is_gone": True, "reason": ""}
        assert scene.hypervisor.life(VM) is None
        assert ("end", VM) in scene.hypervisor.calls, "its disks are its own until it is gone"
        assert scene.disk.has("CopyOutranked"), "that is on the disk before it is said"
        assert scene.record.protection is None
        assert scene.record.state is VmState.STOPPED
        assert "was refused or given back here" in await scene.refused()
        assert await scene.take_back() == {"is_gone": True, "reason": ""}, "once more"
        assert scene.started_with == [True]

    play(story)


def test_an_order_that_never_came_can_be_taken_back_and_is_refused_when_it_comes() -> None:
    async def story(scene: Scene) -> None:
        assert await scene.take_back() == {"is_gone": True, "reason": ""}
        assert "was refused or given back here" in await scene.refused()
        await scene.taken(3)

    play(story)


def test_a_newer_order_stands_against_a_late_taking_back() -> None:
    async def story(scene: Scene) -> None:
        await scene.taken(3)
        await scene.runs()
        said = await scene.take_back(2)
        assert said == {"is_gone": False, "reason": "this host holds generation 3 of it by now"}
        assert scene.hypervisor.life(VM) is not None

    play(story)


def test_what_runs_here_by_nobodys_order_is_not_ended_and_not_said_to_be_gone() -> None:
    async def story(scene: Scene) -> None:
        run_unasked(scene)
        said = await scene.take_back()
        assert said["is_gone"] is False
        assert "not by a tenure of this host" in said["reason"]
        assert [call for call, _ in scene.hypervisor.calls if call.startswith("end")] == []

    play(story)


def test_what_cannot_be_shown_gone_is_not_said_to_be() -> None:
    async def story(scene: Scene) -> None:
        await scene.taken()
        await scene.runs()
        scene.hypervisor.leftovers[VM] = "its disk is still in use"
        said = await scene.take_back()
        assert said["is_gone"] is False
        assert "is not shown to be gone yet" in said["reason"]
        scene.hypervisor.leftovers.clear()
        await wait_for(lambda: not scene.record.is_copy, "it is looked for until it is gone")
        assert await scene.take_back() == {"is_gone": True, "reason": ""}

    play(story)


def test_a_start_whose_outcome_nobody_knows_is_not_said_to_be_gone() -> None:
    """Libvirt was told to start it and hangs: it may run at any moment."""

    async def story(scene: Scene) -> None:
        scene.hypervisor.refuses[VM] = CallOverran("libvirt did not answer start")
        scene.hypervisor.leftovers[VM] = "libvirt does not answer"
        scene.hypervisor.on_start = lambda: scene.started_with.append(True)
        await scene.taken()
        assert (await scene.take_back())["is_gone"] is False
        del scene.hypervisor.leftovers[VM]
        await wait_for(lambda: not scene.record.is_copy, "a later look shows that it never ran")
        assert await scene.take_back() == {"is_gone": True, "reason": ""}

    play(story)


def test_only_the_newest_leader_orders() -> None:
    async def story(scene: Scene) -> None:
        terms = Terms()
        terms.heard("store", 5)
        guarded = terms.guard(scene.questions.answer)
        for name in ("start-here", "take-back"):
            question = wire.Question(id=1, name=name, args={}, term=4, store_id="store")
            assert "is not obeyed" in (await guarded(question)).error

    play(story)
