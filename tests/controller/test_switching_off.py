"""A ladder of fence devices is climbed without waiting for the dead, and for as long as is wanted.

covers: H2 H7 H9
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest
from msgspec import structs

from holdfast.controller.recovering import Recoverer
from holdfast.controller.registry import Known
from holdfast.facts import actions as act
from holdfast.facts import outcomes as came
from holdfast.facts.fencing import (
    DeviceTried,
    Fence,
    FenceDevice,
    FenceStep,
    HostFencing,
    HostMode,
    Rehearsal,
)
from holdfast.facts.promises import Disarm
from holdfast.facts.tenure import DeathProof
from holdfast.policy.rehearsals import why_not_fenceable
from holdfast.ports import clock
from holdfast.ports.fencer import FenceFailed, PowerState
from tests.controller.fake_agent import wait_for
from tests.controller.recovery_scene import FOR_EVER_MS, PROOF, Scene, intent
from tests.controller.test_confirming import WHY, protection
from tests.controller.test_confirming import Scene as WordScene

SOON_S = 0.05


class SlowDevices:
    """Each waits until it is told what comes of it; it is seen to begin and to be ended."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.at_work: set[str] = set()
        self.comes: dict[str, asyncio.Future[str]] = {}

    async def check(self, device: FenceDevice) -> None:
        raise NotImplementedError

    async def power(self, device: FenceDevice) -> PowerState:
        raise NotImplementedError

    async def switch_off(self, _fence: Fence, device: FenceDevice) -> DeathProof:
        self.began.append(device.agent)
        self.at_work.add(device.agent)
        future = self.comes[device.agent] = asyncio.get_running_loop().create_future()
        try:
            failure = await future
            if failure:
                raise FenceFailed(failure)
        finally:
            await asyncio.sleep(0)  # As an agent that is ended takes a moment.
            self.at_work.discard(device.agent)
        return structs.replace(PROOF, shown=(f"{device.agent} read it back off",))

    def tell(self, agent: str, failure: str = "") -> None:
        self.comes[agent].set_result(failure)


class PowerScene(Scene):
    def __init__(self, patience_s: float = SOON_S) -> None:
        super().__init__()
        self.devices = SlowDevices()
        self.at_work_then: list[set[str]] = []
        self.recoverer = Recoverer(
            registry=self.registry,
            agents=self.agents,
            fencer=self.devices,
            term=lambda: self.term,
            consume=self._consume,
            fault_age_ms=lambda _: self.lost_ms,
            hindrance=lambda _: self.hindrance,
            next_after_s=SOON_S,
            patience_s=patience_s,
        )

    def _consume(self, outcome: came.SiteOutcome) -> None:
        self.at_work_then.append(set(self.devices.at_work))
        self.came.append(outcome)

    async def begin_off(self) -> None:
        await self.do(act.PutFence(fence=intent(self.term)))
        await self.order_off()

    async def order_off(self) -> None:
        assert self.fence is not None
        await self.do(act.SwitchOff(incident="i", fence=self.fence))

    async def outcome(self) -> came.SiteOutcome:
        await wait_for(lambda: bool(self.came))
        [only] = self.came
        return only

    async def refused(self) -> str:
        outcome = await self.outcome()
        assert isinstance(outcome, came.NotSwitchedOff)
        return outcome.reason


def run(work: Callable[[PowerScene], Awaitable[None]], patience_s: float = SOON_S) -> None:
    async def whole() -> None:
        scene = PowerScene(patience_s)
        await scene.begin()
        await work(scene)
        scene.recoverer.close()
        await scene.store.close()

    asyncio.run(whole())


def test_a_dead_first_device_does_not_keep_the_second_waiting() -> None:
    async def work(scene: PowerScene) -> None:
        await scene.begin_off()
        assert scene.devices.began == ["fence_a"]
        await wait_for(lambda: scene.devices.began == ["fence_a", "fence_b"])
        scene.devices.tell("fence_b")
        off = await scene.outcome()
        assert isinstance(off, came.SwitchedOff)
        assert off.proof.shown == ("fence_b read it back off",)
        assert scene.at_work_then == [set()], "the other has ended before anybody hears of it"

    run(work)


