"""One row for each VM, from the host that holds it; what others have left of it is no VM."""

import pytest
from msgspec import structs

from holdfast.adapters.simulated.shelf import ShelfInMemory
from holdfast.controller.agents import Agents, Link
from holdfast.facts import wire
from holdfast.facts.wire import VmSummary
from holdfast.ports.answers import Unanswerable
from tests.controller.fake_agent import summary

RUNS = structs.replace(summary(), state="runs", is_protected=True)
LEFT = structs.replace(summary(), state="stopped on purpose", is_running=False)


async def _send(_: wire.Frame) -> None:
    pass


class Site:
    """`told`: what each host says of VMs; `holders`: who holds them, as the store says."""

    def __init__(self, told: dict[str, tuple[VmSummary, ...]], **holders: str) -> None:
        self.agents, self._links = Agents(ShelfInMemory()), {}
        self.agents.holder_of = lambda vm: holders.get(vm.replace("-", "_"), "")
        for host, vms in told.items():
            link = self._links[host] = Link(_send)
            hello = wire.Hello(
                version=1, host=f"id-{host}", host_name=host, boot="b", state_id="s", stream="x"
            )
            self.agents.take_inventory(self.agents.greeted(hello, link), vms)

    def lose(self, host: str) -> None:
        self.agents.left(self.agents.by_host[f"id-{host}"], self._links[host])

    def rows(self) -> list[tuple[str, str, str]]:
        return [(one.name, one.host_name, one.state) for one in self.agents.all_vms()]


def test_what_moved_is_one_row_from_its_holder_and_its_leftovers_are_named() -> None:
    site = Site({"h4": (LEFT,), "h1": (RUNS,), "h5": (LEFT,)}, vm_1="id-h1")
    assert site.rows() == [("web-1", "h1", "runs")]
    (row,) = site.agents.all_vms()
    assert (row.host, row.defined_on, row.also_runs_on) == ("id-h1", ("h4", "h5"), ())
    assert site.agents.vms_there() == {"id-h1": 1}


def test_a_holder_that_is_away_is_believed_before_a_leftover_of_one_that_is_linked() -> None:
    site = Site({"h4": (LEFT,), "h1": (RUNS,)}, vm_1="id-h1")
    site.lose("h1")
    assert site.rows() == [("web-1", "h1", "unknown")]
    for name in ("web-1", "vm-1"):
        assert site.agents.find_vm(name)[0].host == "id-h1", name


def test_a_vm_that_is_down_at_its_holder_is_asked_there_and_not_where_a_definition_is_left() -> (
    None
):
    down = structs.replace(RUNS, state="left to a person", is_running=False)
    site = Site({"h4": (LEFT,), "h1": (down,)}, vm_1="id-h1")
    assert site.rows() == [("web-1", "h1", "left to a person")]
    assert site.agents.find_vm("web-1")[0].host == "id-h1", "vm recover goes there"
    assert site.agents.find_to_protect("web-1")[0].host == "id-h1"


def test_a_vm_whose_holder_does_not_show_it_is_no_vm_that_stopped_on_purpose() -> None:
    site = Site({"h4": (LEFT,), "h1": ()}, vm_1="id-h1")
    assert site.rows() == [("web-1", "h1", "not seen on its host yet")]
    (row,) = site.agents.all_vms()
    assert row.is_protected, "nobody is asked to protect it"
    assert site.agents.vms_there() == {"id-h1": 1}, "it counts where it is held"


def test_a_vm_that_runs_on_another_host_than_its_holders_is_loud() -> None:
    site = Site({"h4": (RUNS,), "h1": (RUNS,)}, vm_1="id-h1")
    (row,) = site.agents.all_vms()
    assert (row.host_name, row.also_runs_on, row.defined_on) == ("h1", ("h4",), ())


def test_a_vm_that_nobody_holds_is_where_it_runs_or_ran_when_last_heard() -> None:
    site = Site({"h4": (LEFT,), "h1": (RUNS,)})
    assert site.rows() == [("web-1", "h1", "runs")]
    site.lose("h1")
    assert site.rows() == [("web-1", "h1", "unknown")]


def test_two_vms_of_one_name_are_two_rows_and_need_a_uuid() -> None:
    site = Site({"h4": (RUNS,), "h1": (structs.replace(RUNS, vm="vm-9"),)})
    assert len(site.rows()) == 2
    with pytest.raises(Unanswerable, match="there are 2 VMs 'web-1': vm-1 on h4, vm-9 on h1"):
        site.agents.find_vm("web-1")
    assert site.agents.find_vm("vm-9")[0].host_name == "h1"


def test_a_promise_is_given_where_the_vm_runs_and_nowhere_in_doubt() -> None:
    assert Site({"h4": (LEFT,), "h5": (RUNS,)}).agents.find_to_protect("vm-1")[0].host == "id-h5"
    nowhere = Site({"h4": (LEFT,), "h5": (LEFT,)})
    with pytest.raises(Unanswerable, match="is defined on h4 and h5, and runs on none") as said:
        nowhere.agents.find_to_protect("vm-1")
    assert "start it where it is to run" in said.value.hint
    with pytest.raises(Unanswerable, match="web-1 runs on h4 and h5"):
        Site({"h4": (RUNS,), "h5": (RUNS,)}).agents.find_to_protect("web-1")


def test_no_promise_is_given_to_a_holder_while_the_vm_runs_elsewhere() -> None:
    """As after an older store was put back: it would start there, too."""
    site = Site({"h3": (LEFT,), "h1": (RUNS,)}, vm_1="id-h3")
    with pytest.raises(Unanswerable, match="web-1 is held by h3, and runs on h1") as said:
        site.agents.find_to_protect("web-1")
    assert said.value.hint.startswith("holdfast vm unprotect web-1; then protect it again")
    held = Site({"h3": (RUNS,), "h1": (RUNS,)}, vm_1="id-h3")
    assert held.agents.find_to_protect("web-1")[0].host == "id-h3"


def test_a_name_that_nobody_knows_is_offered_each_near_name_once() -> None:
    site = Site({"h4": (LEFT,), "h1": (RUNS,)})
    with pytest.raises(Unanswerable) as said:
        site.agents.find_vm("web-2")
    assert said.value.hint == "did you mean web-1?"
