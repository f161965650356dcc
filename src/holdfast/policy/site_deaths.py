"""What is said of a host that is fenced or proven dead, and of the VMs that it ran."""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from holdfast.facts.alarms import Alarm, alarm_key, condition_of
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.fencing import Fence, FenceStep
from holdfast.facts.instants import Instant
from holdfast.facts.recoveries import Recovery, RecoveryStep
from holdfast.facts.subjects import Subject, SubjectKind, host_subject
from holdfast.facts.tenure import DeathProof, Wanted
from holdfast.facts.verdicts import Certainty, Effect, FaultRaised
from holdfast.policy import brakes, rebuilding
from holdfast.policy.host_states import SILENT
from holdfast.policy.site_world import HostRecord, Promise, SiteWorld, Starting

TOLD_AT_ONCE = 2  # Of what shows that a host is dead: the word itself, and its power.
BRAKED = "recovery-braked"
FENCE_FAILED = "fence-failed"
ON_LOST_HOST = "vm-on-lost-host"
NOT_DEAD = "host-not-dead"
BRAKE_KEY = alarm_key("site", BRAKED)


class LostVm(Struct, frozen=True, kw_only=True):
    """A VM that a silent host ran, and what is to be said of it."""

    vm: str
    name: str
    text: str


def as_known(world: SiteWorld, record: HostRecord, loss: FaultRaised) -> FaultRaised:
    """The loss of a host: suspected, until it is proven."""
    lapse = world.lapse_of(record)
    if lapse is not None and lapse.proof is not None:
        how = "; ".join(lapse.proof.shown)
        return msgspec.structs.replace(loss, reason=f"{loss.reason}; {how}")
    fence = world.death_of(record)
    if fence is None or fence.proof is None:
        return loss
    told, more = fence.proof.shown[:TOLD_AT_ONCE], fence.proof.shown[TOLD_AT_ONCE:]
    reason = f"{record.name} is dead: {'; '.join(told)}"
    if more:  # Who reads an alarm needs the proof; all that was looked at is long.
        things = "one thing" if len(more) == 1 else f"{len(more)} things"
        reason += f" (and {things} more: holdfast explain {record.name})"
    evidence = {**loss.evidence, "looked_at": "; ".join(more)} if more else loss.evidence
    return msgspec.structs.replace(
        loss, certainty=Certainty.CERTAIN, reason=reason, evidence=evidence
    )


def faults_of(world: SiteWorld, record: HostRecord) -> Iterator[FaultRaised]:
    """What is wrong with the fence of a host."""
    fence = world.fences.get(record.host)
    if fence is not None and world.is_contradicted(record):
        reason = f"{record.name} pulses, though it was proven dead: its VMs may run twice"
        yield _fault(world, record, fence, NOT_DEAD, reason)
    now = record.fencing
    failed = fence.doubt if fence is not None and fence.doubt else now.failed if now else ""
    if fence is not None and failed and brakes.is_under_way(world, record):
        reason = f"{record.name} could not be proven dead: {failed}"
        failed_at = now.failed_at if now is not None else None
        yield _fault(world, record, fence, FENCE_FAILED, reason, failed_at)


def _fault(
    world: SiteWorld,
    record: HostRecord,
    fence: Fence,
    condition: str,
    reason: str,
    failed_at: Instant | None = None,
) -> FaultRaised:
    """`failed_at`: when its devices had failed, which may be long after they were to begin."""
    at = failed_at or world.fenced_at.get(record.host, world.now)
    return FaultRaised(
        detector="policy",
        condition=condition,
        subject=host_subject(record.host, record.name),
        effect=Effect.DEGRADED,
        certainty=Certainty.CERTAIN,
        fault_at=at,
        detected_at=at,
        reason=reason,
        boot=fence.boot,
        cause="the host's power control, or its wiring",
    )


def brake(world: SiteWorld, reason: str) -> FaultRaised:
    return FaultRaised(
        detector="policy",
        condition=BRAKED,
        subject=Subject(kind=SubjectKind.POOL, id="site", name="the site"),
        effect=Effect.DEGRADED,
        certainty=Certainty.CERTAIN,
        fault_at=world.now,
        detected_at=world.now,
        reason=reason,
        cause=BY_ID[BRAKED].means,
    )


# Its VMs.