def test_a_first_device_that_is_slow_and_works_counts_as_well() -> None:
    async def work(scene: PowerScene) -> None:
        await scene.begin_off()
        await wait_for(lambda: len(scene.devices.began) == 2)
        scene.devices.tell("fence_b", "it has no such plug")
        await asyncio.sleep(0)
        scene.devices.tell("fence_a")
        off = await scene.outcome()
        assert isinstance(off, came.SwitchedOff)
        assert off.proof.shown == ("fence_a read it back off",)

    run(work)


def test_of_two_that_work_at_once_one_is_told_of() -> None:
    async def work(scene: PowerScene) -> None:
        await scene.begin_off()
        await wait_for(lambda: len(scene.devices.began) == 2)
        scene.devices.tell("fence_b")
        scene.devices.tell("fence_a")
        await scene.outcome()
        await asyncio.sleep(3 * SOON_S)
        assert [type(one) for one in scene.came] == [came.SwitchedOff]

    run(work)


def test_what_each_said_is_told_in_the_order_of_the_ladder() -> None:
    async def work(scene: PowerScene) -> None:
        await scene.begin_off()
        await wait_for(lambda: len(scene.devices.began) == 2)
        scene.devices.tell("fence_b", "no such plug")
        await asyncio.sleep(SOON_S)
        scene.devices.tell("fence_a", "no answer")
        assert await scene.refused() == "fence_a: no answer; fence_b: no such plug"

    run(work)


def test_a_second_device_does_not_begin_once_somebody_disarmed() -> None:
    async def work(scene: PowerScene) -> None:
        await scene.begin_off()
        disarm = Disarm(owner="ann", reason="b", since_utc_ms=0, until_utc_ms=FOR_EVER_MS)
        await scene.put("disarm", disarm)
        await asyncio.sleep(3 * SOON_S)
        assert scene.devices.began == ["fence_a"]
        scene.devices.tell("fence_a", "no answer")
        assert await scene.refused() == "fence_a: no answer; ann disarmed recovery"

    run(work)


@pytest.mark.parametrize("why", ["another leads", "it is proven"])
def test_what_is_under_way_ends_when_it_is_not_wanted_any_more(why: str) -> None:
    async def work(scene: PowerScene) -> None:
        await scene.begin_off()
        if why == "another leads":
            scene.term = None
        else:
            off = intent(scene.term, step=FenceStep.OFF, proof=PROOF)
            await scene.put("fences/h4", off)
        await scene.refused()
        assert scene.at_work_then == [set()]
        assert scene.devices.began == ["fence_a"]

    run(work)


def test_a_persons_word_ends_what_is_under_way_and_lets_none_begin() -> None:
    async def work(scene: PowerScene) -> None:
        await scene.begin_off()
        async with scene.recoverer.power.held("h4") as said:
            assert scene.devices.at_work == set()
            assert said.startswith("it was being switched off; that was ended after")
            assert "look that its power stays off" in said
            await scene.refused()
            scene.came.clear()
            await scene.order_off()
            assert "a person is about to say that it is dead" in await scene.refused()
            assert scene.devices.began == ["fence_a"], "none begins meanwhile"
        scene.came.clear()
        await scene.order_off()
        assert scene.devices.began == ["fence_a", "fence_a"], "his word was not taken: it goes on"

    run(work)


@pytest.mark.parametrize(
    ("failure", "how"), [("", "its power was read back off"), ("no answer", "it could not be")]
)
def test_a_persons_word_waits_a_while_for_it_to_end_by_itself(failure: str, how: str) -> None:
    async def work(scene: PowerScene) -> None:
        await scene.put("fencing/h4", structs.replace(scene.registry.fencing("h4"), devices=ONE))
        await scene.begin_off()
        asyncio.get_running_loop().call_later(SOON_S / 2, scene.devices.tell, "fence_a", failure)
        async with scene.recoverer.power.held("h4") as said:
            assert said == f"it was being switched off, and that has ended: {how}"
        await scene.outcome()

    run(work, patience_s=20.0)  # Whatever else this machine does.


