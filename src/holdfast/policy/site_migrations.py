"""VMs that move to another host while they run: each begun once, and ended by what both ends have.

As site_fencing.py: after every fact it is worked out anew what must happen next. No time-out ends
a migration; who does not answer is asked again, or proven dead.
"""

from collections import Counter

import msgspec

from holdfast.facts import outcomes as came
from holdfast.facts import site as told
from holdfast.facts.actions import Action, LookAtEnds, Migrate, PutMigration, TellEnds
from holdfast.facts.instants import after
from holdfast.facts.migrations import End, Migration, MigrationStep
from holdfast.facts.tenure import DeathProof, TenureState, Wanted
from holdfast.policy import placement, proofs, runs_twice, tenures, timing
from holdfast.policy.host_states import SILENT
from holdfast.policy.site_world import HostRecord, Moving, Promise, SiteWorld

MOVES_AT_ONCE = 4  # In the site; of one host one, and to one host one.
FOUND_LIMIT_S = 0
CANNOT = "its agent cannot move VMs: it is of an older version, or without certificates"
FULL = f"{MOVES_AT_ONCE} VMs move at this moment: no more move at once"
BUSY = "another VM moves from or to its host at this moment"
TURN = "all hosts that could take it are busy with another move"
TURNS = (FULL, BUSY, TURN)


def is_something_up(world: SiteWorld) -> bool:
    return any(is_moving(world, one) for one in world.promises.values())


def is_moving(world: SiteWorld, promise: Promise) -> bool:
    """Or it may be on its way, whoever moves it."""
    migration = world.migrations.get(promise.protection.vm)
    is_open = migration is not None and migration.is_open
    return is_open or promise.protection.tenure.state is TenureState.MIGRATING


def go_on(world: SiteWorld) -> list[Action]:
    """What is to be done now about VMs that move."""
    actions: list[Action] = []
    for vm, promise in world.promises.items():
        if not is_moving(world, promise):
            continue
        migration = world.migrations.get(vm)
        if migration is not None and migration.is_open:
            actions += _follow(world, migration, _of(world, migration))
        else:
            actions += _found(world, promise)
    return actions


def _of(world: SiteWorld, migration: Migration) -> Moving:
    """What is known here of this migration of the VM; of an earlier one nothing counts."""
    now = world.moving.setdefault(migration.vm, Moving())
    if now.number != migration.number:
        now = world.moving[migration.vm] = Moving(number=migration.number)
    return now


def was_just_asked(world: SiteWorld, now: Moving) -> bool:
    """Whether the store has not answered yet."""
    if now.asked_at is not None:
        again = after(now.asked_at, timing.PUT_AGAIN_MS)
        if again > world.now:
            world.look_at(again)
            return True
    now.asked_at = world.now
    world.look_at(after(world.now, timing.PUT_AGAIN_MS))
    return False


# One that is under way.


def _follow(world: SiteWorld, migration: Migration, now: Moving) -> list[Action]:
    if tenures.waits_for_both_ends(world.promises[migration.vm].protection.tenure):
        return []  # It may have moved on since the backup: its ends must greet first.
    if migration.term != world.term:  # An earlier leader began it, and may have told the ends.
        now.is_told = True
        return [] if was_just_asked(world, now) else [_put(migration, term=world.term)]
    if not (now.is_told or migration.is_found):
        now.is_told = now.is_asking = True
        return [Migrate(migration=migration)]
    dead = _dead(world, migration)
    source = End.DEAD if migration.source in dead else now.source
    target = End.DEAD if migration.target in dead else now.target
    step = proofs.outcome(source, target)
    is_certain = step is not MigrationStep.IN_DOUBT or now.both_ran >= timing.RUNS_TWICE_LOOKS
    if step is not None and step is not migration.step and is_certain:
        return _end(world, migration, now, step, dead)
    if now.is_asking:
        return []
    if now.again_at is not None and now.again_at > world.now:
        world.look_at(now.again_at)
        return []
    now.is_asking = True
    return [LookAtEnds(migration=migration, dead=tuple(dead))]


def _dead(world: SiteWorld, migration: Migration) -> dict[str, DeathProof]:
    """The ends that are proven dead, in the boots that took part."""
    promise = world.promises[migration.vm]
    found = {}
    ends = (
        (migration.source, promise.protection.tenure.boot),
        (migration.target, migration.target_boot),
    )
    for host, boot in ends:
        record, proof = world.hosts.get(host), proofs.proof_of(world.fences.get(host))
        is_denied = record is not None and world.is_contradicted(record)
        if proof is not None and proofs.is_dead(proof, host, boot) and not is_denied:
            found[host] = proof
    return found


