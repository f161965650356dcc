"""Inputs of policy for tests: facts about two VMs, in words; and random sequences of them."""

import random

from msgspec import structs

from holdfast.facts import commands as told
from holdfast.facts import outcomes as came
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.promises import Answer, Disarm, Group, Owner, Protection
from holdfast.facts.subjects import Incarnation, Subject, SubjectKind, vm_subject
from holdfast.facts.tenure import LocalProof, Tenure, TenureState, Wanted
from holdfast.facts.verdicts import (
    Certainty,
    Effect,
    FaultCleared,
    FaultRaised,
    StopWanted,
    VmProcessEnded,
    VmRan,
)
from holdfast.policy.decide import Input
from holdfast.policy.world import World

HOST, BOOT = "host-1", "boot-1"
GOLD = Group(name="gold", level=1, restarts=3, restarts_window_s=600)


def at(ms: float) -> Instant:
    return Instant(int(ms * NS_PER_MS))


def life(number: int, vm: str = "web", boot: str = BOOT) -> Incarnation:
    return Incarnation(vm=f"uuid-{vm}", boot=boot, pid=100 + number, started_ticks=number)


def booted(ms: float = 0, boot: str = BOOT, *, is_amnesiac: bool = False) -> told.Booted:
    return told.Booted(
        at=at(ms),
        host=HOST,
        host_name="alpha",
        boot=boot,
        state_id="s",
        is_amnesiac=is_amnesiac,
    )


def ran(ms: float, which: Incarnation, *, found: bool = False) -> VmRan:
    return VmRan(life=which, name=which.vm.removeprefix("uuid-"), at=at(ms), found=found)


def ended(ms: float, which: Incarnation) -> VmProcessEnded:
    return VmProcessEnded(life=which, at=at(ms))


def failed(
    ms: float,
    which: Incarnation,
    condition: str = "vm-gone",
    effect: Effect = Effect.GONE,
    certainty: Certainty = Certainty.CERTAIN,
) -> FaultRaised:
    name = which.vm.removeprefix("uuid-")
    return FaultRaised(
        detector="test",
        condition=condition,
        subject=vm_subject(which.vm, name),
        effect=effect,
        certainty=certainty,
        fault_at=at(ms),
        detected_at=at(ms),
        reason=f"{name}: {condition}",
        life=which,
        cause="killed by SIGKILL",
    )


def captured(ms: float, incident: str, bundle: str, cause: str) -> came.LastWordsCaptured:
    return came.LastWordsCaptured(incident=incident, at=at(ms), bundle=bundle, cause=cause)


def stuck(ms: float, which: Incarnation) -> FaultRaised:
    return failed(ms, which, "vm-stuck", Effect.STUCK)


def puzzling(ms: float, which: Incarnation) -> FaultRaised:
    return failed(ms, which, "vm-stopped-unexplained", Effect.GONE, Certainty.SUSPECTED)


def cleared(
    ms: float, which: Incarnation, condition: str, *, was_wrong: bool = False
) -> FaultCleared:
    return FaultCleared(
        detector="test",
        condition=condition,
        subject=vm_subject(which.vm, which.vm.removeprefix("uuid-")),
        at=at(ms),
        reason="it is over",
        life=which,
        was_wrong=was_wrong,
    )


def disk_failed(ms: float, which: Incarnation, disk: str = "vda") -> FaultRaised:
    return FaultRaised(
        detector="test",
        condition="vm-io-error",
        subject=Subject(kind=SubjectKind.DISK, id=f"{which.vm}:{disk}", name=f"web {disk}"),
        effect=Effect.STUCK,
        certainty=Certainty.CERTAIN,
        fault_at=at(ms),
        detected_at=at(ms),
        reason=f"disk {disk} returned an error",
        life=which,
    )


def stopped(ms: float, which: Incarnation, *, moved_away: bool = False) -> StopWanted:
    reason = "an operator destroyed it"
    return StopWanted(life=which, at=at(ms), how="destroyed", reason=reason, moved_away=moved_away)


def granted(
    ms: float,
    vm: str = "web",
    group: str = "gold",
    boot: str = BOOT,
    generation: int = 1,
    wanted: Wanted = Wanted.RUNNING,
    answer: Answer = Answer(),  # noqa: B008  It is frozen.
) -> told.ProtectionGranted:
    tenure = Tenure(
        vm=f"uuid-{vm}",
        generation=generation,
        host=HOST,
        boot=boot,
        state=TenureState.HELD,
        wanted=wanted,
    )
    protection = Protection(vm=f"uuid-{vm}", name=vm, group=group, answer=answer, tenure=tenure)
    return told.ProtectionGranted(at=at(ms), protection=protection, by="ann")


def ordered(
    ms: float,
    vm: str = "web",
    generation: int = 2,
    *,
    boot: str = BOOT,
    host: str = HOST,
    group: str = "gold",
    age_ms: float = 500,
    tries: int = 0,
) -> told.StartOrdered:
    kept = granted(ms, vm, group, boot, generation).protection
    tenure = structs.replace(kept.tenure, host=host)
    return told.StartOrdered(
        at=at(ms),
        protection=structs.replace(kept, tenure=tenure),
        was="h4",
        fault_at=at(ms - age_ms),
        incident="h4-1a2b",
        tries=tries,
    )


