"""The VMs of a host that is proven dead start elsewhere: each one placed, started, answered, once.

As site_fencing.py: after every fact it is worked out anew what must happen next.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from holdfast.facts import outcomes as came
from holdfast.facts.actions import Action, PutRecovery, RestartElsewhere, TakeBack
from holdfast.facts.instants import after
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.site import HostVm
from holdfast.facts.tenure import DeathProof, Tenure, TenureState, Wanted
from holdfast.policy import brakes, placement, proofs, timing
from holdfast.policy.host_states import SILENT
from holdfast.policy.site_world import HostRecord, Promise, SiteWorld, Starting

STARTS_AT_ONCE = 4  # On one target: more would boot none of them in time.
UNDER_WAY = (RecoveryStep.PLACED, RecoveryStep.STARTED)


@dataclass(frozen=True)
class _Places:
    """What is left for those who come next in one go."""

    rooms: placement.Rooms
    busy: Counter[str]


def go_on(world: SiteWorld) -> list[Action]:
    """What is to be done now about VMs of dead hosts."""
    actions: list[Action] = []
    found = [one for one in world.promises.values() if _concerns(world, one)]
    _forget_in_vain(world, found)
    busy = Counter(one.target for one in world.starting.values() if one.target)
    busy.update(_starting_on(world, found))
    if found:
        places = _Places(rooms=placement.Rooms(world), busy=busy)
        for promise in placement.in_order(world, found):
            actions += _next(world, promise, places)
    return actions


def _starting_on(world: SiteWorld, found: list[Promise]) -> Iterator[str]:
    """The targets of those that were placed; of what is not promised any more nobody starts it."""
    for promise in found:
        recovery = world.recovery_ahead(promise) or world.recovery_of(promise)
        if recovery is not None and recovery.step is RecoveryStep.PLACED:
            yield recovery.target


def _forget_in_vain(world: SiteWorld, found: list[Promise]) -> None:
    """Where the store was asked to place those that are not recovered any more: it refused, as
    when their host came back. Nobody is busy with them."""
    asked = {one.protection.vm for one in found}
    for vm, now in world.starting.items():
        promise = world.promises.get(vm)
        tenure = promise.protection.tenure if promise is not None else None
        is_taken = tenure is not None and tenure.state is TenureState.RECOVERING
        if vm not in asked and not is_taken:  # Taken: the store tells of the rest in a moment.
            now.target = ""


def _concerns(world: SiteWorld, promise: Promise) -> bool:
    """Whether it is being recovered, or its host is proven dead."""
    recovery = world.recovery_of(promise)
    is_open = recovery is not None and recovery.step is not RecoveryStep.ANSWERED
    return is_open or proof_for(world, promise) is not None


def proof_for(world: SiteWorld, promise: Promise) -> DeathProof | None:
    """That whoever holds it is dead. What migrates may be at its other end: that comes first."""
    tenure = promise.protection.tenure
    if tenure.state is TenureState.MIGRATING:
        return None
    record = world.hosts.get(tenure.host)
    if record is not None and world.is_contradicted(record):
        return None
    proof = proofs.proof_of(world.fences.get(tenure.host))
    return proof if proof is not None and proofs.covers(proof, tenure) else None


def _next(world: SiteWorld, promise: Promise, places: _Places) -> list[Action]:
    vm = promise.protection.vm
    if world.recovery_ahead(promise) is not None:
        return []
    now = world.starting.setdefault(vm, Starting())
    recovery = world.recovery_of(promise)
    proof = proof_for(world, promise)
    if proof is not None:
        return _place(world, promise, now, proof, places)
    if recovery is None:
        return []
    if recovery.step is RecoveryStep.GIVEN_BACK:
        return _place(world, promise, now, recovery.proof, places)
    return _follow(world, promise, now, recovery)


# Where to.


def _place(
    world: SiteWorld,
    promise: Promise,
    now: Starting,
    proof: DeathProof,
    places: _Places,
) -> list[Action]:
    before = world.recovery_of(promise)
    now.obstacle = _obstacle(world, promise)
    if now.obstacle or promise.needs is None:
        return []
    if before is not None and before.attempt >= timing.TARGETS_TRIED:
        now.obstacle = f"{before.attempt} hosts were told to start it, and none could"
        return []
    rooms, busy = places.rooms, places.busy
    full = [host for host, starts in busy.items() if starts >= STARTS_AT_ONCE]
    choice = placement.find(world, rooms, promise, refused=now.refused, busy=full)
    target = choice.host
    if not target:
        return _wait_for_room(world, now, choice.why)
    if _was_just_asked(world, now):
        return []
    now.target = target
    busy[target] += 1
    rooms.take(promise, target)
    return [PutRecovery(recovery=_placed(world, promise, proof, choice, before))]


def _wait_for_room(world: SiteWorld, now: Starting, why: str) -> list[Action]:
    """It is looked again; after a while also at those that refused it. Without a reason its turn
    comes when another one has started."""
    now.obstacle = why
    world.look_at(after(world.now, timing.PLACE_AGAIN_MS))
    if now.refused and now.again_at is None:
        now.again_at = after(world.now, timing.REFUSED_FOR_MS)
    elif now.again_at is not None and now.again_at <= world.now:
        now.refused, now.again_at = {}, None
    return []


def _obstacle(world: SiteWorld, promise: Promise) -> str:
    """The first thing that keeps it from being started anywhere now, or empty."""
    protection = promise.protection
    if not brakes.is_ours(world, promise):
        return "it is not Holdfast's to start"
    if world.disarm is not None:
        return f"{world.disarm.owner} disarmed recovery: {world.disarm.reason}"
    if promise.needs is None:
        return "its definition is not known: it was protected by an older version"
    if promise.needs.obstacle:
        return promise.needs.obstacle
    runs_on = runner(world, protection.vm)
    if runs_on is not None:
        return f"{runs_on.name} says that it runs there, and does not hold it: look there first"
    return ""


def runner(world: SiteWorld, vm: str, besides: tuple[str, ...] = ()) -> HostRecord | None:
    """A living host, none of those named, whose agent says that the VM runs there."""
    return next(
        (
            record
            for record in world.hosts.values()
            if record.host not in besides
            and record.state not in SILENT
            and record.told_boot == record.boot
            and any(one.vm == vm for one in record.vms)
        ),
        None,
    )


def _placed(
    world: SiteWorld,
    promise: Promise,
    proof: DeathProof,
    choice: placement.Choice,
    before: Recovery | None,
) -> Recovery:
    tenure = promise.protection.tenure
    is_next_try = before is not None and before.proof == proof
    source = world.hosts.get(proof.host)
    return Recovery(
        vm=promise.protection.vm,
        name=promise.protection.name,
        generation=tenure.generation + 1,
        incident=source.incident if source is not None else "",
        source=proof.host,
        target=choice.host,
        target_boot=world.hosts[choice.host].boot,
        proof=proof,
        term=world.term,
        step=RecoveryStep.PLACED,
        attempt=before.attempt + 1 if before is not None and is_next_try else 1,
        reason=choice.why,
        rejected=choice.rejected,
    )


def _was_just_asked(world: SiteWorld, now: Starting) -> bool:
    """As for fences: a commit is asked for once, and anew when nothing came of it."""
    if now.asked_at is not None:
        again = after(now.asked_at, timing.PUT_AGAIN_MS)
        if again > world.now:
            world.look_at(again)
            return True
    now.asked_at = world.now
    world.look_at(after(world.now, timing.PUT_AGAIN_MS))
    return False


# What became of it there.


def _follow(world: SiteWorld, promise: Promise, now: Starting, recovery: Recovery) -> list[Action]:
    """The target holds it: it is told to start it until it says what came of that."""
    target = world.hosts.get(recovery.target)
    changed = _found(recovery, promise.protection.tenure, target)
    if changed != recovery or recovery.term != world.term:
        if _was_just_asked(world, now):
            return []
        return [PutRecovery(recovery=msgspec.structs.replace(changed, term=world.term))]
    is_over = recovery.step is not RecoveryStep.PLACED
    if is_over or now.is_asked or target is None or target.boot != recovery.target_boot:
        return []
    if world.disarm is not None:
        now.obstacle = f"{world.disarm.owner} disarmed recovery: {world.disarm.reason}"
        return []
    gave_up = _gave_up(recovery, target)
    if now.again_at is not None and now.again_at > world.now and not gave_up:
        world.look_at(now.again_at)
        return []
    return [_order(recovery, now, "it gave up" if gave_up else "")]


def _order(recovery: Recovery, now: Starting, failed: str) -> Action:
    now.is_asked, now.obstacle = True, ""
    incident = recovery.incident
    if failed:
        return TakeBack(incident=incident, recovery=recovery, reason=failed)
    return RestartElsewhere(incident=incident, recovery=recovery, proof=recovery.proof)


def _found(recovery: Recovery, tenure: Tenure, target: HostRecord | None) -> Recovery:
    """What the target's agent says of it, and the store of its tenure."""
    if recovery.target_boot != tenure.boot:  # It was booted since, and has been granted it again.
        step = RecoveryStep.PLACED
        return msgspec.structs.replace(recovery, target_boot=tenure.boot, step=step)
    if tenure.wanted is Wanted.STOPPED:
        stopped = "somebody stopped it on purpose"
        return msgspec.structs.replace(recovery, step=RecoveryStep.ANSWERED, reason=stopped)
    if target is None or target.told_boot != recovery.target_boot:
        return recovery
    there = _listed(recovery, target.vms)
    if there is None:
        return recovery
    step = RecoveryStep.ANSWERED if there.is_serving else RecoveryStep.STARTED
    return msgspec.structs.replace(recovery, step=step)