def _end(
    world: SiteWorld,
    migration: Migration,
    now: Moving,
    step: MigrationStep,
    dead: dict[str, DeathProof],
) -> list[Action]:
    if was_just_asked(world, now):
        return []
    source = End.DEAD if migration.source in dead else now.source
    target = End.DEAD if migration.target in dead else now.target
    third = _runner_elsewhere(world, migration) if step is MigrationStep.UNDONE else ""
    return [
        _put(
            migration,
            step=step,
            source_end=source,
            target_end=target,
            proofs=tuple(dead.values()),
            elsewhere=third if source in proofs.GONE else "",
            reason=_reason(world, migration, now, (source, target), step),
            pause_ms=now.pause_ms if step is MigrationStep.DONE else None,
        )
    ]


def _runner_elsewhere(world: SiteWorld, migration: Migration) -> str:
    """A third host that says that it runs there: somebody moved it on by hand meanwhile."""
    found = (
        record.host
        for record in world.hosts.values()
        if record.host not in (migration.source, migration.target)
        and record.pulses
        and record.told_boot == record.boot
        and any(one.vm == migration.vm for one in record.vms)
    )
    return next(found, "")


def _reason(
    world: SiteWorld,
    migration: Migration,
    now: Moving,
    ends: tuple[End, End],
    step: MigrationStep,
) -> str:
    names = {one: world.record(one).name for one in (migration.source, migration.target)}
    said = {
        End.RUNS: "has it",
        End.NOTHING: "has nothing of it",
        End.DEAD: "is proven dead",
    }
    both = "; ".join(
        f"{names[host]} {said.get(end, 'does not say')}"
        for host, end in zip((migration.source, migration.target), ends, strict=True)
    )
    late = " too late" if step is MigrationStep.DONE else ""
    why = f"{migration.by} cancelled it{late}" if migration.is_cancelled else now.refusal
    return f"{why}; {both}" if why else both


def _put(migration: Migration, **changes: object) -> PutMigration:
    return PutMigration(migration=msgspec.structs.replace(migration, **changes))


def _found(world: SiteWorld, promise: Promise) -> list[Action]:
    """Somebody else moved it (virsh): its host has said so. Where it runs now, both ends say."""
    tenure, vm = promise.protection.tenure, promise.protection.vm
    known = world.migrations.get(vm)
    mine = (tenure.generation, tenure.revision)
    if known is not None and (known.generation, known.revision) >= mine:
        return []  # It is over: the store tells of the tenure in a moment.
    for record in world.hosts.values():
        is_told = record.told_boot == record.boot and record.state not in SILENT
        if record.host == tenure.host or not is_told or not record.can_move:
            continue
        if any(one.vm == vm for one in record.vms):
            return _begin_found(world, promise, record)
    return []


def _begin_found(world: SiteWorld, promise: Promise, target: HostRecord) -> list[Action]:
    now = world.moving.setdefault(promise.protection.vm, Moving())
    if was_just_asked(world, now):
        return []
    migration = _migration(world, promise, target, by="somebody else", limit_s=FOUND_LIMIT_S)
    return [_put(migration, is_found=True)]


# Shall one begin?


def begin(
    world: SiteWorld, vm: str, wish: str, by: str, limit_s: int
) -> tuple[Migration | None, str]:
    """The migration to commit, to the host of the wish or to the best one; or why there is none."""
    promise = world.promises.get(vm)
    if promise is None:
        return None, "it is not protected: nobody keeps who may run it while it moves"
    reason = why_not(world, promise)
    if reason or promise.needs is None:
        return None, reason
    if sum(one.is_open for one in world.migrations.values()) >= MOVES_AT_ONCE:
        return None, FULL
    source = promise.protection.tenure.host
    moving = _busy(world)
    if moving[source]:
        return None, BUSY
    target, reason = _target(world, promise, wish, moving)
    if not target:
        return None, reason or TURN
    return _migration(world, promise, world.hosts[target], by=by, limit_s=limit_s), ""


