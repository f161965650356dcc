"""What a controller's welcome changes on a host, and what it must never change."""

import asyncio
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.simulated.hypervisor import HypervisorInMemory
from holdfast.adapters.simulated.journal import JournalInMemory
from holdfast.agent.identity import Identity
from holdfast.agent.inventory import Inventory
from holdfast.agent.loop import Loop, now
from holdfast.agent.welcome import Welcomer
from holdfast.detectors.panel import Panel
from holdfast.facts import commands as told
from holdfast.facts import wire
from holdfast.facts.actions import Action, EndVm, ProveGone
from holdfast.facts.instants import Instant
from holdfast.facts.promises import Answer, Disarm, Protection
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import Tenure, TenureState, Wanted
from holdfast.facts.verdicts import VmRan
from holdfast.policy import copies
from holdfast.policy.decide import Decider
from holdfast.policy.vm_states import VmState

ME = Identity(host="host-a", host_name="a", boot="boot-1", state_id="s", is_new_state=False)
HELD = Protection(
    vm="vm-1",
    name="web-1",
    group="default",
    answer=Answer(),
    tenure=Tenure(
        vm="vm-1",
        generation=2,
        host="host-a",
        boot="boot-1",
        state=TenureState.HELD,
        wanted=Wanted.STOPPED,
        revision=3,
    ),
)
WELCOME = wire.Welcome(version=wire.VERSION, term=4, store_id="store-1", protections=(HELD,))


class Host:
    def __init__(self) -> None:
        decider = Decider()
        journal = JournalInMemory(1, lambda: decider.world)
        self.acted: list[Action] = []
        self.loop = Loop(Panel({}), decider, journal, self.acted.append)
        inventory = Inventory(HypervisorInMemory(), list)
        self.welcomer = Welcomer(self.loop, inventory, ME)
        self.loop.consume(
            told.Booted(
                at=now(),
                host=ME.host,
                host_name=ME.host_name,
                boot=ME.boot,
                state_id=ME.state_id,
                is_amnesiac=False,
            )
        )

    def hear(self, welcome: wire.Welcome) -> Protection | None:
        self.welcomer.welcomed(welcome)
        record = self.loop.decider.world.vms.get("vm-1")
        return record.protection if record else None


async def _host() -> Host:
    host = Host()
    assert host.hear(WELCOME) is not None
    return host


def changed(**fields: object) -> Protection:
    return structs.replace(HELD, tenure=structs.replace(HELD.tenure, **fields))


def test_a_store_that_does_not_name_a_vm_does_not_end_its_protection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        host = await _host()
        for store_id in ("store-1", "store-2"):
            empty = structs.replace(WELCOME, store_id=store_id, protections=())
            assert host.hear(empty) is not None
        assert caplog.text.count("unknown to the store") == 1

    asyncio.run(work())


@pytest.mark.parametrize(
    "fields",
    [
        {"protections": (), "released": ("vm-1",)},
        {"protections": (changed(host="host-b", generation=3),)},
        {"protections": (changed(boot=""),)},
    ],
)
def test_protection_ends_when_it_is_released_or_anothers_or_waits_for_a_person(
    fields: dict[str, object],
) -> None:
    async def work() -> None:
        host = await _host()
        assert host.hear(structs.replace(WELCOME, **fields)) is None

    asyncio.run(work())


def test_what_was_anothers_is_free_once_it_is_released() -> None:
    async def work() -> None:
        host = await _host()
        host.hear(structs.replace(WELCOME, protections=(changed(host="host-b", generation=3),)))
        world = host.loop.decider.world
        assert copies.barred(world) == {"vm-1": 3}
        host.hear(structs.replace(WELCOME, protections=(), released=()))
        assert copies.barred(world) == {"vm-1": 3}
        host.hear(structs.replace(WELCOME, protections=(), released=("vm-1",)))
        assert copies.barred(world) == {}

    asyncio.run(work())


def test_an_older_leader_is_not_obeyed_until_the_store_is_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def work() -> None:
        host = await _host()
        older = structs.replace(WELCOME, term=3, protections=(), released=("vm-1",))
        assert host.hear(older) is not None
        assert host.hear(older) is not None
        assert caplog.text.count("is not obeyed") == 1
        assert host.hear(structs.replace(older, store_id="store-2", term=1)) is None

    asyncio.run(work())


def test_an_older_generation_is_not_taken_and_a_newer_one_is() -> None:
    async def work() -> None:
        host = await _host()
        host.hear(structs.replace(WELCOME, protections=(changed(generation=1, boot="boot-1"),)))
        held = host.hear(structs.replace(WELCOME, protections=(changed(generation=3),)))
        assert held is not None
        assert held.tenure.generation == 3
        held = host.hear(WELCOME)
        assert held is not None
        assert held.tenure.generation == 3

    asyncio.run(work())


ANOTHERS = {"host": "host-b", "generation": 3, "boot": "boot-b"}
RUNS = VmRan(
    life=Incarnation(vm="vm-1", boot="boot-1", pid=7, started_ticks=8), name="web-1", at=Instant(1)
)


