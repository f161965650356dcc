"""How many VMs of a group's template there are, and what is done next about one of them.

Each step is a record in the store before anybody is told. An instance that runs is protected as any
other VM: that it comes back after its process or its host died is not decided here.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from holdfast.facts.definitions import VmNeeds
from holdfast.facts.instances import Instance, InstanceStep, Template
from holdfast.facts.promises import Answer, Group, Protection
from holdfast.facts.recoveries import RecoveryStep
from holdfast.facts.site import HostVm
from holdfast.facts.tenure import RESTORED, Tenure, TenureState, Wanted
from holdfast.policy import admission, placement, proofs
from holdfast.policy.placement import Choice
from holdfast.policy.site_world import HostRecord, Promise, SiteWorld


class Next(StrEnum):
    WAIT = "wait"
    ORDER = "order"  # Tell its host to make and start it.
    NOTE_RUNS = "note that it runs"
    TAKE_BACK = "take back"  # Have its host show that nothing of it is left there.
    PLACE = "place"  # On another host.
    FORGET = "forget"  # Nothing is left of it, and nobody wants it.


def next_step(world: SiteWorld, one: Instance) -> Next:
    """What is to be done about it now."""
    promise = world.promises.get(one.vm)
    if promise is None:
        return Next.FORGET  # A person took it from Holdfast, or it has left.
    if one.step is InstanceStep.LEAVING:
        return Next.FORGET if is_proven_gone(world, promise) else Next.TAKE_BACK
    if _is_recovered(world, promise) or is_proven_gone(world, promise):
        return Next.WAIT  # Its host died: it starts elsewhere as any other VM.
    tenure = promise.protection.tenure
    if tenure.boot in ("", RESTORED):
        return Next.WAIT  # Another host may have it since, and has not greeted yet.
    if one.step is InstanceStep.TAKEN_BACK and tenure.generation == one.generation:
        return Next.PLACE
    record = world.hosts.get(tenure.host)
    if record is not None and _lists(record.given_up, record, tenure):
        return Next.TAKE_BACK
    if one.step is InstanceStep.RUNS:
        return Next.WAIT
    if tenure.generation > one.generation:
        return Next.NOTE_RUNS
    is_there = record is not None and _lists(record.vms, record, tenure)
    return Next.NOTE_RUNS if is_there else Next.ORDER


def is_proven_gone(world: SiteWorld, promise: Promise) -> bool:
    """Its host is proven dead, in the boot in which it held it."""
    tenure = promise.protection.tenure
    proof = proofs.proof_of(world.fences.get(tenure.host))
    record = world.hosts.get(tenure.host)
    is_wrong = record is not None and world.is_contradicted(record)
    return proof is not None and not is_wrong and proofs.covers(proof, tenure)


def _is_recovered(world: SiteWorld, promise: Promise) -> bool:
    recovery = world.recovery_ahead(promise) or world.recovery_of(promise)
    return recovery is not None and recovery.step is not RecoveryStep.ANSWERED


def _lists(vms: Iterable[HostVm], record: HostRecord, tenure: Tenure) -> bool:
    """Of this generation, in this boot."""
    return record.told_boot == tenure.boot and any(
        one.vm == tenure.vm and one.generation >= tenure.generation for one in vms
    )


def missing(template: Template, instances: Iterable[Instance]) -> int:
    """How many more are to be made; negative: how many are too many."""
    here = [one for one in instances if one.step is not InstanceStep.LEAVING]
    return template.count - len(here)


def in_service(world: SiteWorld, instances: Iterable[Instance]) -> int:
    """Of these so many run, and answer."""
    found = 0
    for one in instances:
        promise = world.promises.get(one.vm)
        record = world.hosts.get(promise.protection.tenure.host) if promise else None
        if promise is None or record is None or one.step is not InstanceStep.RUNS:
            continue
        tenure = promise.protection.tenure
        serving = [vm for vm in record.vms if vm.is_serving]
        found += record.pulses and _lists(serving, record, tenure)
    return found


def place(
    world: SiteWorld,
    group: Group,
    needs: VmNeeds,
    vm: str,
    name: str,
    refused: Mapping[str, str],
) -> Choice:
    """Where it is to be made: as VMs of a dead host are placed."""
    nowhere = Tenure(
        vm=vm, generation=0, host="", boot="", state=TenureState.HELD, wanted=Wanted.RUNNING
    )
    protection = Protection(vm=vm, name=name, group=group.name, answer=Answer(), tenure=nowhere)
    promise = Promise(protection=protection, needs=needs)
    tried = admission.with_promise(world, promise)
    return placement.find(tried, placement.Rooms(tried), promise, refused=refused)
