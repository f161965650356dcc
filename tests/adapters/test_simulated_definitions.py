"""A simulated VM's definition goes to another host, and is the same VM there."""

import random

import pytest

from holdfast.adapters.simulated.clock import Clock
from holdfast.adapters.simulated.definitions import definition_of, size_of, vm_of
from holdfast.adapters.simulated.machine import Machine
from holdfast.adapters.simulated.network import Network
from holdfast.adapters.simulated.vm import SimulatedVm


def machines(*names: str) -> list[Machine]:
    clock = Clock()
    network = Network(clock, random.Random(1), ["a"])
    return [Machine(clock, network, name) for name in names]


def test_a_definition_makes_the_same_vm_on_another_host() -> None:
    web = SimulatedVm(name="web", uuid="u", memory_gb=2, boot_ms=500, has_agent=False, disk="d")
    made = definition_of(web)
    assert vm_of(made.xml) == web.elsewhere()
    assert (made.vm, made.name, made.needs.memory_mib) == ("u", "web", 2_048)


def test_what_keeps_a_vm_on_its_host_is_told() -> None:
    web = SimulatedVm(name="web", uuid="u", is_local=True)
    assert definition_of(web).needs.obstacle == "its disk is on its host"


@pytest.mark.parametrize("text", ["", "<domain>", "<domain/>"])
def test_what_is_no_definition_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="definition"):
        vm_of(text)


def test_two_hosts_may_run_one_vm_and_each_start_is_told() -> None:
    begun = []
    web = SimulatedVm(name="web", uuid="u")
    for machine, one in zip(machines("h1", "h2"), (web, web.elsewhere()), strict=True):
        machine.vms.begun.append(lambda vm, generation: begun.append((vm.runs, generation)))
        machine.vms.define(one)
        machine.vms.begin("web", generation=len(begun) + 1)
        machine.vms.begin("web", generation=7)  # It runs: nothing begins.
    assert begun == [(True, 1), (True, 2)]


def test_a_host_has_room_for_so_much_and_says_so() -> None:
    [machine] = machines("h1")
    small, big = (SimulatedVm(name=n, uuid=n, memory_gb=gb) for n, gb in (("s", 1), ("b", 2)))
    assert machine.vms.has_room_for(big)
    machine.vms.memory_mib = 2_500
    assert size_of(machine.vms).memory_mib == 2_500
    machine.vms.define(small)
    assert machine.vms.has_room_for(big)
    machine.vms.begin("s")
    assert not machine.vms.has_room_for(big)


def test_what_a_frozen_host_was_told_it_does_when_it_goes_on_unless_power_was_cut() -> None:
    [machine] = machines("h1")
    done: list[str] = []
    for name, end in (("a", machine.resume), ("b", machine.switch_off)):
        machine.freeze()
        machine.vms.when_it_runs(lambda name=name: done.append(name))  # type: ignore[misc]
        assert name not in done
        end()
    machine.boot_again()
    machine.vms.when_it_runs(lambda: done.append("c"))
    assert done == ["a", "c"]
