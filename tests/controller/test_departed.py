"""A host that left leaves nothing open behind: what only it could take back is taken back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.facts import actions as act
from holdfast.facts.alarms import Alarm
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import Instant
from holdfast.ports import clock
from tests.controller.fake_agent import alarm, report, wait_for
from tests.controller.house import House, running, settings
from tests.controller.site import Host, Site, issued_to, list_certificate, site_of

GONE = {"id-4": "h4"}


def own(key: str, host: str = "h4", **fields: Any) -> Alarm:
    condition = key.rpartition(":")[2]
    return structs.replace(alarm(), key=key, condition=condition, host=host, **fields)


def incident(name: str = "web-1-0001") -> Incident:
    return Incident(
        id=name,
        vm="vm-1",
        name="web-1",
        state=IncidentState.OPEN,
        title="web-1 was killed",
        fault_at=Instant(clock.now()),
        detected_at=Instant(clock.now()),
        needs_you="holdfast vm recover web-1",
        fault_utc_ms=clock.utc_ms(),
    )


@contextlib.asynccontextmanager
async def member(site: Site, store: StoreInMemory, name: str) -> AsyncIterator[Host]:
    """A host with its certificate on the site's list."""
    async with Host(site, name).running() as host:
        await list_certificate(store, issued_to(host.certificates.me))
        await wait_for(host.up_at)
        yield host


@pytest.mark.slow
def test_alarms_and_incidents_of_a_host_that_is_put_out_end_at_all(tmp_path: Path) -> None:
    async def work() -> None:
        store = StoreInMemory()
        async with site_of(tmp_path, [store] * 3) as site:
            await site.wait_leader()
            everybody = list(site.controllers.values())

            def open_ones() -> list[set[str]]:
                return [{one.alarm.host for one in c.vim.open_ones()} for c in everybody]

            async with member(site, store, "host-a") as gone, member(site, store, "host-b") as kept:
                gone.report(own("vm-1/boot-host-a/1.1:vm-gone", "host-a", text="web-1 is gone"))
                gone.uplink.tell_incident(act.TellIncident(incident=incident()))
                kept.report(own("vm-2/boot-host-b/1.1:vm-gone", "host-b"))
                kept.uplink.tell_incident(act.TellIncident(incident=incident("web-2-0001")))
                await wait_for(lambda: open_ones() == [{"host-a", "host-b"}] * 3)
                await wait_for(lambda: all(len(c.entries.incidents()) == 2 for c in everybody))
                await site.ask("beta", "certificate-revoke", name="host-a", reason="it burnt")
                await wait_for(lambda: open_ones() == [{"host-b"}] * 3)
                for one in everybody:
                    record = one.vim.find("vm-1/boot-host-a/1.1:vm-gone")
                    assert record is not None
                    assert record.alarm.text == (
                        "host-a, which told this, left the site: whether it is over is not known."
                        " It was: web-1 is gone"
                    )

                def states() -> list[list[tuple[str, str, str]]]:
                    return [
                        sorted((i.id, i.state.value, i.needs_you) for i in c.entries.incidents())
                        for c in everybody
                    ]

                wanted = [
                    ("web-1-0001", "closed", ""),
                    ("web-2-0001", "open", "holdfast vm recover web-1"),
                ]
                await wait_for(lambda: states() == [wanted] * 3)

    asyncio.run(work())


async def tell(house: House, *alarms: Alarm) -> None:
    for one in alarms:
        await house.controller.vim.report(structs.replace(report(), alarm=one))


def test_what_a_controller_alone_believed_ends_with_it(tmp_path: Path) -> None:
    """Its own faults, and what it said of hosts without leading."""

    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            controller = house.controller
            await wait_for(lambda: controller.leadership.term is not None)
            departed = controller.departed
            lost = own("h4/controller:notice-refused")
            cut_off = own("id-2/boot-2:host-cut-off")
            await tell(house, lost, cut_off, own("h5/controller:notice-refused", "h5"))
            await departed.end(GONE)
            assert keys(house) == {cut_off.key, "h5/controller:notice-refused"}, "it listens first"
            controller.watch.decider.world.take_over_at = None
            await departed.end(GONE)
            assert keys(house) == {"h5/controller:notice-refused"}
            record = controller.vim.find(lost.key)
            assert record is not None
            assert record.alarm.revision == 2
            assert record.alarm.text.startswith("h4, which told this, left the site")
            world = controller.watch.decider.world
            assert not world.is_open(cut_off.key)
            assert world.reported[cut_off.key].revision == 2, "what is said next is newer"

    asyncio.run(work())


def test_what_the_leader_believes_as_well_stays_open(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            controller = house.controller
            await wait_for(lambda: controller.leadership.term is not None)
            world = controller.watch.decider.world
            world.take_over_at = None
            cut_off = own("id-2/boot-2:host-cut-off")
            await tell(house, cut_off)
            world.wanted[cut_off.key] = cut_off
            await controller.departed.end(GONE)
            assert keys(house) == {cut_off.key}

    asyncio.run(work())


def test_who_does_not_lead_takes_no_alarm_of_others_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with running(settings(tmp_path)) as house:
            controller = house.controller
            await tell(house, own("h4/controller:notice-refused"))
            controller.entries.keep_incident("id-4", incident(), ("s", 1))
            await controller.leadership.end()
            assert controller.leadership.term is None
            await controller.departed.end(GONE)
            assert len(keys(house)) == 1
            [known] = controller.entries.incidents()
            assert known.state is IncidentState.CLOSED, "each has its own list of those"
            assert "h4 left the site" in known.step

    asyncio.run(work())


def keys(house: House) -> set[str]:
    return {one.alarm.key for one in house.controller.vim.open_ones()}
