"""What a controller's welcome changes on a host, and what it must never change."""

import asyncio

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
from holdfast.facts.instants import Instant
from holdfast.facts.promises import Answer, Disarm, Protection
from holdfast.facts.tenure import Tenure, TenureState, Wanted
from holdfast.policy.decide import Decider

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
        self.loop = Loop(Panel({}), decider, journal, lambda _action: None)
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