def _gave_up(recovery: Recovery, target: HostRecord) -> bool:
    return target.told_boot == recovery.target_boot and (
        _listed(recovery, target.given_up) is not None
    )


def _listed(recovery: Recovery, vms: tuple[HostVm, ...]) -> HostVm | None:
    """Of this generation or a later one: an earlier is not what was ordered."""
    return next(
        (one for one in vms if one.vm == recovery.vm and one.generation >= recovery.generation),
        None,
    )


def given_back(world: SiteWorld, outcome: came.GivenBack) -> list[Action]:
    recovery = _awaited(world, outcome.vm, outcome.generation)
    if recovery is None:
        return []
    now = world.starting.setdefault(outcome.vm, Starting())
    now.is_asked, now.asked_at = False, world.now
    now.refused = {**now.refused, recovery.target: outcome.reason}
    now.again_at = after(world.now, timing.PUT_AGAIN_MS)  # It is not told once more meanwhile.
    world.look_at(now.again_at)
    changed = msgspec.structs.replace(
        recovery, step=RecoveryStep.GIVEN_BACK, reason=outcome.reason, term=world.term
    )
    return [PutRecovery(recovery=changed)]


def start_taken(world: SiteWorld, outcome: came.StartTaken) -> None:
    """Its list of VMs will show it; should it not, the order is repeated: that is harmless."""
    _told_again(world, outcome.vm, outcome.generation, timing.TAKEN_AGAIN_MS)


def target_silent(world: SiteWorld, outcome: came.TargetSilent) -> None:
    """A time-out is no answer: it is told again, and nobody else is."""
    _told_again(world, outcome.vm, outcome.generation, timing.START_AGAIN_MS)


def _told_again(world: SiteWorld, vm: str, generation: int, in_ms: int) -> None:
    if _awaited(world, vm, generation) is None:
        return
    now = world.starting.setdefault(vm, Starting())
    now.is_asked = False
    now.again_at = after(world.now, in_ms)
    world.look_at(now.again_at)


def _awaited(world: SiteWorld, vm: str, generation: int) -> Recovery | None:
    recovery = world.recoveries.get(vm)
    is_it = recovery is not None and recovery.generation == generation
    return recovery if is_it and recovery and recovery.step in UNDER_WAY else None