def vms_of(world: SiteWorld, record: HostRecord, loss: FaultRaised) -> list[LostVm]:
    """Those that ran there, and those that it held; none that answers elsewhere by now."""
    is_dead = world.death_of(record) is not None
    ran = {vm.vm: vm.name for vm in record.vms} if record.vms_boot in ("", loss.boot) else {}
    lapse = world.lapse_of(record)
    if lapse is not None and lapse.proof is not None:
        return list(_of_lapse(world, record, ran, lapse.proof))
    if not is_dead:
        why = brakes.why_nothing(world, record)
        words = ((vm, name, _suspicion(world, vm, loss, why)) for vm, name in ran.items())
        return [LostVm(vm=vm, name=name, text=f"{name} {word}") for vm, name, word in words]
    held = {
        vm: one.protection.name
        for vm, one in world.promises.items()
        if brakes.is_ours(world, one) and record.host in (_source(world, one), _holder(one))
    }
    found = ((vm, name, _word(world, record, vm)) for vm, name in (ran | held).items())
    return [
        LostVm(vm=vm, name=name, text=f"{name} is down with {record.name}, {word}")
        for vm, name, word in found
        if word
    ]


def still_down(world: SiteWorld, record: HostRecord) -> Iterator[tuple[LostVm, DeathProof]]:
    """Its former VMs that others are to bring back, and that do not answer yet: none comes back by
    the host being heard again, or dealt with by a person. A host that pulses though it was proven
    dead has an alarm of its own."""
    if world.is_contradicted(record):
        return
    for promise in world.promises.values():
        recovery = world.recovery_ahead(promise) or world.recovery_of(promise)
        if recovery is None or recovery.source != record.host or not brakes.is_ours(world, promise):
            continue
        if word := _on_its_way(world, recovery):
            text = f"{recovery.name} went down with {record.name}, {word}"
            yield LostVm(vm=recovery.vm, name=recovery.name, text=text), recovery.proof


def is_somebody_down(world: SiteWorld) -> bool:
    """Also whose alarm is open, though nothing is under way any more: it must be ended."""
    is_told = any(
        condition_of(key) == ON_LOST_HOST for record in world.hosts.values() for key in record.keys
    )
    return is_told or any(
        world.recoveries[vm].step is not RecoveryStep.ANSWERED
        for vm in world.recoveries.keys() & world.promises.keys()
    )


def _suspicion(world: SiteWorld, vm: str, loss: FaultRaised, why: str) -> str:
    """After the name of a VM whose host may be dead; whoever reads only this must see what keeps it
    from being started elsewhere."""
    promise = world.promises.get(vm)
    if promise is None:
        why = "it is not protected"
    elif not_ours := brakes.why_not_ours(world, promise):
        why = not_ours
    elif world.tie_of(promise):
        why = world.tie_of(promise)
    text = f"may be lost with its host: {loss.reason}"
    return f"{text}; it is not started elsewhere: {why}" if why else text


def _of_lapse(
    world: SiteWorld, record: HostRecord, ran: dict[str, str], proof: DeathProof
) -> Iterator[LostVm]:
    """What relied on the lease has ended there; of the others nobody knows."""
    for vm, name in ran.items():
        if vm in proof.vms:
            word = _word(world, record, vm)
            if word:
                yield LostVm(vm=vm, name=name, text=f"{name} ended with its lease, {word}")
        else:
            text = (
                f"{name} may be lost with {record.name}: it relies on no lease, so nobody ended it"
            )
            then = f"it starts elsewhere once a person knows that {record.name} is dead"
            yield LostVm(vm=vm, name=name, text=f"{text}; {then}")


def _source(world: SiteWorld, promise: Promise) -> str:
    recovery = world.recovery_of(promise)
    return recovery.source if recovery is not None else ""


def _holder(promise: Promise) -> str:
    return promise.protection.tenure.host


def _runner(world: SiteWorld, dead: HostRecord, vm: str) -> HostRecord | None:
    """Another host that tells that it runs there."""
    others = (one for one in world.hosts.values() if one is not dead and one.state not in SILENT)
    return next((one for one in others if any(seen.vm == vm for seen in one.vms)), None)