@pytest.mark.parametrize(
    ("fields", "is_ended"),
    [
        (ANOTHERS, True),
        (
            {"host": "host-b", "generation": 3, "boot": "boot-b", "state": TenureState.RECOVERING},
            True,
        ),
        # Where it runs is not known then: what runs here is left alone, and not restarted.
        (
            {"host": "host-b", "generation": 3, "boot": "boot-b", "state": TenureState.MIGRATING},
            False,
        ),
        ({**ANOTHERS, "boot": ""}, False),
        ({**ANOTHERS, "generation": 2}, False),
    ],
)
def test_a_copy_is_ended_only_if_another_host_holds_the_vm_in_a_newer_generation(
    fields: dict[str, Any], is_ended: bool
) -> None:
    async def work() -> None:
        host = await _host()
        host.loop.consume(RUNS)
        told = structs.replace(
            WELCOME, protections=(changed(**fields),), host_names={"host-b": "beta"}
        )
        assert host.hear(told) is None, "it is not this host's any more"
        record = host.loop.decider.world.vms["vm-1"]
        assert record.is_copy is is_ended
        ends = [one for one in host.acted if isinstance(one, EndVm)]
        assert len(ends) == is_ended
        if is_ended:
            assert ends[0].is_forced
            assert "beta holds it" in ends[0].reason
            assert (record.outranked, record.state) == (3, VmState.ENDING)

    asyncio.run(work())


def test_what_does_not_run_here_is_only_let_go() -> None:
    async def work() -> None:
        host = await _host()
        other = changed(host="host-b", generation=3, boot="boot-b")
        assert host.hear(structs.replace(WELCOME, protections=(other,))) is None
        assert not any(isinstance(one, EndVm | ProveGone) for one in host.acted)
        assert host.loop.decider.world.vms["vm-1"].outranked == 3
        back = changed(generation=3)  # As an older store would have it.
        assert host.hear(structs.replace(WELCOME, protections=(back,))) is None
        newer = changed(generation=4)
        assert host.hear(structs.replace(WELCOME, protections=(newer,))) is not None

    asyncio.run(work())


@pytest.mark.parametrize(("boot", "is_kept"), [("boot-0", True), ("boot-1", False)])
def test_who_held_it_in_an_earlier_boot_waits_until_it_is_known_where_it_moved(
    boot: str, is_kept: bool
) -> None:
    """In that boot it can start nothing; what this one holds of it ends at once."""

    async def work() -> None:
        host = Host()
        host.loop.consume(
            told.ProtectionGranted(at=now(), protection=changed(boot=boot), by="the controller")
        )
        moves = changed(host="host-b", generation=3, boot="b", state=TenureState.MIGRATING)
        kept = host.hear(structs.replace(WELCOME, protections=(moves,)))
        assert (kept is not None) is is_kept
        there = changed(host="host-b", generation=3, boot="b")
        assert host.hear(structs.replace(WELCOME, protections=(there,))) is None
        if is_kept:
            assert host.loop.decider.world.vms["vm-1"].outranked == 3

    asyncio.run(work())


def test_a_vm_that_is_being_brought_back_is_not_taken_from_a_welcome() -> None:
    """The leader orders its start itself; or it found this host unfit meanwhile."""

    async def work() -> None:
        host = Host()
        recovering = changed(state=TenureState.RECOVERING)
        told = structs.replace(WELCOME, protections=(recovering,))
        assert host.hear(told) is None
        assert host.hear(WELCOME) is not None
        held = host.hear(
            structs.replace(told, protections=(changed(state=TenureState.RECOVERING),))
        )
        assert held is not None
        assert held.tenure.state is TenureState.HELD, "its order has come already"
        newer = changed(state=TenureState.RECOVERING, generation=5)
        held = host.hear(structs.replace(told, protections=(newer,)))
        assert held is not None
        assert held.tenure.generation == 2

    asyncio.run(work())


def test_a_refusal_changes_nothing_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        host = await _host()
        refused = wire.Welcome(version=9, term=9, refusal="too far", released=("vm-1",))
        unlike = structs.replace(refused, refusal="")
        for welcome in (refused, refused, unlike, unlike):
            assert host.hear(welcome) is not None
        assert caplog.text.count("do not work together") == 2

    asyncio.run(work())


@pytest.mark.parametrize("told_on", ["this host", ""])
def test_a_disarm_that_was_told_here_outlives_a_welcome_without_one(told_on: str) -> None:
    async def work() -> None:
        host = await _host()
        disarm = Disarm(
            owner="ann", reason="r", since_utc_ms=0, until_utc_ms=1 << 60, told_on=told_on
        )
        until = Instant(now() + 10**12)
        host.loop.consume(told.Disarmed(at=now(), disarm=disarm, until=until))
        host.hear(WELCOME)
        assert host.loop.decider.world.disarm == (disarm if told_on else None)

    asyncio.run(work())


def test_a_disarm_lasts_as_long_as_the_controller_measured() -> None:
    async def work() -> None:
        told_ms = 90_000
        host = await _host()
        disarm = Disarm(owner="ann", reason="r", since_utc_ms=0, until_utc_ms=120_000)
        host.hear(structs.replace(WELCOME, disarm=disarm, disarm_left_ms=told_ms))
        until = host.loop.decider.world.disarmed_until
        assert until is not None
        assert 0 <= now() + told_ms * 10**6 - until < 10**9, "by its own end it was long over"

    asyncio.run(work())
