"""How many hosts may be lost is reckoned now and then, shown, and an alarm when it is too few.

covers: H5, H9
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.adapters.journals.segments import read
from holdfast.adapters.simulated.vims import VimInMemory
from holdfast.controller.guaranteeing import LOOK_S, LOST_AFTER_MS, Guarantees, loss_words
from holdfast.controller.watching import FOLDER
from holdfast.facts import wire
from holdfast.facts.alarms import AlarmState
from holdfast.facts.definitions import HostSize, VmDefinition, VmNeeds
from holdfast.facts.fencing import HostMode
from holdfast.facts.instants import Instant
from holdfast.facts.promises import Protection
from holdfast.policy.host_states import HostState
from holdfast.ports import clock
from holdfast.ports.answers import Unanswerable
from tests.controller.fake_agent import FakeAgent, ask, ask_all, summary, wait_for
from tests.controller.house import House, running, settings
from tests.policy.fence_scene import NEEDS, FenceScene

PLAIN = msgspec.to_builtins
FULL = HostSize(memory_mib=1_000, cpus=4, bridges=("br0",))
ROOM = HostSize(memory_mib=9_000, cpus=4, bridges=("br0",))


class Hands:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.s = 1_000.0

    def monotonic_ns(self) -> int:
        return int(self.s * 1e9)

    def utc_ns(self) -> int:
        return int(self.s * 1e9)


@contextmanager
def by_hand() -> Iterator[Hands]:
    hands = Hands()
    was = clock.CLOCK.set(hands)
    try:
        yield hands
    finally:
        clock.CLOCK.reset(was)


def made(scene: FenceScene, vim: VimInMemory | None = None, target: int = 1) -> Guarantees:
    return Guarantees(
        world=lambda: scene.world,
        vim=vim or VimInMemory(),
        is_leading=lambda: True,
        target=target,
        me="c1",
        boot="b1",
    )


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await work()

    asyncio.run(whole())


def test_how_many_losses_are_tolerable_is_the_largest_number_of_which_all_are() -> None:
    async def work() -> None:
        scene = FenceScene(hosts=4)
        assert (await made(scene, target=2).newest()).tolerable == 2
        for host in ("h1", "h2", "h3", "h4"):
            scene.size(host, HostSize(memory_mib=1_500, cpus=4, bridges=("br0",)))
        assert (await made(scene).newest()).tolerable == 0
        for host in ("h1", "h2", "h3", "h4"):
            scene.size(host, HostSize(memory_mib=2_000, cpus=4, bridges=("br0",)))
        assert (await made(scene, target=2).newest()).tolerable == 2
        scene.promise("more", "h1")
        assert (await made(scene, target=2).newest()).tolerable == 1

    run(work)


def test_it_is_reckoned_again_after_a_while_and_only_when_something_changed() -> None:
    async def work() -> None:
        scene = FenceScene(hosts=2)
        with by_hand() as hands:
            guarantees = made(scene)
            first = await guarantees.newest()
            scene.size("h2", FULL)
            assert await guarantees.newest() is first, "it is new enough"
            hands.s += LOOK_S
            second = await guarantees.newest()
            assert (first.tolerable, second.tolerable) == (1, 0)
            hands.s += LOOK_S
            third = await guarantees.newest()
            assert third.tried is second.tried, "nothing changed: nothing was tried"
            scene.runs("h1", "web1")
            hands.s += LOOK_S
            assert (await guarantees.newest()).tried is not second.tried
            scene.size("h2")
            assert 2 in (await guarantees.newest(2)).tried, "who asks for pairs gets them at once"

    run(work)


def test_a_trial_gives_way_to_all_else() -> None:
    """Between two losses the loop turns: a report that came in is handled."""

    async def work() -> None:
        turns, scene = 0, FenceScene(hosts=5)

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        await made(scene).newest()
        task.cancel()
        assert turns >= 5

    run(work)


async def alarms(vim: VimInMemory) -> list[tuple[AlarmState, str]]:
    return [(one.alarm.state, one.alarm.text) for one in await vim.alarms(include_cleared=True)]


def test_too_few_for_a_minute_is_an_alarm_and_enough_ends_it() -> None:
    async def work() -> None:
        scene, vim = FenceScene(hosts=2), VimInMemory()
        with by_hand() as hands:
            guarantees = made(scene, vim)

            async def look() -> list[tuple[AlarmState, str]]:
                hands.s += LOOK_S
                await guarantees.settle_alarm(await guarantees.newest(), clock.now())
                return await alarms(vim)

            assert await look() == []
            scene.size("h2", FULL)
            for _ in range(LOST_AFTER_MS // 10_000):
                assert await look() == [], "a reboot lasts that long"
            [(state, text)] = await look()
            assert (state, text) == (
                AlarmState.RAISED,
                (
                    "the loss of 1 host can not be absorbed: without h1 web1 would stay down: no"
                    " host is left to start it on: h2: it has 0 MiB left, and 1000 are needed"
                ),
            )
            anew = made(scene, vim)  # Another leader: it waits for no minute before it keeps it.
            await anew.settle_alarm(await anew.newest(), clock.now())
            assert await alarms(vim) == [(state, text)]
            scene.size("h2")
            [(state, _)] = await look()
            assert state is AlarmState.CLEARED
            scene.size("h2", FULL)
            [(state, _)] = await look()
            assert state is AlarmState.CLEARED, "the minute begins anew"

    run(work)


@pytest.mark.parametrize("why", ["report", "no matter"])
def test_where_nobody_acts_or_nobody_cares_there_is_no_alarm(why: str) -> None:
    async def work() -> None:
        scene, vim = FenceScene(hosts=2), VimInMemory()
        for host in ("h1", "h2"):
            scene.size(host, FULL)
            if why == "report":
                scene.mode(host, HostMode.REPORT)
        guarantees = made(scene, vim, target=0 if why == "no matter" else 1)
        newest = await guarantees.newest()
        await guarantees.settle_alarm(newest, Instant(0))
        await guarantees.settle_alarm(newest, Instant(10 * LOST_AFTER_MS * 1_000_000))
        assert await alarms(vim) == []
        assert guarantees.shown(newest)["is_kept"]

    run(work)


def test_what_is_shown_names_the_first_and_counts_the_rest() -> None:
    async def work() -> None:
        scene = FenceScene(hosts=5)
        for number in range(1, 6):
            scene.size(f"h{number}", FULL)
        for number in range(5):
            scene.promise(f"x{number}", "h1")
        guarantees = made(scene)
        shown = guarantees.shown(await guarantees.newest())
        assert (shown["tolerable"], shown["is_kept"], shown["more"]) == (0, False, 2)
        first = shown["would_leave"][0]
        assert first.startswith("without h1 web1, x0, x1 and 3 more would stay down: no host is")
        table = await guarantees.ask({"hosts": 2})
        assert (len(table["losses"]), table["untried"], table["brake"]) == (10, 0, 1)
        row = guarantees.if_lost("h2")
        assert row is not None
        assert [one["name"] for one in row["stays"]] == ["web2"]
        assert guarantees.if_lost("nobody") is None
        with pytest.raises(Unanswerable):
            await guarantees.ask({"hosts": 3})

    run(work)


def test_a_vms_own_obstacle_is_told_before_the_sites_and_a_lone_host_is_told_nothing() -> None:
    async def work() -> None:
        scene = FenceScene(hosts=2)
        scene.size("h2", FULL)
        guarantees = made(scene)
        vm = msgspec.structs.replace(summary("web1", "web1"), is_protected=True)
        local = msgspec.structs.replace(vm, elsewhere="its disk is local")
        assert guarantees.worded(vm) == vm, "not reckoned yet"
        await guarantees.newest()
        assert guarantees.worded(local).elsewhere == "its disk is local"
        assert guarantees.worded(local).starts_elsewhere is False
        assert guarantees.worded(vm).elsewhere.startswith("no host is left")
        other = msgspec.structs.replace(vm, vm="web2", name="web2")
        assert guarantees.worded(other).starts_elsewhere is True
        bare = msgspec.structs.replace(vm, is_protected=False)
        assert guarantees.worded(bare) == bare
        alone = made(FenceScene(hosts=1))
        await alone.newest()
        assert alone.worded(vm) == vm

    run(work)


def test_many_that_stay_down_are_told_in_few_words() -> None:
    scene = FenceScene(hosts=2)
    scene.size("h2", FULL)
    for number in range(9):
        scene.promise(f"x{number}", "h1")

    async def work() -> None:
        [worst, _] = (await made(scene).newest()).tried[1]
        assert loss_words(worst).startswith("without h1 web1, x0, x1 and 7 more would stay down")

    run(work)


# Who is admitted.


def grant(question: wire.Question) -> wire.Reply:
    return wire.Reply(id=question.id, data={"protection": question.args["protection"]})


async def two_hosts(house: House, agent: FakeAgent, other: FakeAgent, size: HostSize) -> None:
    """web-1 runs on host-a, on which Holdfast acts; host-b has room as said."""
    for one, vms in ((agent, (summary(),)), (other, ())):
        one.answers["grant"] = grant
        await one.send(wire.Inventory(vms=vms, size=size))
    hosts = house.controller.watch.decider.world.hosts
    await wait_for(lambda: len(hosts) == 2 and all(one.size for one in hosts.values()))
    for record in hosts.values():
        record.mode, record.devices, record.boot = HostMode.ACT, ("x",), "b"
        record.told_boot, record.can_start, record.state = "b", True, HostState.SERVING


def needs(found: VmNeeds | None) -> Callable[[wire.Question], wire.Reply]:
    def answer(question: wire.Question) -> wire.Reply:
        if found is None:
            return wire.Reply(id=question.id, error="the agent does not know it", code=2)
        return wire.Reply(id=question.id, data=PLAIN(found))

    return answer


LOCAL = msgspec.structs.replace(NEEDS, obstacle="its disk a.img is on this host alone")


@pytest.mark.parametrize(
    ("size", "found", "said"),
    [
        (ROOM, NEEDS, ""),
        (ROOM, None, ""),
        (ROOM, LOCAL, "its disk a.img is on this host alone"),
        (FULL, NEEDS, ""),
        (FULL, msgspec.structs.replace(NEEDS, memory_mib=1_001), "no host is left to start it on"),
    ],
)
def test_who_is_protected_hears_whether_it_would_start_elsewhere(
    tmp_path: Path, size: HostSize, found: VmNeeds | None, said: str
) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent, other = FakeAgent(house.socket), FakeAgent(house.socket, host="host-b")
            async with agent.link(), other.link():
                await two_hosts(house, agent, other, size)
                agent.answers["needs"] = needs(found)
                told = await ask(house.socket, "protect", vm="web-1")
                assert told["starts_elsewhere"] is (not said)
                assert told["elsewhere"].startswith(said)
                assert bool(told["elsewhere_helps"]) is bool(said)
                assert house.controller.registry.protections(), "a warning keeps nobody out"

    asyncio.run(work())


def test_a_group_may_refuse_who_could_not_start_elsewhere(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent, other = FakeAgent(house.socket), FakeAgent(house.socket, host="host-b")
            async with agent.link(), other.link():
                await two_hosts(house, agent, other, ROOM)
                agent.answers["needs"] = needs(LOCAL)
                await ask(house.socket, "group-set", name="gold", admit="refuse")
                reply = await ask_all(house.socket, "protect", vm="web-1", group="gold")
                assert (reply.code, reply.error) == (
                    4,
                    (
                        "web-1 is not taken into group gold, which refuses such VMs: it would not"
                        " start elsewhere: its disk a.img is on this host alone"
                    ),
                )
                assert reply.hint.endswith("or: holdfast group set gold --admit warn")
                assert not house.controller.registry.protections()
                assert not [one for one in agent.asked if one.name == "grant"]
                agent.answers["needs"] = needs(NEEDS)
                await ask(house.socket, "protect", vm="web-1", group="gold")
                assert house.controller.registry.protections()

    asyncio.run(work())


def test_whom_a_new_promise_leaves_without_room_is_said(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            agent, other = FakeAgent(house.socket), FakeAgent(house.socket, host="host-b")
            async with agent.link(), other.link():
                room = HostSize(memory_mib=1_000, cpus=4, bridges=("br0",))
                await two_hosts(house, agent, other, room)
                agent.answers["needs"] = needs(NEEDS)
                both = (summary(), summary("vm-2", "web-2"))
                await agent.send(wire.Inventory(vms=both, size=room))
                await wait_for(lambda: len(house.controller.agents.all_vms()) == 2)
                await ask(house.socket, "protect", vm="web-1")
                definition = VmDefinition(vm="vm-1", name="web-1", xml="<x/>", needs=NEEDS)
                await agent.send(wire.Definitions(definitions=(definition,)))
                world = house.controller.watch.decider.world
                await wait_for(
                    lambda: "vm-1" in world.promises and world.promises["vm-1"].needs is not None
                )
                await ask(house.socket, "group-set", name="first", priority=9, admit="refuse")
                reply = await ask_all(house.socket, "protect", vm="web-2", group="first")
                assert "web-1 would start nowhere if host-a were lost" in reply.error
                told = await ask(house.socket, "protect", vm="web-2")
                assert told["elsewhere"], "there it comes second, and stays down itself"
                assert told["would_break"] == ""
                held: dict[str, Protection] = house.controller.registry.protections()
                assert set(held) == {"vm-1", "vm-2"}

    asyncio.run(work())


def test_what_the_settings_say_of_acting_is_told_to_policy_and_journaled(tmp_path: Path) -> None:
    async def work() -> None:
        for wanted, count in ((8.0, 1), (8.0, 1), (3.0, 2)):
            async with running(settings(tmp_path, fence_after_s=wanted, brake_percent=40)) as house:
                world = house.controller.watch.decider.world
                await wait_for(lambda: world.brake_percent == 40)  # noqa: B023  At once.
                assert world.fence_after_ms == wanted * 1_000
            lines = list(read(tmp_path / "state" / "controller" / FOLDER))
            told = [one for one in lines if b"ActingSet" in bytes(one.body)]
            assert len(told) == count, "once for each change"

    asyncio.run(work())


def test_it_is_asked_through_the_door_and_said_in_status(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path, host_losses=2)) as house:
            agent, other = FakeAgent(house.socket), FakeAgent(house.socket, host="host-b")
            async with agent.link(), other.link():
                await two_hosts(house, agent, other, ROOM)
                agent.answers["needs"] = needs(NEEDS)
                await ask(house.socket, "protect", vm="web-1")
                table: dict[str, Any] = await ask(house.socket, "guarantee", hosts=2)
                assert table["target"] == 2
                status = await ask(house.socket, "status")
                assert status["guarantee"]["acting"] == 2
                shown = await ask(house.socket, "host", host="host-a")
                assert shown["if_lost"]["names"] == ["host-a"]

    asyncio.run(work())