def _busy(world: SiteWorld) -> Counter[str]:
    """How many VMs move from or to each host."""
    moving: Counter[str] = Counter()
    for one in world.migrations.values():
        if one.is_open:
            moving.update((one.source, one.target))
    return moving


def _target(world: SiteWorld, promise: Promise, wish: str, moving: Counter[str]) -> tuple[str, str]:
    rooms = placement.Rooms(world)
    source = world.hosts[promise.protection.tenure.host]
    refused = {record.host: CANNOT for record in world.hosts.values() if not record.can_move}
    refused[source.host] = "it runs there"
    if not wish:
        return placement.choose(
            world, rooms, promise, refused=refused, busy=list(moving), leaves=source
        )
    record = world.hosts.get(wish)
    if record is None:
        return "", "there is no such host"
    reason = refused.get(wish) or placement.refusal(world, rooms, record, promise, source)
    if reason:
        return "", f"not to {record.name}: {reason}"
    if moving[wish]:
        return "", f"another VM moves from or to {record.name} at this moment"
    return wish, ""


def why_not(world: SiteWorld, promise: Promise) -> str:
    """The first reason why this VM cannot move anywhere now, or empty."""
    protection = promise.protection
    tenure, recovery = protection.tenure, world.recovery_of(promise)
    record = world.hosts.get(tenure.host)
    if record is None or record.state in SILENT or record.told_boot != record.boot:
        return "its host does not answer"
    if is_moving(world, promise):
        return "it moves already"
    if tenure.wanted is not Wanted.RUNNING or not any(vm.vm == protection.vm for vm in record.vms):
        return "it does not run: only what runs can be moved"
    if tenure.state is not TenureState.HELD or tenure.boot != record.boot:
        return "it is being recovered, or waits to be granted to its host again"
    if recovery is not None and recovery.step != "answered":
        return "it is being recovered"
    if promise.needs is None:
        return "its definition is not known: it was protected by an older version"
    if promise.needs.obstacle:
        return promise.needs.obstacle
    if not record.can_move:
        return f"{record.name}: {CANNOT}"
    return ""


def _migration(
    world: SiteWorld, promise: Promise, target: HostRecord, *, by: str, limit_s: int
) -> Migration:
    protection = promise.protection
    tenure, known = protection.tenure, world.migrations.get(protection.vm)
    return Migration(
        vm=protection.vm,
        name=protection.name,
        number=known.number + 1 if known is not None else 1,
        generation=tenure.generation,
        revision=tenure.revision + (tenure.state is not TenureState.MIGRATING),
        source=tenure.host,
        source_boot=tenure.boot,
        target=target.host,
        target_boot=target.boot,
        term=world.term,
        step=MigrationStep.BEGUN,
        limit_s=limit_s,
        by=by,
    )


# What came of it.


def migration_set(world: SiteWorld, fact: told.MigrationSet) -> list[Action]:
    migration = fact.migration
    before = world.migrations.get(migration.vm)
    world.migrations[migration.vm] = migration
    now = _of(world, migration)
    now.asked_at, now.stuck = None, ""
    said = runs_twice.judge(world, migration)
    if migration.is_open or before is None or before.step is migration.step:
        return said
    if migration.step is MigrationStep.UNDONE:
        now.stuck = f"it did not move: {migration.reason}"
        now.tries_again_at = after(world.now, timing.MOVE_AGAIN_MS)
    is_ours = world.term == migration.term
    return [*said, TellEnds(migration=migration)] if is_ours and world.term else said


def move_begun(world: SiteWorld, outcome: came.MoveBegun) -> None:
    now = _awaited(world, outcome.vm, outcome.number)
    if now is not None:
        now.is_asking, now.refusal = False, outcome.refusal


def ends_looked(world: SiteWorld, outcome: came.EndsLooked) -> None:
    now = _awaited(world, outcome.vm, outcome.number)
    if now is None:
        return
    now.is_asking = False
    now.source, now.target = outcome.source, outcome.target
    runs_twice = outcome.source is outcome.target is End.RUNS
    now.both_ran = now.both_ran + 1 if runs_twice else 0
    now.refusal = outcome.reason or now.refusal
    now.pause_ms = outcome.pause_ms
    now.again_at = after(world.now, timing.MOVE_LOOK_MS)


def _awaited(world: SiteWorld, vm: str, number: int) -> Moving | None:
    now = world.moving.get(vm)
    return now if now is not None and now.number == number else None