def test_a_host_that_nobody_switches_off_is_nothing_to_wait_for() -> None:
    async def work(scene: PowerScene) -> None:
        async with contextlib.AsyncExitStack() as stack:
            assert await stack.enter_async_context(scene.recoverer.power.held("h4")) == ""
            assert await stack.enter_async_context(scene.recoverer.power.held("h4")) == ""
        await scene.begin_off()
        assert scene.devices.began == ["fence_a"]

    run(work)


def test_a_power_off_that_is_under_way_is_seen_to_its_end_first() -> None:
    """Whoever said that it is dead may switch it on at once, to see what it has."""

    async def work() -> None:
        scene = WordScene()
        await scene.begin(protection("vm-1"))
        scene.power = "it was being switched off; that was ended"
        holds_then: list[list[str]] = []
        scene.registry.on_change.append(lambda _: holds_then.append(list(scene.holds)))
        shown = await scene.ask()
        assert "power" not in shown
        assert holds_then == []
        done = await scene.ask(confirmed="h4", because=WHY)
        assert holds_then == [["h4-id"]], "until the store has his word"
        assert scene.holds == []
        assert done["power"] == scene.power
        assert scene.power in done["fence"]["proof"]["shown"]

    asyncio.run(work())


ONE = (FenceDevice(agent="fence_a"),)


def test_devices_that_failed_a_real_fence_are_counted_on_no_more() -> None:
    async def work(scene: PowerScene) -> None:
        well = (DeviceTried(agent="fence_a", is_well=True, said="on"),) * 2
        await scene.put("rehearsals/h4", Rehearsal(host="h4", devices=well, utc_ms=1))
        await scene.begin_off()
        await wait_for(lambda: len(scene.devices.began) == 2)
        for agent in ("fence_a", "fence_b"):
            scene.devices.tell(agent, "its password is wrong")
        await scene.refused()
        await wait_for(lambda: not is_fenceable(scene))
        assert why_not(scene).startswith("fence_a: could not switch it off: its password is wrong")
        scene.came.clear()
        scene.devices.began.clear()
        await scene.order_off()
        await wait_for(lambda: "fence_a" in scene.devices.began)
        scene.devices.tell("fence_a")
        await scene.outcome()
        await wait_for(lambda: scene.registry.rehearsal("h4") is None)
        assert "have not been rehearsed" in why_not(scene), "they are asked anew at once"

    run(work)


def test_a_fence_that_was_called_off_says_nothing_of_its_devices() -> None:
    async def work(scene: PowerScene) -> None:
        well = (DeviceTried(agent="fence_a", is_well=True, said="on"),) * 2
        await scene.put("rehearsals/h4", Rehearsal(host="h4", devices=well, utc_ms=1))
        await scene.begin_off()
        scene.hindrance = "anna disarmed recovery"
        scene.devices.tell("fence_a", "its password is wrong")
        await scene.refused()
        await asyncio.sleep(SOON_S)
        rehearsal = scene.registry.rehearsal("h4")
        assert rehearsal is not None
        assert rehearsal.is_well, "the second was never tried"

    run(work)


def test_a_device_of_two_hosts_switches_neither_off() -> None:
    async def work(scene: PowerScene) -> None:
        shared = FenceDevice(agent="fence_a", options={"ip": "10.0.9.4"})
        for host in ("h4", "h5"):
            held = HostFencing(host=host, mode=HostMode.ACT, devices=(shared,))
            await scene.put(f"fencing/{host}", held)
        await scene.put("agents/h5", Known(host="h5", host_name="h5", boot="b", state_id="s"))
        await scene.begin_off()
        assert "is the device of h5 as well" in await scene.refused()
        assert scene.devices.began == []

    run(work)


def why_not(scene: PowerScene) -> str:
    return why_not_fenceable(
        scene.registry.fencing("h4"), scene.registry.rehearsal("h4"), clock.utc_ms()
    )


def is_fenceable(scene: PowerScene) -> bool:
    return not why_not(scene) or "older than two days" in why_not(scene)