def outranked(
    ms: float, vm: str = "web", generation: int = 2, holder: str = "h2"
) -> told.CopyOutranked:
    return told.CopyOutranked(at=at(ms), vm=f"uuid-{vm}", generation=generation, holder=holder)


def start_refused(ms: float, vm: str = "web", generation: int = 2) -> told.StartRefused:
    reason = "there is no bridge br0 on this host"
    return told.StartRefused(
        at=at(ms), vm=f"uuid-{vm}", name=vm, generation=generation, reason=reason
    )


def group_set(ms: float, group: Group = GOLD) -> told.GroupSet:
    return told.GroupSet(at=at(ms), group=group)


def disarmed(ms: float, for_ms: float = 3_600_000) -> told.Disarmed:
    disarm = Disarm(owner="ann", reason="storage upgrade", since_utc_ms=0, until_utc_ms=1)
    return told.Disarmed(at=at(ms), disarm=disarm, until=at(ms + for_ms))


def proven(ms: float, incident: str, which: Incarnation, wanted: str = "") -> came.GoneProven:
    proof = LocalProof(
        vm=which.vm, boot=BOOT, incarnation=which.key, shown=("no process",), at=at(ms)
    )
    return came.GoneProven(incident=incident, at=at(ms), proof=proof, wanted=wanted)


def started(ms: float, incident: str, which: Incarnation) -> came.VmStarted:
    return came.VmStarted(incident=incident, at=at(ms), life=which)


def answered(ms: float, incident: str, which: Incarnation) -> came.VmAnswered:
    how = "its guest agent answers"
    return came.VmAnswered(incident=incident, at=at(ms), life=which, how=how, verified=True)


def overdue(ms: float, incident: str, which: Incarnation) -> came.AnswerOverdue:
    reason = "it did not answer (agent) within 300 s"
    return came.AnswerOverdue(incident=incident, at=at(ms), life=which, reason=reason)


def found_gone(world: World, ms: float) -> list[FaultRaised]:
    """What an agent finds first in a new boot: nothing of the earlier one runs."""
    lives = [one.life for one in world.vms.values() if one.life is not None and not one.is_gone]
    return [failed(ms, which) for which in lives if which.boot != world.boot]


def random_input(rng: random.Random, world: World, ms: float) -> Input:
    """Any input in any state: mostly about what is under way, sometimes about what is over."""
    vm = rng.choice(("web", "db"))
    number = rng.randint(1, 3)
    record = world.vms.get(f"uuid-{vm}")
    newest = record.life if record and record.life else life(number, vm, world.boot or BOOT)
    boot = world.boot or BOOT
    roll = rng.random()
    if roll < 0.5:
        which = newest
    elif roll < 0.8:
        which = Incarnation(
            vm=newest.vm, boot=boot, pid=newest.pid + 1, started_ticks=newest.started_ticks + 1
        )
    else:
        when = rng.choice((BOOT, boot))
        is_over = when != boot  # Of a boot that is over nobody hears of a life that it had not.
        which = life(min(number, newest.started_ticks) if is_over else number, vm, when)
    names = [incident for incident in world.incidents if incident.startswith(vm)] or ["web-0000"]
    incident = record.incident if record and record.incident and rng.random() < 0.8 else ""
    known = record.outranked if record else 0
    return _any(rng, ms, vm, which, incident or rng.choice(names), boot, known)


def _any(
    rng: random.Random,
    ms: float,
    vm: str,
    which: Incarnation,
    incident: str,
    boot: str,
    known: int,
) -> Input:
    kind = rng.choices(("verdict", "outcome", "order", "wake"), (45, 35, 14, 6))[0]
    if kind == "verdict":
        return _verdict(rng, ms, which)
    if kind == "outcome":
        return _outcome(rng, ms, which, incident, boot)
    if kind == "order":
        return _order(rng, ms, vm, incident, boot, known)
    if rng.random() < 0.6:
        return told.Woke(at=at(ms))
    if rng.random() < 0.5:
        return told.Restarted(at=at(ms))
    later = int(boot.removeprefix("boot-")) + rng.randint(1, 4)  # None comes twice.
    new = rng.choice((boot, boot, f"boot-{later}"))
    return booted(ms if new == boot else 5, new, is_amnesiac=rng.random() < 0.2)


