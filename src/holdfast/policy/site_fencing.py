"""A silent host is fenced, step by step; only a committed step leads to the next.

What must happen next is worked out anew from what is believed after every fact, so that whoever
comes to lead, or comes back, goes on where the store says that it stands.
"""

import msgspec

from holdfast.facts import outcomes as came
from holdfast.facts.actions import Action, PutFence, SwitchOff
from holdfast.facts.fencing import Fence, FenceStep, HostMode
from holdfast.facts.instants import Instant, after, spoken
from holdfast.facts.migrations import End
from holdfast.facts.tenure import DeathProof, ProofKind
from holdfast.policy import brakes, site_incidents, timing
from holdfast.policy.host_states import SILENT
from holdfast.policy.site_world import Fencing, HostRecord, SiteWorld, boots_of, is_of_lease

CONFIRM = "see that {name} is off, then: holdfast host confirm-dead {name} --because WHY"
ARM = "holdfast arm, as soon as it may act again: until then {name} is left alone"
BRING_BACK = "find out why {name} is silent, and bring it back: nothing is won by a proof"
LAPSES = (
    "ends by itself what relies on its lease: that has run out before anything starts elsewhere"
)


def go_on(world: SiteWorld) -> list[Action]:
    """What is to be done now about hosts that are silent, or whose fence is open."""
    actions: list[Action] = []
    for record in world.hosts.values():
        fence = _open_fence(world, record)
        if fence is not None and _may_keep(record, fence):
            now = _of(record, fence.number)
            actions += [] if _was_just_asked(world, now) else [_put(fence, step=FenceStep.CLOSED)]
        elif fence is not None and _is_overtaken(record, fence):
            actions += _leave(world, record, fence)
        elif fence is not None and fence.step is FenceStep.INTENDED and not fence.doubt:
            actions += _switch_off(world, record, fence)
        elif fence is not None:
            actions += _close(world, record, fence)
        elif record.state in SILENT:
            actions += _begin(world, record)
        else:
            record.fencing = None
    return actions


def _may_keep(record: HostRecord, fence: Fence) -> bool:
    """It is heard again before its lease is proven to be over, and nobody touched its power: it is
    granted anew, and nothing is moved."""
    return fence.is_lease and _is_unproven(record, fence) and record.pulses


def _is_overtaken(record: HostRecord, fence: Fence) -> bool:
    """It was booted since: the boot that was to be proven dead is over by itself, and whoever cut
    its power now would cut another one's. Its agent said so, and not only a pulse."""
    is_told = record.boot == record.told_boot and record.boot not in ("", *boots_of(fence))
    return is_told and _is_unproven(record, fence)


def _is_unproven(record: HostRecord, fence: Fence) -> bool:
    """It is only intended, and no proof of it is on its way to the store from here."""
    now = record.fencing
    has_proof = now is not None and now.number == fence.number and now.proof is not None
    return fence.step is FenceStep.INTENDED and not has_proof


def _leave(world: SiteWorld, record: HostRecord, fence: Fence) -> list[Action]:
    """The store first: that ends a try that is under way. Silent anew, it gets a fence anew."""
    now = _of(record, fence.number)
    is_mixed = record.state not in SILENT and bool(stale_copies(world, record))
    if is_mixed or _was_just_asked(world, now):
        return []
    text = "is left alone: it was booted before its power could be switched off"
    told = site_incidents.step_of_host(world, record, text, "")
    return [_put(fence, step=FenceStep.CLOSED, term=world.term), *told]


def _open_fence(world: SiteWorld, record: HostRecord) -> Fence | None:
    """One that is over, or whose proof says nothing of a boot that fell silent since, is none."""
    fence = world.fences.get(record.host)
    if fence is None or fence.step is FenceStep.CLOSED:
        return None
    is_of_before = fence.step is FenceStep.OFF and record.boot not in boots_of(fence)
    return None if is_of_before and record.state in SILENT else fence


def _of(record: HostRecord, number: int) -> Fencing:
    """What is known here of this fence of the host; of an earlier one nothing counts."""
    if record.fencing is None or record.fencing.number != number:
        record.fencing = Fencing(number=number)
    return record.fencing


