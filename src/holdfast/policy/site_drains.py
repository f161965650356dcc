"""Hosts that VMs leave while they run: in maintenance, expected to fail, or not to be mended.

A person drains a host; whoever predicts that it fails only says so, and so does a host that could
not mend itself. What follows from that is
braked as any other act: in report mode, or while anything holds Holdfast back, the VMs stay.
"""

from collections.abc import Iterator

from holdfast.facts import site as told
from holdfast.facts.actions import Action, PutMigration
from holdfast.facts.alarms import alarm_key
from holdfast.facts.fencing import HostMode
from holdfast.facts.instants import NS_PER_MS, Instant, after
from holdfast.facts.mending import HandOver
from holdfast.facts.migrations import Drain, Migration, Prediction
from holdfast.facts.site import HostVm, SiteFact
from holdfast.facts.subjects import Subject, SubjectKind
from holdfast.facts.verdicts import Certainty, Effect, FaultRaised
from holdfast.policy import brakes, site_alarms, timing
from holdfast.policy.site_migrations import TURNS, begin, is_moving, was_just_asked
from holdfast.policy.site_world import HostRecord, Moving, SiteWorld

PREDICTED = "host-failure-predicted"
PREDICTED_LIMIT_S = 300  # For each VM.


def is_something_up(world: SiteWorld) -> bool:
    return bool(world.drains or world.predictions or list(_unmended(world)))


def go_on(world: SiteWorld) -> list[Action]:
    """What runs there moves away, as many at once as may; who cannot stays, and why."""
    if any(_is_asked(world, vm, now) for vm, now in world.moving.items()):
        return []  # It counts among those that move when the store has it.
    for drain, is_wanted in _left(world):
        for vm in there(world, drain.host):
            migration = _next_away(world, drain, vm.vm, is_wanted=is_wanted)
            if migration is not None:
                return [PutMigration(migration=migration)]  # One, then it is worked out anew.
    return []


def there(world: SiteWorld, host: str) -> list[HostVm]:
    """The VMs to move away from it. What a host told last, that died since, may live elsewhere by
    now, and stays there; so does one of which it has an old copy."""
    record = world.hosts.get(host)
    held_by = {vm: promise.protection.tenure.host for vm, promise in world.promises.items()}
    return [vm for vm in (record.vms if record else ()) if held_by.get(vm.vm, host) == host]


def _left(world: SiteWorld) -> Iterator[tuple[Drain, bool]]:
    """What a person wants comes first; then what is done without being asked."""
    for drain in world.drains.values():
        yield drain, True
    for prediction in world.predictions.values():
        if prediction.host not in world.drains and not why_kept(world, prediction):
            by = f"the prediction of {prediction.by}"
            yield Drain(host=prediction.host, by=by, limit_s=PREDICTED_LIMIT_S), False
    for record in _unmended(world):
        if record.host not in world.drains and not why_unmended_kept(world, record):
            by = f"{', '.join(record.to_leave_for)}, which could not be mended there"
            yield Drain(host=record.host, by=by, limit_s=PREDICTED_LIMIT_S), False


def _unmended(world: SiteWorld) -> Iterator[HostRecord]:
    """The hosts that could not mend themselves, where VMs are to leave such."""
    if world.hand_over is HandOver.DRAIN:
        yield from (one for one in world.hosts.values() if one.to_leave_for)


def why_unmended_kept(world: SiteWorld, record: HostRecord) -> str:
    """Why VMs stay on a host that could not mend itself, or empty."""
    names = sorted(one.name for one in _unmended(world))
    return _why_kept(world, record, names, "could not mend themselves")


def why_kept(world: SiteWorld, prediction: Prediction) -> str:
    """Why VMs stay on a host that is expected to fail, or empty."""
    record = world.hosts.get(prediction.host)
    if record is None:
        return "it is not known here"
    names = sorted(one.name for one in world.predictions.values())
    return _why_kept(world, record, names, "are expected to fail")


def _why_kept(world: SiteWorld, record: HostRecord, names: list[str], are: str) -> str:
    if record.mode is not HostMode.ACT:
        return f"{record.name} is in report mode"
    if world.disarm is not None:
        return f"{world.disarm.owner} disarmed recovery: {world.disarm.reason}"
    if world.own_faults:
        return "the controller is itself in trouble: " + ", ".join(sorted(world.own_faults))
    limit = brakes.allowed(world)
    if len(names) > limit:
        said = f"{len(names)} of {len(world.hosts)} hosts {are}"
        return f"{said} ({', '.join(names)}): more than {limit}, so a person decides"
    return brakes.braked(world)


def _is_asked(world: SiteWorld, vm: str, now: Moving) -> bool:
    """Whether the store was asked to begin its move, and has not answered."""
    known = world.migrations.get(vm)
    is_open = known is not None and known.is_open
    asked_at = None if is_open else now.asked_at
    return asked_at is not None and after(asked_at, timing.PUT_AGAIN_MS) > world.now


def _next_away(world: SiteWorld, drain: Drain, vm: str, *, is_wanted: bool) -> Migration | None:
    """Not `is_wanted` by a person: only what is Holdfast's to recover."""
    now = world.moving.setdefault(vm, Moving())
    promise = world.promises.get(vm)
    if promise is not None and is_moving(world, promise):
        return None
    if not is_wanted and (promise is None or not brakes.is_ours(world, promise)):
        now.stuck = "its recovery is not Holdfast's: nobody but a person moves it"
        return None
    if now.tries_again_at is not None and now.tries_again_at > world.now:
        world.look_at(now.tries_again_at)
        return None
    world.look_at(after(world.now, timing.PLACE_AGAIN_MS))
    migration, why = begin(world, vm, "", drain.by, drain.limit_s)
    now.stuck = "" if why in TURNS else why
    return None if migration is None or was_just_asked(world, now) else migration


# What people and tools say.


def take(world: SiteWorld, fact: SiteFact) -> list[Action]:
    match fact:
        case told.DrainSet():
            world.drains[fact.drain.host] = fact.drain
        case told.DrainLifted():
            world.drains.pop(fact.host, None)
        case told.PredictionSet():
            return _predicted(world, fact)
        case told.PredictionLifted():
            return lift(world, fact.host, "it is no longer expected to fail")
        case _:
            pass
    return []


def _predicted(world: SiteWorld, fact: told.PredictionSet) -> list[Action]:
    one = fact.prediction
    world.predictions[one.host] = one
    since = Instant(max(0, world.now - fact.age_ms * NS_PER_MS))
    fault = FaultRaised(
        detector="policy",
        condition=PREDICTED,
        subject=Subject(kind=SubjectKind.HOST, id=one.host, name=one.name),
        effect=Effect.DOOMED,
        certainty=Certainty.PREDICTED,
        fault_at=since,
        detected_at=since,
        reason=f"{one.name} is expected to fail: {one.reason} (said by {one.by})",
        cause=one.reason,
    )
    key = _key(one.host)
    site_alarms.want(world, key, fault)
    return list(site_alarms.publish(world, [key]))


def lift(world: SiteWorld, host: str, over: str) -> list[Action]:
    """Nobody expects it any more, or the host is none of the site any more."""
    if world.predictions.pop(host, None) is None:
        return []
    key = _key(host)
    site_alarms.unwant(world, key, over)
    return list(site_alarms.publish(world, [key]))


def _key(host: str) -> str:
    """Of no boot: it is about the machine."""
    return alarm_key(f"{host}/machine", PREDICTED)