def _verdict(rng: random.Random, ms: float, which: Incarnation) -> Input:
    faults = (
        ("vm-gone", Effect.GONE, Certainty.CERTAIN),
        ("vm-ended-outside", Effect.GONE, Certainty.CERTAIN),
        ("vm-stopped-unexplained", Effect.GONE, Certainty.SUSPECTED),
        ("vm-stuck", Effect.STUCK, Certainty.CERTAIN),
        ("vm-panicked", Effect.STUCK, Certainty.CERTAIN),
        ("vm-crash-dumping", Effect.DEGRADED, Certainty.CERTAIN),
        ("vm-odd", Effect.GONE, Certainty.CERTAIN),
    )
    condition, effect, certainty = rng.choice(faults)
    choices = (
        ran(ms, which, found=rng.random() < 0.3),
        failed(ms, which, condition, effect, certainty),
        failed(ms, which),
        ended(ms, which),
        ended(ms, which),
        stopped(ms, which, moved_away=rng.random() < 0.3),
        cleared(ms, which, condition, was_wrong=rng.random() < 0.4),
        disk_failed(ms, which),
    )
    return rng.choices(choices, (4, 4, 4, 4, 3, 1, 2, 1))[0]


def _outcome(rng: random.Random, ms: float, which: Incarnation, incident: str, boot: str) -> Input:
    proof = LocalProof(
        vm=which.vm,
        boot=rng.choice((boot, boot, boot, "boot-0")),
        incarnation=which.key,
        shown=("no process",),
        at=at(ms),
    )
    then: dict[str, object] = {"incident": incident, "at": at(ms)}
    reason = "libvirt says no"
    word = rng.choice(("", "", "", "libvirt says destroyed"))
    choices = (
        came.GoneProven(incident=incident, at=at(ms), proof=proof, wanted=word),
        came.GoneNotProven(incident=incident, at=at(ms), reason=reason),
        came.VmEnded(incident=incident, at=at(ms), life=which),
        came.VmNotEnded(incident=incident, at=at(ms), reason=reason),
        started(ms, incident, which),
        came.StartFailed(incident=incident, at=at(ms), reason=reason, is_final=rng.random() < 0.2),
        answered(ms, incident, which),
        overdue(ms, incident, which),
        came.LastWordsCaptured(incident=incident, at=at(ms), bundle="bundle"),
        came.LastWordsFailed(incident=incident, at=at(ms), reason=reason),
        came.StartUnknown(incident=incident, at=at(ms), reason=reason),
    )
    assert then
    return rng.choices(choices, (8, 2, 2, 1, 3, 3, 3, 1, 2, 1, 2))[0]


def _generation(rng: random.Random, known: int) -> int:
    """Mostly one that nobody has outranked."""
    return max(1, known + rng.choice((0, 1, 1, 1, 2)))


def _order(rng: random.Random, ms: float, vm: str, incident: str, boot: str, known: int) -> Input:
    owner = rng.choice((Owner.HOLDFAST, Owner.HOLDFAST, Owner.EXTERNAL, Owner.NOBODY))
    group = Group(name="gold", owner=owner, restarts=rng.randint(0, 3), restarts_window_s=60)
    wanted = rng.choice((Wanted.RUNNING, Wanted.RUNNING, Wanted.STOPPED))
    mostly = rng.choice((boot, boot, boot, "boot-0"))
    choices = (
        granted(ms, vm, "gold", boot, _generation(rng, known), wanted),
        granted(ms, vm, "gold", rng.choice((boot, "boot-0")), 1, wanted),
        told.ProtectionEnded(at=at(ms), vm=f"uuid-{vm}", by="ann"),
        group_set(ms, group),
        told.GroupForgotten(at=at(ms), name="gold"),
        disarmed(ms, rng.choice((10, 1_000, 100_000))),
        told.Armed(at=at(ms), by="ann"),
        told.RecoveryAsked(at=at(ms), vm=f"uuid-{vm}", by="ann"),
        told.IncidentSettled(at=at(ms), incident=incident, by="ann"),
        ordered(ms, vm, max(1, known + rng.randint(0, 3)), boot=mostly),
        outranked(ms, vm, known + rng.randint(0, 2), rng.choice(("h2", ""))),
        start_refused(ms, vm, known + 1),
    )
    return rng.choices(choices, (8, 1, 1, 3, 1, 2, 3, 3, 1, 3, 1, 0.3))[0]


def moves(
    ms: float, vm: str = "web", *, generation: int = 1, revision: int = 1, is_source: bool = True
) -> told.MigrationBegan:
    return told.MigrationBegan(
        at=at(ms),
        vm=f"uuid-{vm}",
        name=vm,
        generation=generation,
        revision=revision,
        is_source=is_source,
    )


def move_seen(ms: float, vm: str = "web", *, is_under_way: bool = True) -> told.MoveSeen:
    return told.MoveSeen(at=at(ms), vm=f"uuid-{vm}", is_under_way=is_under_way)


def moved(
    ms: float,
    vm: str = "web",
    *,
    generation: int = 1,
    revision: int = 2,
    is_held: bool = True,
    is_lost: bool = False,
) -> told.MigrationEnded:
    return told.MigrationEnded(
        at=at(ms),
        vm=f"uuid-{vm}",
        generation=generation,
        revision=revision,
        is_held=is_held,
        is_lost=is_lost,
        reason="h1 has nothing of it; h2 has nothing of it",
    )