# It is silent: shall it be fenced?


def _begin(world: SiteWorld, record: HostRecord) -> list[Action]:
    if record.mode is HostMode.REPORT:
        return []  # It was reported: that is all that is wanted.
    known = world.fences.get(record.host)
    now = _of(record, known.number + 1 if known else 1)
    early = brakes.too_early(world, record)
    left = brakes.grace_left(world, record)
    if early is not None:
        world.look_at(early)
        text = (
            f"it was not heard since this controller began: it has {left} to boot" if left else ""
        )
        if brakes.is_dumping(world, record):
            text = f"its kernel panicked, and has {record.dump_wait_s} s to write its dump"
            return _hold(world, record, now, text, "")
        return _hold(world, record, now, text) if text else []
    if why_not := brakes.pointless(world, record):
        return _hold(world, record, now, why_not, BRING_BACK)
    if why_not := brakes.hindrance(world, record):
        return _hold(world, record, now, why_not, CONFIRM if world.disarm is None else ARM)
    now.held = ""
    if _was_just_asked(world, now):
        return []
    return [PutFence(fence=_intended(world, record, now.number))]


def _intended(world: SiteWorld, record: HostRecord, number: int) -> Fence:
    held = brakes.boots_at_stake(world, record)
    faults = list(record.faults.values())
    silent = spoken(world.fence_after_ms)
    return Fence(
        host=record.host,
        name=record.name,
        boot=record.boot,
        earlier=tuple(sorted(held - {record.boot})),
        incident=record.incident,
        number=number,
        term=world.term,
        step=FenceStep.INTENDED,
        is_lease=not record.devices,
        reason=f"{faults[0].reason}, for more than {silent}" if faults else "it is silent",
    )


def _hold(
    world: SiteWorld, record: HostRecord, now: Fencing, why: str, wish: str = CONFIRM
) -> list[Action]:
    """Nothing is done, and a person reads why, once; `wish` is what they can do about it."""
    if now.held == why:
        return []
    now.held = why
    step = f"is not switched off: {why}"
    return site_incidents.step_of_host(world, record, step, wish.format(name=record.name))


def _was_just_asked(world: SiteWorld, now: Fencing) -> bool:
    """Whether the store has not answered yet; asked anew after a while: it may have lost it."""
    if now.asked_at is not None:
        again = after(now.asked_at, timing.PUT_AGAIN_MS)
        if again > world.now:
            world.look_at(again)
            return True
    now.asked_at = world.now
    world.look_at(after(world.now, timing.PUT_AGAIN_MS))
    return False


# It is committed: switch it off.


def _switch_off(world: SiteWorld, record: HostRecord, fence: Fence) -> list[Action]:
    now = _of(record, fence.number)
    if fence.term != world.term:  # An earlier leader intended it, and may have begun.
        return [] if _was_just_asked(world, now) else [_put(fence, term=world.term)]
    if now.proof is not None:
        return _prove(world, record, fence, now)
    why_not = brakes.hindrance(world, record)
    if why_not:
        return _hold(world, record, now, why_not)
    if now.is_switching:
        return []
    if now.again_at is not None and now.again_at > world.now:
        world.look_at(now.again_at)
        return []
    now.is_switching, now.held = True, ""
    wish = "" if record.page_at is not None else CONFIRM.format(name=record.name)
    text = LAPSES if fence.is_lease else "is being switched off, to be sure"
    told = site_incidents.step_of_host(world, record, text, wish)
    return [SwitchOff(incident=fence.incident, fence=fence), *told]


def _put(fence: Fence, **changes: object) -> PutFence:
    return PutFence(fence=msgspec.structs.replace(fence, **changes))


def _prove(world: SiteWorld, record: HostRecord, fence: Fence, now: Fencing) -> list[Action]:
    """Its power was read back off. Was it its own? Then it is silent, and nobody else fell so."""
    assert now.proof is not None
    assert now.proven_at is not None
    ready = after(now.proven_at, timing.PROOF_HOLD_MS)
    if ready > world.now:  # Who pulsed until its power went is not missed before.
        world.look_at(ready)
        return []
    doubt = _doubt(world, record, fence, now.proof)
    if doubt:  # The store keeps it: the next leader must not believe the same proof.
        if _was_just_asked(world, now):
            return []
        wish = CONFIRM.format(name=record.name)
        text = f"is not proven dead: {doubt}"
        told = site_incidents.step_of_host(world, record, text, wish)
        return [_put(fence, doubt=doubt, term=world.term), *told]
    if _was_just_asked(world, now):
        return []
    return [_put(fence, step=FenceStep.OFF, proof=now.proof, term=world.term)]


