"""Commands and the controller's welcome: protect keeps what was before it changes anything."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from holdfast.adapters.simulated.archive import ArchiveInMemory
from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.agent.answers import Answers
from holdfast.agent.commands import Commands
from holdfast.agent.health import Health
from holdfast.agent.identity import Identity
from holdfast.agent.inventory import Inventory
from holdfast.agent.loop import Loop, now
from holdfast.agent.memory import open_journal
from holdfast.agent.questions import PLAIN, Questions
from holdfast.agent.view import View
from holdfast.agent.welcome import Welcomer
from holdfast.detectors.panel import Panel
from holdfast.facts import wire
from holdfast.facts.commands import Booted
from holdfast.facts.promises import Answer, AnswerKind, Disarm, Group, Owner
from holdfast.facts.subjects import vm_subject
from holdfast.facts.verdicts import Certainty, Effect, FaultRaised, VmRan
from holdfast.policy.decide import Decider
from holdfast.ports.hypervisor import CallFailed, CallOverran, TakenOver
from tests.agent.scene import BOOT, HOST, domain_of, life_of, protection_of
from tests.policy.inputs import granted, group_set
from tests.policy.scene import Scene as Policy

BEFORE = TakenOver(vm="a", autostart=False, on_crash="restart")
VM, NAME = "6f1c1d3e", "web-6f1c1d3e"  # In no line by chance.
ME = Identity(host=HOST, host_name="h", boot=BOOT, state_id="s", is_new_state=False)


class Watched(HypervisorInMemory):
    """Looks at the memo on the disk in the moment in which the VM is changed, and may fail."""

    def __init__(self, memo: Path) -> None:
        super().__init__(BOOT)
        self.memo = memo
        self.fails: CallFailed | None = None
        self.kept_before: TakenOver | None = None

    async def take_over(self, vm: str, limit_ms: int = 5_000) -> TakenOver:
        self.kept_before = Health(self.memo, dict).taken(vm)
        if self.fails is not None:
            raise self.fails
        return await super().take_over(vm, limit_ms)


class Scene:
    def __init__(self, folder: Path) -> None:
        self.decider = Decider()
        self.journal = open_journal(folder / "journal", self.decider, 64)
        self.loop = Loop(Panel({}), self.decider, self.journal, lambda _: None)
        self.loop.consume(Booted(at=now(), host=HOST, host_name="h", boot=BOOT, state_id="s"))
        self.memo = folder / "memo.json"
        self.hypervisor = Watched(self.memo)
        self.hypervisor.add(domain_of("a"))
        self.health = Health(self.memo, dict)
        view = View(self.loop, dict, lambda _: "")
        self.questions = Questions()
        archive = ArchiveInMemory(folder)
        mine = Commands(
            self.loop,
            view,
            self.hypervisor,
            archive,
            folder / "journal",
            self.health,
            Answers(self.hypervisor, lambda _: True, lambda _: False),
        )
        mine.add_to(self.questions)
        self.welcomer = Welcomer(self.loop, Inventory(self.hypervisor, view.vms), ME)

    async def ask(self, name: str, **args: Any) -> wire.Reply:
        return await self.questions.answer(wire.Question(id=1, name=name, args=args, by="me"))

    async def protect(self) -> wire.Reply:
        return await self.ask("grant", protection=PLAIN(protection_of("a")))

    def is_protected(self) -> bool:
        record = self.decider.world.vms.get("a")
        return record is not None and record.protection is not None

    def disarm(self) -> Disarm | None:
        return self.decider.world.disarm

    async def on_crash(self) -> str:
        return (await self.hypervisor.domain("a")).on_crash


def play(scene: Scene, story: Coroutine[Any, Any, None]) -> None:
    async def whole() -> None:
        try:
            async with asyncio.timeout(30):
                await story
        finally:
            scene.loop.close()
            scene.journal.close()

    asyncio.run(whole())


def make(folder: Path) -> Scene:
    scene: list[Scene] = []

    async def within_a_loop() -> None:
        scene.append(Scene(folder))
        scene[0].loop.close()

    asyncio.run(within_a_loop())
    return scene[0]


def test_what_protect_changes_is_on_the_disk_before_it_is_changed(tmp_path: Path) -> None:
    scene = make(tmp_path)

    async def story() -> None:
        assert not (await scene.protect()).error
        assert scene.hypervisor.kept_before == BEFORE
        assert await scene.on_crash() == "preserve"
        assert not (await scene.protect()).error, "protect again: the first record stands"
        assert not (await scene.ask("release", vm="a")).error
        assert await scene.on_crash() == "restart"
        assert Health(scene.memo, dict).taken("a") is None
        assert not scene.is_protected()

    play(scene, story())


def test_a_refused_take_over_leaves_no_record(tmp_path: Path) -> None:
    scene = make(tmp_path)

    async def story() -> None:
        scene.hypervisor.fails = CallFailed("read only")
        assert (await scene.protect()).error == "libvirt: read only"
        assert Health(scene.memo, dict).taken("a") is None
        assert not scene.is_protected()

    play(scene, story())


def test_a_take_over_that_overran_may_have_happened_and_is_remembered(tmp_path: Path) -> None:
    scene = make(tmp_path)

    async def story() -> None:
        scene.hypervisor.fails = CallOverran("no answer")
        assert (await scene.protect()).error == "libvirt: no answer"
        assert Health(scene.memo, dict).taken("a") == BEFORE

    play(scene, story())


def test_what_serves_is_not_recovered_and_that_is_a_refusal(tmp_path: Path) -> None:
    scene = make(tmp_path)

    async def story() -> None:
        await scene.protect()
        refused = await scene.ask("recover", vm="a")
        assert refused.code == 4
        assert "has nothing to recover from" in refused.error
        assert (await scene.ask("recover", vm="nobody")).code == 2

    play(scene, story())


def test_the_story_of_a_vm_tells_who_switched_recovery_off_and_on_meanwhile(tmp_path: Path) -> None:
    scene = make(tmp_path)

    async def told_in_story() -> list[str]:
        scene.journal.sync()
        records = (await scene.ask("explain")).data["records"]
        return [str(one["body"]["is"]) for one in records if one["kind"] == "input"]

    async def story() -> None:
        scene.hypervisor.add(domain_of(VM))
        await scene.ask("grant", protection=PLAIN(protection_of(VM)))
        await scene.ask("disarm", reason="new switch", seconds=60)
        scene.loop.consume(VmRan(life=life_of(VM), name=NAME, at=now()))
        scene.loop.consume(
            FaultRaised(
                detector="vm_gone",
                condition="vm-gone",
                subject=vm_subject(VM, NAME),
                effect=Effect.GONE,
                certainty=Certainty.CERTAIN,
                fault_at=now(),
                detected_at=now(),
                reason="it was killed",
                life=life_of(VM),
            )
        )
        assert (await told_in_story())[-3:] == ["Disarmed", "VmRan", "FaultRaised"]
        await scene.ask("arm")
        assert (await told_in_story())[-1] == "Armed"

    play(scene, story())


@pytest.mark.parametrize("owner", [None, Owner.EXTERNAL, Owner.NOBODY])
def test_what_is_not_ours_to_restart_is_not_said_to_begin_anew(
    tmp_path: Path, owner: Owner | None
) -> None:
    """Nothing would be started, and who asked would wait for it."""
    scene = make(tmp_path)
    told = Policy(is_protected=owner is not None)
    if owner is not None:
        told.step(group_set(5, Group(name="gold", owner=owner)))
    told.kill()
    scene.decider.world = told.lawful.decider.world

    async def story() -> None:
        refused = await scene.ask("recover", vm=told.web.vm)
        assert refused.code == 4
        assert refused.error.startswith("web is not restarted by Holdfast: ")
        assert "virsh start web" in refused.hint
        assert ("holdfast vm protect web" in refused.hint) is (owner is None)

    play(scene, story())


@pytest.mark.slow
def test_whether_it_answers_now_is_looked_at_for_a_moment(tmp_path: Path) -> None:
    scene = make(tmp_path)
    told = Policy(is_protected=False)
    told.step(granted(5, answer=Answer(kind=AnswerKind.AGENT)))
    scene.decider.world = told.lawful.decider.world
    vm = told.web.vm
    scene.hypervisor.add(domain_of(vm))

    async def story() -> None:
        await scene.hypervisor.start(vm)
        assert (await scene.ask("answers-now", vm=vm)).data == {"answers_now": ""}
        scene.hypervisor.answering.add(vm)
        said = {"answers_now": "its guest agent answers"}
        assert (await scene.ask("answers-now", vm=vm)).data == said
        assert (await scene.ask("answers-now", vm="nobody")).data == {"answers_now": None}
        told.kill()
        assert (await scene.ask("answers-now", vm=vm)).data == {"answers_now": None}

    play(scene, story())


def test_last_words_that_there_are_not_are_said_of_a_name(tmp_path: Path) -> None:
    scene = make(tmp_path)
    told = Policy()
    scene.decider.world = told.lawful.decider.world

    async def story() -> None:
        for name in ("web", told.web.vm):
            assert (
                await scene.ask("last-words", vm=name)
            ).error == "there are no last words of web"

    play(scene, story())


def test_a_refused_repeat_does_not_forget_the_first_record(tmp_path: Path) -> None:
    scene = make(tmp_path)

    async def story() -> None:
        assert not (await scene.protect()).error
        scene.hypervisor.fails = CallFailed("read only")
        assert (await scene.protect()).error
        assert Health(scene.memo, dict).taken("a") == BEFORE

    play(scene, story())


def test_what_cannot_be_kept_is_not_changed(tmp_path: Path) -> None:
    scene = make(tmp_path)

    async def story() -> None:
        scene.memo.with_suffix(".new").mkdir()  # Nothing can be written there now.
        refused = await scene.protect()
        assert "cannot be kept" in refused.error
        assert refused.code == 4
        assert await scene.on_crash() == "restart"
        assert not scene.is_protected()
        assert scene.health.losses().count == 1

    play(scene, story())


def test_what_nobody_understands_is_said_so(tmp_path: Path) -> None:
    scene = make(tmp_path)

    async def story() -> None:
        assert "does not know" in (await scene.ask("sing")).error
        assert "cannot be understood" in (await scene.ask("grant", protection=7)).error
        assert "needs a reason" in (await scene.ask("disarm")).error
        wrong: tuple[object, ...] = ([1], {}, "soon", -1)
        for seconds in wrong:
            refused = await scene.ask("disarm", reason="upgrade", seconds=seconds)
            assert (refused.code, refused.error) == (2, "a disarm lasts from 1 s to 24 h")
        odd = await scene.ask("group", group={"name": "gold", "restarts": -1})
        assert (odd.code, odd.error) == (2, "restarts must be from 0 to 1000, not -1")

    play(scene, story())


def test_a_complete_welcome_is_what_holds_from_now_on(tmp_path: Path) -> None:
    scene = make(tmp_path)
    disarm = Disarm(owner="me", reason="upgrade", since_utc_ms=0, until_utc_ms=1 << 50)

    async def story() -> None:
        scene.welcomer.welcomed(
            wire.Welcome(
                version=1,
                term=1,
                groups=(Group(name="one"),),
                protections=(protection_of("a"),),
                disarm=disarm,
            )
        )
        assert scene.is_protected()
        assert scene.disarm() == disarm
        assert list(scene.decider.world.groups) == ["one"]
        # The store is away: what is not named stays.
        scene.welcomer.welcomed(wire.Welcome(version=1, term=1, is_complete=False))
        assert scene.is_protected()
        assert scene.disarm() == disarm
        scene.welcomer.welcomed(wire.Welcome(version=1, term=1, released=("a",)))
        assert not scene.is_protected()
        assert scene.disarm() is None
        assert not scene.decider.world.groups

    play(scene, story())
