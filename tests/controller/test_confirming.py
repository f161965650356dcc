"""A person's word that a host is dead: shown first what was heard of it, refused while it lives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.drivers.person_proof import confirmed_dead
from holdfast.controller.confirming import Confirming, Ears
from holdfast.controller.life_signs import LifeSigns
from holdfast.controller.registry import DISARM, Known
from holdfast.facts.definitions import VmDefinition, VmNeeds
from holdfast.facts.fencing import Fence, FenceDevice, FenceStep, HostFencing
from holdfast.facts.hearing import Sign, WitnessKind, WitnessSpoke
from holdfast.facts.instants import Instant
from holdfast.facts.promises import Answer, Disarm, Group, Owner, Protection
from holdfast.facts.tenure import RESTORED, ProofKind, Tenure, TenureState, Wanted
from holdfast.ports import clock
from holdfast.ports.answers import REFUSED, USAGE, Unanswerable
from holdfast.ports.fencer import PowerState
from tests.controller.fake_agent import ask, ask_all, wait_for
from tests.controller.fake_fencer import AGENT, FakeFencer
from tests.controller.store_between import StoreBetween, led
from tests.controller.test_fencing import a_fence, house_with_a_host
from tests.controller.test_life_signs import silent
from tests.controller.test_rehearsal import pulse

WHY = "I pulled its power plug"
ROW = {"host": "h4-id", "host_name": "h4", "boot": "boot-3", "incident": "h4-1-aa"}


def protection(vm: str, boot: str = "boot-3", **tenure: Any) -> Protection:
    held = {"host": "h4-id", "state": TenureState.HELD, "wanted": Wanted.RUNNING, **tenure}
    agreed = Tenure(vm=vm, generation=1, boot=boot, **held)
    return Protection(vm=vm, name=vm, group="default", answer=Answer(), tenure=agreed)


def spoke(sign: Sign) -> WitnessSpoke:
    at, kind = Instant(0), WitnessKind.CONTROLLER
    return WitnessSpoke(at=at, host="h4-id", kind=kind, witness="c2", plane="", sign=sign)


class Scene:
    """Host h4 of a site in memory, of which nothing is heard, unless a test says so."""

    def __init__(self) -> None:
        self.store, self.signs = StoreBetween(), LifeSigns()
        self.fencer = FakeFencer()
        self.heard, self.is_reliable, self.is_linked = Sign.NOTHING, True, False
        self.answer, self.peers = Sign.NOTHING, [spoke(Sign.NOTHING)]
        self.said: list[str] = []
        self.holds: list[str] = []
        self.power, self.lease = "", ""
        self.row = dict(ROW)

    async def begin(self, *puts: Any, **more: Any) -> None:
        self.registry = await led(self.store)
        for one in puts:
            await self.put(f"protections/{one.vm}", one)
        if not more.get("is_alone"):
            other = Known(host="h1-id", host_name="h1", boot="boot-1", state_id="s")
            await self.put("agents/h1-id", other)
        self.confirming = Confirming(
            registry=self.registry,
            fencer=self.fencer,
            ears=Ears(
                signs=self.signs,
                sign_of=lambda _: self.heard,
                is_reliable=lambda: self.is_reliable,
                is_linked=lambda _: self.is_linked,
                planes=lambda: ["a"],
                probe=self.probe,
                ask_peers=self.ask_peers,
                lease_words=lambda _: self.lease,
            ),
            find_host=lambda _: self.row,
            running_on=lambda _: more.get("running", {}),
            hold_power=self.hold_power,
            say=self.said.append,
        )

    async def put(self, key: str, value: Any) -> None:
        await self.registry.change(lambda: {key: value})

    @contextlib.asynccontextmanager
    async def hold_power(self, host: str) -> AsyncIterator[str]:
        self.holds.append(host)
        yield self.power
        self.holds.remove(host)

    async def probe(self, _host: str, _plane: str) -> Sign:
        return self.answer

    async def ask_peers(self, _host: str) -> Sequence[WitnessSpoke]:
        return self.peers

    async def ask(self, **args: Any) -> dict[str, Any]:
        return await self.confirming.ask({"host": "h4", **args}, "anna", 7)

    async def confirm(self, because: str = WHY) -> Fence:
        await self.ask(confirmed="h4", because=because)
        fence = self.registry.fence("h4-id")
        assert fence is not None
        return fence

    async def refusal(self, **args: Any) -> Unanswerable:
        with pytest.raises(Unanswerable) as raised:
            await self.ask(**{"confirmed": "h4", "because": WHY, **args})
        return raised.value


def test_a_word_on_a_dead_host_becomes_a_proof_of_all_its_boots(tmp_path: Path) -> None:
    async def work() -> None:
        scene = Scene()
        held = [protection("vm-1"), protection("vm-2", "boot-1"), protection("vm-3", "")]
        await scene.begin(*held, protection("vm-4", RESTORED))
        known = Known(host="h4-id", host_name="h4", boot="boot-2", state_id="s")
        await scene.put("agents/h4-id", known)
        fence = await scene.confirm()
        assert (fence.boot, fence.earlier) == ("boot-3", ("boot-2", "boot-1"))
        assert (fence.step, fence.number, fence.term) == (FenceStep.OFF, 1, 7)
        assert (fence.by, fence.reason, fence.incident) == ("anna", WHY, "h4-1-aa")
        proof = fence.proof
        assert proof is not None
        assert (proof.kind, proof.host, proof.by) == (ProofKind.PERSON, "h4-id", "anna")
        assert (proof.boot, proof.earlier) == (fence.boot, fence.earlier)
        assert proof.shown[0] == f"anna says that it is dead: {WHY}"
        assert "asked now on plane a: no sign of life" in proof.shown
        assert scene.said == [f"anna says that h4 is dead ({WHY}): its VMs may start elsewhere"]

    asyncio.run(work())


def test_a_proof_needs_who_gives_it_and_how_they_know() -> None:
    fence = a_fence(FenceStep.OFF)
    for by, how in (("", WHY), ("anna", " ")):
        with pytest.raises(ValueError, match="a proof needs"):
            confirmed_dead(fence, by, how)


def alive(scene: Scene, what: str) -> None:
    match what:
        case "pulse":
            scene.heard = Sign.PULSE
        case "link":
            scene.is_linked = True
        case "doubt":
            scene.is_reliable = False
        case "kernel":
            scene.answer = Sign.KERNEL
        case "answer":
            scene.answer = Sign.PULSE
        case _:
            scene.peers = [spoke(Sign.NOTHING), spoke(Sign.PULSE)]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("pulse", "its pulses arrive at this controller"),
        ("link", "its agent is linked"),
        ("doubt", "this controller was too slow to know"),
        ("kernel", "its kernel answered on plane a just now"),
        ("answer", "it answered on plane a just now"),
        ("peer", "controller c2 hears it now"),
    ],
)
def test_no_sign_of_life_is_passed_over(what: str, said: str) -> None:
    async def work() -> None:
        scene = Scene()
        await scene.begin(protection("vm-1"))
        alive(scene, what)
        shown = await scene.ask()
        assert [one for one in shown["lives"] if said in one]
        refusal = await scene.refusal()
        assert str(refusal).startswith("h4 shows a sign of life: ")
        assert said in str(refusal)
        assert refusal.code == REFUSED
        assert 'holdfast host confirm-dead h4 --because "how you know"' in refusal.hint
        assert scene.registry.fence("h4-id") is None
        assert scene.said == []

    asyncio.run(work())


@pytest.mark.parametrize("what", ["pulse", "link"])
def test_one_that_wakes_while_others_are_asked_is_not_passed_over(what: str) -> None:
    """It is looked at once more right before the store is told, each time that it is: here the
    store does not say at first whether it took it, and is read again."""

    async def work() -> None:
        scene = Scene()
        await scene.begin(protection("vm-1"))
        scene.store.lose_next_answer(committed=False)

        async def wakes() -> None:
            alive(scene, what)

        scene.store.between = wakes
        assert "shows a sign of life" in str(await scene.refusal())
        assert scene.registry.fence("h4-id") is None

    asyncio.run(work())


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"confirmed": "h5"}, "the host is called h4, and 'h5' was typed: nothing was done"),
        ({"confirmed": "H4"}, "the host is called h4, and 'H4' was typed: nothing was done"),
        ({"because": " "}, "it must be said how you know that it is dead"),
        ({"because": "x" * 501}, "say in 500 letters or less how you know that it is dead"),
    ],
)
def test_its_name_must_be_typed_and_a_reason_given(args: dict[str, str], said: str) -> None:
    async def work() -> None:
        scene = Scene()
        await scene.begin(protection("vm-1"))
        refusal = await scene.refusal(**args)
        assert (str(refusal), refusal.code) == (said, USAGE)
        assert scene.registry.fence("h4-id") is None

    asyncio.run(work())


def test_what_is_proven_is_not_proven_again_until_it_had_another_boot() -> None:
    async def work() -> None:
        scene = Scene()
        await scene.begin(protection("vm-1"))
        await scene.confirm()
        shown = await scene.ask()
        assert shown["hindered"] == "h4 is proven dead already: anna said so"
        assert "is proven dead already" in str(await scene.refusal())
        scene.row["boot"] = "boot-4"
        assert (await scene.ask())["hindered"] == ""
        fence = await scene.confirm("it is on fire")
        assert (fence.number, fence.boot, fence.earlier) == (2, "boot-4", ("boot-3",))

    asyncio.run(work())


@pytest.mark.parametrize(
    ("step", "doubt"),
    [(FenceStep.INTENDED, ""), (FenceStep.INTENDED, "h5 fell silent too"), (FenceStep.CLOSED, "")],
)
def test_a_fence_that_proved_nothing_is_followed_by_a_persons(step: FenceStep, doubt: str) -> None:
    async def work() -> None:
        scene = Scene()
        await scene.begin(protection("vm-1"))
        intended = Fence(**{**fields(a_fence(step)), "host": "h4-id", "number": 5, "doubt": doubt})
        await scene.put("fences/h4-id", intended)
        await scene.put("fencing/h4-id", ladder("10.0.9.4"))
        fence = await scene.confirm()
        assert (fence.number, fence.step, fence.by) == (6, FenceStep.OFF, "anna")
        assert fence.doubt == ""
        assert scene.fencer.asked == ["10.0.9.4"], "nobody switches it off now: it may be asked"

    asyncio.run(work())


def fields(fence: Fence) -> dict[str, Any]:
    return {name: getattr(fence, name) for name in fence.__struct_fields__}


def ladder(*ips: str) -> HostFencing:
    devices = [FenceDevice(agent=AGENT, options={"ip": ip}) for ip in ips]
    return HostFencing(host="h4-id", devices=tuple(devices))


def test_a_host_that_was_never_heard_of_can_not_be_proven_dead() -> None:
    async def work() -> None:
        scene = Scene()
        await scene.begin()
        scene.row["boot"] = ""
        assert "no boot of h4 was ever heard of" in str(await scene.refusal())

    asyncio.run(work())


def test_a_store_that_does_not_say_what_it_took_makes_one_fence() -> None:
    async def work() -> None:
        for committed in (False, True):
            scene = Scene()
            await scene.begin(protection("vm-1"))
            scene.store.lose_next_answer(committed=committed)
            assert (await scene.confirm()).number == 1

    asyncio.run(work())


def test_a_plane_on_which_it_has_no_address_is_said_to_say_nothing() -> None:
    async def work() -> None:
        scene = Scene()
        scene.answer = Sign.UNKNOWN
        await scene.begin(protection("vm-1"))
        signs = (await scene.ask())["signs"]
        assert "plane a: it cannot be asked, its address there is not known" in signs

    asyncio.run(work())


def test_its_devices_are_asked_and_an_answer_is_shown() -> None:
    async def work() -> None:
        scene = Scene()
        scene.fencer.bmcs = {"1": PowerState.ON, "2": "login failed"}
        await scene.begin(protection("vm-1"))
        await scene.put("fencing/h4-id", ladder("1", "2"))
        signs = (await scene.ask())["signs"]
        assert f"{AGENT}, asked now for its power: it is on" in signs
        assert f"{AGENT}, asked now for its power: login failed" in signs

    asyncio.run(work())


def test_a_lease_that_may_not_be_over_is_shown() -> None:
    async def work() -> None:
        scene = Scene()
        await scene.begin(protection("web-id"))
        scene.lease = "if it is only cut off, web may run there for 20 s more"
        assert scene.lease in (await scene.ask())["signs"]

    asyncio.run(work())


def defined(vm: str, obstacle: str = "") -> VmDefinition:
    needs = VmNeeds(memory_mib=1, vcpus=1, obstacle=obstacle)
    return VmDefinition(vm=vm, name=vm, xml="<domain/>", needs=needs)


def test_it_is_said_which_vms_start_elsewhere_and_why_others_stay() -> None:
    async def work() -> None:
        scene = Scene()
        held = [protection("vm-1"), protection("vm-2", wanted=Wanted.STOPPED)]
        held += [protection("vm-3", ""), protection("vm-4"), protection("vm-5")]
        held += [protection("vm-6", state=TenureState.MIGRATING)]
        foreign = structs.replace(protection("vm-7"), group="vnf")
        elsewhere = protection("vm-8", host="h5-id")
        running = {"vm-1": "vm-1", "vm-9": "loose"}
        await scene.begin(*held, foreign, elsewhere, running=running)
        await scene.put("groups/vnf", Group(name="vnf", owner=Owner.EXTERNAL))
        for vm in ("vm-1", "vm-2", "vm-3", "vm-6", "vm-7"):
            await scene.put(f"definitions/{vm}", defined(vm))
        await scene.put("definitions/vm-5", defined("vm-5", "its disk is on h4 alone"))
        vms = {one["name"]: one["stays"] for one in (await scene.ask())["vms"]}
        assert vms == {
            "vm-1": "",
            "vm-2": "it is wanted stopped",
            "vm-3": "it is in doubt what its host held: protect it again",
            "vm-4": "no controller was told its definition",
            "vm-5": "its disk is on h4 alone",
            "vm-6": "it was moving to another host",
            "vm-7": "its recovery is owned by external",
            "loose": "it is not protected",
        }
        later = clock.utc_ms() + 3_600_000
        disarm = Disarm(owner="bert", reason="move", since_utc_ms=0, until_utc_ms=later)
        await scene.put(DISARM, disarm)
        hindered = (await scene.ask())["hindered"]
        assert "bert switched recovery off: move" in hindered
        assert "holdfast arm" in hindered

    asyncio.run(work())


def test_a_whole_controller_refuses_while_the_host_lives_and_then_takes_the_word(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        async with house_with_a_host(tmp_path) as (house, _):
            await pulse(house)
            shown = await ask(house.socket, "host-confirm-dead", host="host-a")
            assert "plane a: it pulses" in shown["signs"]
            assert [one["name"] for one in shown["vms"]] == ["web-1"]
            word = {"host": "host-a", "confirmed": "host-a", "because": WHY}
            refused = await ask_all(house.socket, "host-confirm-dead", **word)
            assert "its pulses arrive" in refused.error
            assert "its agent is linked" in refused.error
        async with house_with_a_host(tmp_path) as (house, agent):
            await pulse(house)
            agents = house.controller.agents
            await agent.hang_up()
            await wait_for(lambda: agents.by_host["host-a"].link is None)
            house.controller.watch.see(silent("host-a", "a", clock.now()))
            told = await ask(house.socket, "host-confirm-dead", **word)
            assert told["fence"]["proof"]["by"] == "anna"
            fence = house.controller.registry.fence("host-a")
            assert fence is not None
            assert (fence.boot, fence.step, fence.number) == ("boot-1", FenceStep.OFF, 1)
            changes = (await ask(house.socket, "audit"))["changes"]
            assert [one["outcome"] for one in changes] == ["done", "refused", "done"]
            events = (await ask(house.socket, "events"))["events"]
            texts = [one["text"] for one in events]
            assert f"anna says that host-a is dead ({WHY}): its VMs may start elsewhere" in texts
            assert any(f"say that host-a is dead: {WHY}: done" in text for text in texts)

    asyncio.run(work())