def _doubt(world: SiteWorld, record: HostRecord, fence: Fence, proof: DeathProof) -> str:
    if proof.kind is ProofKind.WATCHDOG:  # Nobody's power was touched, and the host may pulse.
        return ""
    if world.is_refuted(record, fence):
        return f"{record.name} pulses, though its power was read back off"
    intended_at = world.fenced_at.get(record.host, world.now)
    for other in world.hosts.values():
        if other is not record and _fell_silent(world, other, intended_at):
            hit = f"{other.name} fell silent while {record.name} was switched off"
            return f"{hit}: are their power controls mixed up?"
    return ""


def _fell_silent(world: SiteWorld, record: HostRecord, since: Instant) -> bool:
    """Who was proven dead before is only missed anew, by a controller that has just begun."""
    if record.state not in SILENT or record.lost_at is None or record.lost_at < since:
        return False
    was_dead = world.death_of(record) is not None
    return not (was_dead and world.fenced_at.get(record.host, world.now) <= since)


def switched_off(world: SiteWorld, outcome: came.SwitchedOff) -> None:
    now = _awaited(world, outcome.host, outcome.number)
    if now is not None:
        now.is_switching, now.failed, now.failed_at, now.tries = False, "", None, 0
        now.proof, now.proven_at, now.asked_at = outcome.proof, world.now, None


def not_switched_off(world: SiteWorld, outcome: came.NotSwitchedOff) -> list[Action]:
    now = _awaited(world, outcome.host, outcome.number)
    if now is None:
        return []
    now.is_switching, now.failed = False, outcome.reason
    now.failed_at = now.failed_at or outcome.at
    now.tries += 1
    now.again_at = after(world.now, timing.fence_again_ms(now.tries))
    record = world.hosts[outcome.host]
    text = f"could not be switched off (try {now.tries}): {outcome.reason}"
    return site_incidents.step_of_host(world, record, text, CONFIRM.format(name=record.name))


def _awaited(world: SiteWorld, host: str, number: int) -> Fencing | None:
    """None where the answer is about a fence that is over."""
    record = world.hosts.get(host)
    now = record.fencing if record is not None else None
    return now if now is not None and now.number == number else None


# It is proven: is it back?


def _close(world: SiteWorld, record: HostRecord, fence: Fence) -> list[Action]:
    """A host rejoins when it runs in a new boot, and nothing there that another one holds. So ends
    a doubt, too: whatever was switched off, the boot in doubt is over, and nothing was moved. One
    whose lease ran out may come back in the same boot: it has ended what was moved."""
    now = _of(record, fence.number)
    is_new_boot = record.boot not in ("", *boots_of(fence))
    is_back = record.state not in SILENT and (is_new_boot or is_of_lease(fence))
    if not is_back or record.told_boot != record.boot or stale_copies(world, record):
        return []
    return [] if _was_just_asked(world, now) else [_put(fence, step=FenceStep.CLOSED)]


def stale_copies(world: SiteWorld, record: HostRecord) -> list[str]:
    """Names of VMs that run there though another host holds them."""
    held = {vm: one.protection.tenure.host for vm, one in world.promises.items()}
    return [vm.name for vm in record.vms if held.get(vm.vm, record.host) != record.host]


def forget_asked(world: SiteWorld) -> None:
    """Nothing that was asked for in an earlier term, or run of this controller, is answered now."""
    for record in world.hosts.values():
        record.fencing = None
    for moved in world.moving.values():
        moved.asked_at, moved.is_asking, moved.again_at = None, False, None
        moved.source = moved.target = End.UNKNOWN
    for one in world.starting.values():
        one.asked_at, one.is_asked, one.again_at = None, False, None
