"""To whom the leader has leases granted while a fence of it is open.

covers: H5 H9
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from msgspec import structs

from holdfast.controller.leadership import Leadership
from holdfast.controller.lease_proofs import LeaseProofs
from holdfast.controller.leasing import Leasing
from holdfast.facts.fencing import FenceStep
from holdfast.facts.instants import Instant
from holdfast.facts.leases import HostLease
from holdfast.facts.promises import Disarm
from holdfast.ports import clock
from tests.controller.fake_agent import wait_for
from tests.controller.recovery_scene import FOR_EVER_MS, Scene, intent

LEASE = HostLease(host="h4", boot="b1", epoch=3, vms=("web",), watchdog_ms=10_000)
DISARM = Disarm(owner="ann", reason="a switch", since_utc_ms=0, until_utc_ms=FOR_EVER_MS)
GRANTED = {"h4": ("b1", 3)}


class Leads(Leadership):
    """For as long as the test lasts."""

    @property
    def term(self) -> int | None:
        return 1

    @property
    def leads_until_s(self) -> float | None:
        return clock.monotonic_s() + 60.0


class LeaseScene(Scene):
    """Its host h4 has a lease, and pulses."""

    def __init__(self) -> None:
        super().__init__()
        self.granted: list[dict[str, tuple[str, int]]] = []

        async def began(_term: int) -> None:
            pass

        self.leasing = Leasing(
            registry=self.registry,
            agents=self.agents,
            grant=lambda hosts, _until: self.granted.append(hosts),
            leadership=Leads(self.store, "c1", began),
            lives=lambda host: host == "h4",
            may_rely=lambda: True,
        )

    async def now_granted(self) -> dict[str, tuple[str, int]]:
        """What the ear is told next."""
        self.granted.clear()
        await wait_for(lambda: bool(self.granted))
        return self.granted[-1]


def run(work: Callable[[LeaseScene], Awaitable[None]]) -> None:
    async def whole() -> None:
        scene = LeaseScene()
        await scene.begin()
        await scene.put("leases/h4", LEASE)
        loop = asyncio.create_task(scene.leasing.run())
        try:
            await work(scene)
        finally:
            loop.cancel()

    asyncio.run(whole())


def test_who_is_to_be_proven_gone_is_granted_nothing() -> None:
    async def work(scene: LeaseScene) -> None:
        assert await scene.now_granted() == GRANTED
        await scene.put("fences/h4", intent(scene.term))
        assert await scene.now_granted() == {}

    run(work)


def test_a_disarm_spares_who_was_to_be_proven_gone() -> None:
    """Nobody switches it off now, so its VMs must not end either."""

    async def work(scene: LeaseScene) -> None:
        await scene.put("fences/h4", intent(scene.term))
        assert await scene.now_granted() == {}
        await scene.put("disarm", DISARM)
        assert await scene.now_granted() == GRANTED
        await scene.put("disarm", None)
        assert await scene.now_granted() == {}

    run(work)


@pytest.mark.parametrize("is_committed", [True, False], ids=["committed", "not yet committed"])
def test_a_disarm_does_not_undo_a_proof(is_committed: bool) -> None:
    """The answer of the store may be lost: what it has may be more than what is known of it."""

    async def work(scene: LeaseScene) -> None:
        fence = intent(scene.term)
        await scene.put("fences/h4", fence)
        if is_committed:
            await scene.put("fences/h4", intent(scene.term, step=FenceStep.OFF))
        else:
            scene.leasing.note_over(fence)
        await scene.put("disarm", DISARM)
        assert await scene.now_granted() == {}
        await scene.put("fences/h4", intent(scene.term, number=2))
        assert await scene.now_granted() == GRANTED

    run(work)


def test_who_says_that_a_host_is_dead_is_told_of_its_lease() -> None:
    async def work(scene: LeaseScene) -> None:
        proofs = LeaseProofs(scene.registry, scene.leasing.granted_at, scene.leasing.note_over)
        await scene.now_granted()
        said = proofs.words("h4")
        assert said.startswith("if it is only cut off, web may run there for 3")
        assert said.endswith(" s more, until its lease is over")
        await scene.put("leases/h4", structs.replace(LEASE, vms=()))
        assert proofs.words("h4") == ""
        await scene.put("leases/h4", LEASE)
        long_ago = LeaseProofs(scene.registry, lambda _: Instant(0), scene.leasing.note_over)
        assert long_ago.words("h4") == ""

    run(work)


def test_what_counts_on_the_end_of_a_lease_is_noted_before_it_is_told() -> None:
    async def work(scene: LeaseScene) -> None:
        fence = intent(scene.term)
        await scene.put("fences/h4", fence)
        proofs = LeaseProofs(scene.registry, lambda _: Instant(0), scene.leasing.note_over)
        assert (await proofs.prove(fence, lambda: "")).vms == ("web",)
        await scene.put("disarm", DISARM)
        assert await scene.now_granted() == {}

    run(work)
