"""The VMs of a host that is proven dead start elsewhere: each one placed, started, answered, once.

As site_fencing.py: after every fact it is worked out anew what must happen next.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from holdfast.facts import outcomes as came
from holdfast.facts.actions import Action, PutRecovery, RestartElsewhere, TakeBack
from holdfast.facts.definitions import RebuiltDisk
from holdfast.facts.instants import after, spoken
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.site import HostVm
from holdfast.facts.tenure import DeathProof, Tenure, TenureState, Wanted
from holdfast.policy import brakes, placement, proofs, rebuilding, timing
from holdfast.policy.site_world import HostRecord, Promise, SiteWorld, Starting

STARTS_AT_ONCE = 4  # On one target: more would boot none of them in time.
TRIED = "it was tried there, and nothing is different"
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
    return _follow(world, promise, now, recovery, places)


# Where to.


def _place(
    world: SiteWorld,
    promise: Promise,
    now: Starting,
    proof: DeathProof,
    places: _Places,
) -> list[Action]:
    before = world.recovery_of(promise)
    now.obstacle = _obstacle(world, promise, proof)
    if now.obstacle or promise.needs is None:
        return []
    if before is not None and _rests(world, promise, now, before, places):
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


def _rests(
    world: SiteWorld, promise: Promise, now: Starting, before: Recovery, places: _Places
) -> bool:
    """Whether so many hosts have tried it that the fault is likely its own: then the next one has
    its turn when another host can take it, after a while, or when a person says so."""
    if before.attempt < timing.TARGETS_TRIED or before.step is not RecoveryStep.GIVEN_BACK:
        return False
    able = [
        f"{record.host}/{record.boot}"
        for record in world.hosts.values()
        if not placement.refusal(world, places.rooms, record, promise)
    ]
    if now.rests_until is None:
        now.rests_until, now.able_then = after(world.now, timing.TARGETS_REST_MS), able
    tried = [host for host in able if host in now.able_then]
    if len(tried) < len(able):  # Whoever was not among them is the one to try it.
        now.refused = {host.partition("/")[0]: TRIED for host in tried}
        return False
    if now.rests_until <= world.now:
        now.refused = {}
        return False
    world.look_at(now.rests_until)
    again = f"holdfast vm recover {promise.protection.name}"
    now.obstacle = (
        f"{before.attempt} hosts were told to start it, and none could: the next one has its turn"
        f" when another host can take it, or {spoken(timing.TARGETS_REST_MS)} after the last;"
        f" at once: {again}"
    )
    return True


def is_waiting(world: SiteWorld, vm: str) -> bool:
    """Whether the leader is to start it elsewhere, and no host is at it."""
    promise = world.promises.get(vm)
    if promise is None or not _concerns(world, promise):
        return False
    recovery = world.recovery_ahead(promise) or world.recovery_of(promise)
    return recovery is None or recovery.step not in UNDER_WAY


def asked_again(world: SiteWorld, vm: str) -> None:
    """A person says: try again, also where it was refused."""
    now = world.starting.get(vm)
    if now is not None and is_waiting(world, vm):
        now.refused, now.again_at = {}, None
        now.rests_until = world.now if now.rests_until is not None else None


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


def _obstacle(world: SiteWorld, promise: Promise, proof: DeathProof) -> str:
    """The first thing that keeps it from being started anywhere now, or empty."""
    protection = promise.protection
    if not_ours := brakes.why_not_ours(world, promise):
        return not_ours
    if world.disarm is not None:
        return f"{world.disarm.owner} disarmed recovery: {world.disarm.reason}"
    if promise.needs is None:
        return "its definition is not known: it was protected by an older version"
    tie = world.tie_of(promise)
    if tie:
        return tie
    runs_on = runner(world, protection.vm, proof)
    if runs_on is None:
        return ""
    if runs_on.pulses:
        return f"{runs_on.name} says that it runs there, and does not hold it: look there first"
    said = f"{runs_on.name} said that it runs there, without holding it, and is silent now"
    return f"{said}: look there first, then holdfast host confirm-dead {runs_on.name}"


def runner(world: SiteWorld, vm: str, proof: DeathProof) -> HostRecord | None:
    """A host whose agent says that the VM runs there, or said so before the host fell silent: who
    is not proven dead may run it still. Of its holder the proof says that it does not."""
    return next(
        (
            record
            for record in world.hosts.values()
            if record.told_boot == record.boot
            and world.death_of(record) is None
            and (proof.host != record.host or record.boot not in (proof.boot, *proof.earlier))
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
        rebuilds=_rebuilds(world, promise),
    )


def _rebuilds(world: SiteWorld, promise: Promise) -> tuple[RebuiltDisk, ...]:
    protection, needs = promise.protection, promise.needs
    group = world.group_of(protection)
    return rebuilding.disks(needs, protection, group) if needs is not None else ()


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


def _follow(
    world: SiteWorld, promise: Promise, now: Starting, recovery: Recovery, places: _Places
) -> list[Action]:
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
    now.is_asked, now.obstacle = True, ""
    incident = recovery.incident
    if gave_up:
        return [TakeBack(incident=incident, recovery=recovery, reason="it gave up")]
    tries = timing.TRIES_HERE if _has_another(world, promise, now, recovery, places) else 0
    order = RestartElsewhere(
        incident=incident, recovery=recovery, proof=recovery.proof, tries=tries
    )
    return [order]


def _has_another(
    world: SiteWorld, promise: Promise, now: Starting, recovery: Recovery, places: _Places
) -> bool:
    """Whether another host would take it, should this target not get it to run."""
    refused = {**now.refused, recovery.target: "it is tried there"}
    choice = placement.find(world, places.rooms, promise, refused=refused)
    return bool(choice.host)


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
    now.is_asked, now.asked_at, now.unanswered = False, world.now, ""
    now.refused = {**now.refused, recovery.target: outcome.reason}
    now.rests_until = None  # A rest is counted from the last that tried.
    now.again_at = after(world.now, timing.PUT_AGAIN_MS)  # It is not told once more meanwhile.
    world.look_at(now.again_at)
    changed = msgspec.structs.replace(
        recovery, step=RecoveryStep.GIVEN_BACK, reason=outcome.reason, term=world.term
    )
    return [PutRecovery(recovery=changed)]


def start_taken(world: SiteWorld, outcome: came.StartTaken) -> None:
    """Its list of VMs will show it; should it not, the order is repeated: that is harmless."""
    _told_again(world, outcome.vm, outcome.generation, timing.TAKEN_AGAIN_MS, "")


def target_silent(world: SiteWorld, outcome: came.TargetSilent) -> None:
    """A time-out is no answer: it is told again, and nobody else is."""
    again_ms = timing.START_AGAIN_MS
    _told_again(world, outcome.vm, outcome.generation, again_ms, outcome.reason)


def _told_again(world: SiteWorld, vm: str, generation: int, in_ms: int, unanswered: str) -> None:
    if _awaited(world, vm, generation) is None:
        return
    now = world.starting.setdefault(vm, Starting())
    now.is_asked, now.unanswered = False, unanswered
    now.again_at = after(world.now, in_ms)
    world.look_at(now.again_at)


def _awaited(world: SiteWorld, vm: str, generation: int) -> Recovery | None:
    recovery = world.recoveries.get(vm)
    is_it = recovery is not None and recovery.generation == generation
    return recovery if is_it and recovery and recovery.step in UNDER_WAY else None
