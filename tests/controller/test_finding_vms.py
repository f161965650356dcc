"""A VM that several hosts have defined, as after it was started elsewhere, is found where it is."""

import pytest
from msgspec import structs

from holdfast.adapters.simulated.shelf import ShelfInMemory
from holdfast.controller.agents import Agents, Link
from holdfast.facts import wire
from holdfast.ports.answers import Unanswerable
from tests.controller.fake_agent import summary


async def _send(_: wire.Frame) -> None:
    pass


def site(**found: wire.VmSummary) -> Agents:
    agents = Agents(ShelfInMemory())
    for host, vm in found.items():
        hello = wire.Hello(
            version=1, host=host, host_name=host, boot="b1", state_id="s", stream="x"
        )
        agents.take_inventory(agents.greeted(hello, Link(_send)), (vm,))
    return agents


def web(*, runs: bool, is_protected: bool = False) -> wire.VmSummary:
    return structs.replace(summary(), is_running=runs, is_protected=is_protected)


def test_it_is_found_where_it_runs() -> None:
    agents = site(h1=web(runs=False, is_protected=True), h3=web(runs=True))
    for name in ("web-1", "vm-1"):
        assert agents.find_vm(name)[0].host == "h3"


def test_where_it_runs_nowhere_it_is_found_where_it_is_protected() -> None:
    agents = site(h1=web(runs=False), h3=web(runs=False, is_protected=True))
    assert agents.find_vm("web-1")[0].host == "h3"


def test_where_neither_is_so_a_person_starts_it_first() -> None:
    agents = site(h1=web(runs=False), h3=web(runs=False))
    with pytest.raises(Unanswerable, match="is defined on h1 and h3, and runs on none") as refused:
        agents.find_vm("web-1")
    assert refused.value.hint == "start it where it should run, then type this again"


def test_one_that_runs_twice_is_a_persons() -> None:
    agents = site(h1=web(runs=True), h3=web(runs=True, is_protected=True))
    with pytest.raises(Unanswerable, match="runs, or is protected, on h1 and h3"):
        agents.find_vm("vm-1")


def test_two_vms_of_one_name_are_told_apart_by_their_uuids() -> None:
    agents = site(h1=web(runs=True), h3=structs.replace(summary("vm-9"), is_running=True))
    with pytest.raises(Unanswerable, match="there are 2 VMs 'web-1'") as refused:
        agents.find_vm("web-1")
    assert refused.value.hint == "use a uuid"
    assert agents.find_vm("vm-9")[0].host == "h3"
