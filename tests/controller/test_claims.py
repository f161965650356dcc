"""Each agent tells of its own host: what is another's is answered, counted, and not taken."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from holdfast.adapters.drivers.dials import tls_dial
from holdfast.adapters.drivers.shelf import Shelf
from holdfast.adapters.simulated.store import StoreInMemory
from holdfast.controller.agents import Agents, Link
from holdfast.controller.claims import Claims
from holdfast.facts import wire
from holdfast.facts.alarms import AlarmRecord, AlarmReport, AlarmState, record_of
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import Instant
from holdfast.facts.tenure import Tenure, TenureState, Wanted
from tests.controller.fake_agent import report, summary, wait_for
from tests.controller.site import Host, site_of

HIGH = 1 << 50


def alarm_of(key: str, *, host: str = "alpha", revision: int = 1) -> AlarmReport:
    told = report(revision=revision)
    alarm = structs.replace(
        told.alarm, key=key, condition=key.rpartition(":")[2], host=host, boot="boot-1"
    )
    return structs.replace(told, alarm=alarm)


def tenure_of(host: str) -> Tenure:
    return Tenure(
        vm="vm-1",
        generation=1,
        host=host,
        boot="boot-2",
        state=TenureState.HELD,
        wanted=Wanted.STOPPED,
        revision=HIGH,
    )


def incident_of(host: str) -> Incident:
    return Incident(
        id="web-1-1",
        name="web-1",
        host=host,
        state=IncidentState.OPEN,
        title="web-1 is gone",
        fault_at=Instant(1),
        detected_at=Instant(1),
    )


class Desk:
    """Two hosts, alpha (id-1, in boot-1) and beta (id-2, in boot-2), and what the VIM holds."""

    def __init__(self, folder: Path) -> None:
        self.shelf = Shelf(folder / "kept.db")
        self.agents = Agents(self.shelf)
        self.records: dict[str, AlarmRecord] = {}
        self.claims = Claims(self.agents, self.records.get)
        self.alpha = self.greet("id-1", "alpha", "boot-1")
        self.beta = self.greet("id-2", "beta", "boot-2")

    def hello(self, host: str, name: str, boot: str) -> wire.Hello:
        return wire.Hello(
            version=1, host=host, host_name=name, boot=boot, state_id="s", stream=f"{boot}.x"
        )

    def greet(self, host: str, name: str, boot: str) -> Any:
        return self.agents.greeted(self.hello(host, name, boot), Link(self._send))

    async def _send(self, _frame: wire.Frame) -> None:
        pass

    def hold(self, told: AlarmReport) -> None:
        self.records[told.alarm.key] = record_of(told, 1)

    def takes(self, **said: Any) -> bool:
        """Whether it is taken from alpha."""
        entry = wire.Entry(host="id-1", stream="boot-1.x", sequence=1, **said)
        taken = self.claims.checked(entry, self.alpha)
        is_taken = bool(taken.alarm or taken.tenure or taken.incident)
        assert (taken.host, taken.stream, taken.sequence) == ("id-1", "boot-1.x", 1)
        assert self.claims.refused == (0 if is_taken else 1)
        return is_taken


@pytest.mark.parametrize(
    "key",
    [
        "id-2/boot-2:host-lost",
        "id-1/boot-1:host-lost",
        "id-2/boot-2:agent-away",
        "vm-1/boot-2:vm-on-lost-host",
        "vm-1/boot-2/7.1:vm-gone",
        "vm-1/boot-2/7.1/vda:vm-io-error",
        "agent/boot-2:libvirt-silent",
        "gamma/controller:records-lost",
        "gamma/controller:controller-cut-off",
        "disk:S1/boot-2:nvme-warning",
    ],
)
def test_an_alarm_of_another_host_or_of_a_controller_is_not_taken(tmp_path: Path, key: str) -> None:
    assert not Desk(tmp_path).takes(alarm=alarm_of(key, revision=HIGH))


@pytest.mark.parametrize(
    "key",
    [
        "disk:S1/boot-1:nvme-warning",
        "pci:0000:01:00.0/8086:10d3/boot-1:hardware-missing",
        "kernel:crash/boot-1:host-kernel-crashed",
    ],
)
def test_an_alarm_of_a_part_of_its_host_is_taken(tmp_path: Path, key: str) -> None:
    """Whoever is not that host cannot see its disks."""
    assert Desk(tmp_path).takes(alarm=alarm_of(key))


def test_an_alarm_under_a_key_of_one_condition_says_no_other(tmp_path: Path) -> None:
    told = alarm_of("id-2/boot-2:host-lost")
    told = structs.replace(told, alarm=structs.replace(told.alarm, condition="vm-gone"))
    assert not Desk(tmp_path).takes(alarm=told)


def test_an_alarm_that_another_host_told_in_an_earlier_boot_is_not_taken(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    told = alarm_of("vm-1/boot-0/7.1:vm-gone", host="beta")
    desk.hold(told)
    assert not desk.takes(
        alarm=structs.replace(told, alarm=structs.replace(told.alarm, revision=9))
    )


@pytest.mark.parametrize("said", [{"tenure": tenure_of("id-2")}, {"incident": incident_of("id-2")}])
def test_tenures_and_incidents_of_others_are_not_taken(
    tmp_path: Path, said: dict[str, Any]
) -> None:
    assert not Desk(tmp_path).takes(**said)


def stopped(vm: str) -> wire.VmSummary:
    return structs.replace(summary(vm), is_running=False)


def test_copies_of_the_vms_of_others_are_not_taken(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.agents.take_inventory(desk.beta, (summary("vm-2"), stopped("vm-3")))
    desk.agents.take_inventory(desk.alpha, (summary("vm-1"), stopped("vm-2"), summary("vm-3")))
    pieces = dict.fromkeys(("vm-1", "vm-2", "vm-3", "invented"), "{}")
    assert set(desk.claims.own_copies(pieces, desk.alpha)) == {"vm-1", "vm-3"}
    assert desk.claims.refused == 2
    desk.beta.link = None
    assert "vm-2" in desk.claims.own_copies(pieces, desk.alpha), "it may have come from there"


def test_copies_of_a_vm_that_two_list_are_of_the_first_as_long_as_it_runs_there(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)

    def taken() -> list[str]:
        agents = (desk.alpha, desk.beta)
        return [one.host_name for one in agents if desk.claims.own_copies({"vm-1": "{}"}, one)]

    desk.agents.take_inventory(desk.beta, (summary(),))
    for _ in range(2):
        desk.agents.take_inventory(desk.alpha, (summary(),))
        desk.agents.take_inventory(desk.beta, (summary(), summary("vm-2")))
        assert taken() == ["beta"]
    desk.agents.take_inventory(desk.beta, (summary("vm-2"),))
    assert desk.claims.refused == 0, "a VM that moves is no crime"
    assert desk.claims.own_copies({"vm-1": "{}"}, desk.alpha) == {"vm-1": "{}"}
    desk.agents.forget("id-1")
    desk.agents.take_inventory(desk.beta, (summary(),))
    assert taken() == ["beta"]


@pytest.mark.parametrize(
    "key",
    [
        "vm-1/boot-1/7.1:vm-gone",  # Also one that came from beta: it lives here now.
        "vm-1/boot-0/7.1:vm-gone",  # Of a boot that is over.
        "vm-1/boot-1/7.1/vda:vm-io-error",
        "agent/boot-1:agent-amnesiac",
        "libvirtd/boot-1:libvirt-silent",
        "web/boot-1:promise-broken",
        "agent/boot-1:a-condition-of-a-newer-version",
    ],
)
def test_what_an_agent_says_of_its_own_is_taken_under_its_name(tmp_path: Path, key: str) -> None:
    desk = Desk(tmp_path)
    assert desk.takes(alarm=alarm_of(key))
    desk.hold(alarm_of(key))
    assert desk.takes(alarm=alarm_of(key, revision=2))


def test_what_a_host_says_after_it_got_another_name_is_taken(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    told = alarm_of("vm-1/boot-1/7.1:vm-gone", host="its-former-name")
    desk.hold(told)
    cleared = structs.replace(
        told, alarm=structs.replace(told.alarm, revision=2, state=AlarmState.CLEARED)
    )
    entry = wire.Entry(host="id-1", stream="boot-1.x", sequence=2, alarm=cleared)
    taken = desk.claims.checked(entry, desk.alpha).alarm
    assert taken is not None
    assert (taken.alarm.host, taken.alarm.state) == ("alpha", AlarmState.CLEARED)
    assert desk.takes(tenure=tenure_of("id-1"))
    assert desk.takes(incident=incident_of(""))


def test_a_machine_that_joined_anew_in_the_same_boot_is_let_in(tmp_path: Path) -> None:
    """Its agent told under another id until then, which has no link any more."""
    desk = Desk(tmp_path)
    anew = desk.hello("id-9", "beta-2", "boot-2")
    assert "which is that of beta (id-2), whose agent is linked" in desk.claims.shares_boot(anew)
    desk.beta.link = None
    assert desk.claims.shares_boot(anew) == ""
    agent = desk.greet("id-9", "beta-2", "boot-2")
    entry = wire.Entry(
        host="id-9", stream="boot-2.x", sequence=1, alarm=alarm_of("vm-1/boot-2/7.1:vm-gone")
    )
    assert desk.claims.checked(entry, agent).alarm is not None
    assert desk.claims.shares_boot(desk.hello("id-9", "beta-2", "boot-2")) == ""


def test_one_host_cannot_clear_the_alarm_of_another(tmp_path: Path) -> None:
    """Over real links: what it tells is answered, so that its own alarms go on, and counted."""

    async def work() -> None:
        async with site_of(tmp_path, [StoreInMemory()]) as site:
            await site.wait_leader()
            controller = site.controllers["alpha"]
            async with Host(site, "host-b").running() as victim:
                await wait_for(victim.up_at)
                theirs = alarm_of("vm-1/boot-host-b/7.1:vm-gone", host="host-b").alarm
                victim.report(theirs)
                await wait_for(lambda: len(controller.vim.open_ones()) == 1)
                thief = Host(site, "host-a")
                async with thief.running():
                    await wait_for(thief.up_at)
                    thief.report(structs.replace(theirs, revision=HIGH, state=AlarmState.CLEARED))
                    thief.report(alarm_of("vm-2/boot-host-a/8.1:vm-gone", host="host-b").alarm)
                    await wait_for(lambda: not thief.outbox.waiting)
                    found = {one.alarm.key: one.alarm for one in controller.vim.open_ones()}
                    assert found[theirs.key].revision == 1
                    own = next(one for key, one in found.items() if key != theirs.key)
                    assert own.host == "host-a", "it speaks under its own name alone"
                    status = await site.ask("alpha", "status")
                    assert isinstance(status, dict)
                    assert status["entries_refused"] == 1

    asyncio.run(work())


def test_nobody_has_another_name_than_its_certificate_says(tmp_path: Path) -> None:
    """Under a controller's name it would be taken for that controller's own host."""

    async def work() -> None:
        async with site_of(tmp_path, [StoreInMemory()]) as site:
            await site.wait_leader()
            host = Host(site, "host-a")
            place = site.places[0]
            dial = tls_dial("alpha", place.address, site.link_port, lambda: host.certificates)
            async with dial.open() as link:
                hello = structs.replace(host.hello(), host_name="alpha")
                await link.send(wire.encode(hello), text=True)
                assert isinstance(wire.decode(await link.recv()), wire.Welcome)
                agents = site.controllers["alpha"].agents
                await wait_for(lambda: "host-a" in agents.by_host)
                assert agents.by_host["host-a"].host_name == "host-a"

    asyncio.run(work())