def _word(world: SiteWorld, record: HostRecord, vm: str) -> str:
    """What becomes of it, after "is down with its host"; empty: it is over."""
    promise = world.promises.get(vm)
    if promise is None and _runner(world, record, vm):
        return ""
    if promise is None:
        return "and starts nowhere else: it is not protected"
    recovery = world.recovery_ahead(promise) or world.recovery_of(promise)
    if recovery is not None and recovery.source == record.host:
        return _on_its_way(world, recovery)
    starting = world.starting.get(vm)
    if starting is not None and starting.target:  # The store says the rest in a moment.
        target = world.hosts.get(starting.target)
        return f"and is being started on {target.name if target else starting.target}"
    if _holder(promise) != record.host:
        return ""
    if starting is not None and starting.obstacle:
        return f"and is not started elsewhere: {starting.obstacle}"
    if not_ours := brakes.why_not_ours(world, promise):
        return f"and starts nowhere else: {not_ours}"
    return "and is to be started elsewhere"


def _on_its_way(world: SiteWorld, recovery: Recovery) -> str:
    target = world.hosts.get(recovery.target)
    name = target.name if target is not None else recovery.target
    anew = f", {rebuilding.lost_words(recovery.rebuilds)}" if recovery.rebuilds else ""
    starting = world.starting.get(recovery.vm)
    match recovery.step:
        case RecoveryStep.ANSWERED:
            return ""
        case RecoveryStep.STARTED:
            return f"and runs on {name} again{anew}: its answer is awaited"
        case RecoveryStep.PLACED:
            return _waiting(name, starting) or f"and is being started on {name}{anew}"
        case RecoveryStep.GIVEN_BACK:
            why = starting.obstacle if starting is not None else ""
            return f"and {name} could not start it: {recovery.reason}" + (f"; {why}" if why else "")


def left_down(world: SiteWorld, incident: str) -> dict[str, tuple[str, ...]]:
    """By the names of its silent hosts the VMs that Holdfast is to start elsewhere once their host
    is proven dead: whoever settles the incident leaves them down."""
    silent = (
        record
        for record in world.hosts.values()
        if record.incident == incident and record.state in SILENT
    )
    found = {record.name: brakes.held_by(world, record) for record in silent}
    return {
        name: tuple(sorted(one.protection.name for one in held))
        for name, held in found.items()
        if held
    }


def _waiting(target: str, starting: Starting | None) -> str:
    """Why its target does not start it now, or empty."""
    if starting is not None and starting.obstacle:
        return f"and is not started on {target} yet: {starting.obstacle}"
    if starting is not None and starting.unanswered:
        return (
            f"and {target}, which is to start it, has not said that it does: {starting.unanswered}"
        )
    return ""


def why_over(world: SiteWorld, record: HostRecord, alarm: Alarm) -> str:
    """Why an alarm of a host that is fenced, or on a VM below it, is over; or empty where somebody
    else's word says it."""
    if alarm.condition == ON_LOST_HOST:
        return _why_vm_over(world, record, alarm)
    return _why_fence_over(world, record) if alarm.condition == FENCE_FAILED else ""


def _why_fence_over(world: SiteWorld, record: HostRecord) -> str:
    fence, now = world.fences.get(record.host), record.fencing
    proof = fence.proof if fence is not None and fence.step is not FenceStep.INTENDED else None
    if proof is None and now is not None:
        proof = now.proof
    if fence is not None and fence.step is FenceStep.CLOSED:
        return f"{record.name} is back in a new boot: nothing is to be proven any more"
    return "; ".join(proof.shown[:1]) if proof is not None else ""


def _why_vm_over(world: SiteWorld, record: HostRecord, alarm: Alarm) -> str:
    vm = alarm.subject
    promise = world.promises.get(vm.id)
    if promise is None:
        runner = _runner(world, record, vm.id)
        where = f"runs on {runner.name}" if runner else "nobody is to bring it back"
        return f"{vm.name} is not protected any more: {where}"
    recovery = world.recovery_of(promise)
    if recovery is None:
        return ""
    target = world.hosts.get(recovery.target)
    name = target.name if target is not None else recovery.target
    if recovery.source != record.host:
        held = world.hosts.get(recovery.source)
        since = held.name if held is not None else recovery.source
        return f"{vm.name} was {since}'s by then, and is down with that: see its alarm there"
    if recovery.step is RecoveryStep.ANSWERED:
        anew = f", {rebuilding.lost_words(recovery.rebuilds)}" if recovery.rebuilds else ""
        return f"{vm.name} answers on {name}{anew}"
    if promise.protection.tenure.wanted is Wanted.STOPPED:
        return f"somebody stopped {vm.name} on purpose"
    return ""
