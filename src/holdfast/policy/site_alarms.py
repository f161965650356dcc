"""Which alarms should be open, and what must be said so that those who are told have just these.

Anyone may open an alarm: the leader at once, others when nobody else has in a while. Only the
leader changes and clears them, and whoever opened one by itself.
"""

from collections.abc import Iterable, Iterator

import msgspec

from holdfast.facts.actions import Report
from holdfast.facts.alarms import Alarm, AlarmState, Severity, alarm_key
from holdfast.facts.catalogue import BY_ID
from holdfast.facts.catalogue_hardware import HARDWARE
from holdfast.facts.instants import after
from holdfast.facts.subjects import Subject, SubjectKind, vm_subject
from holdfast.facts.verdicts import Certainty, Effect, FaultCleared, FaultRaised
from holdfast.policy import site_deaths
from holdfast.policy.alarms import row_of
from holdfast.policy.site_world import HostRecord, Loss, SiteWorld, loss_of
from holdfast.policy.timing import SHARE_WAIT_MS

ON_LOST_HOST = site_deaths.ON_LOST_HOST
TOGETHER = "racks-lost"
# Of its parts a host's own agent tells: nobody else sees them.
OF_PARTS = frozenset(row.id for row in HARDWARE)
OF_HOSTS = frozenset(row.id for row in BY_ID.values() if row.subject is SubjectKind.HOST) - OF_PARTS
OF_REHEARSALS = "host-unfenceable"  # The leader's own to raise and clear; nothing is heard of it.
OF_GUARANTEES = "guarantee-lost"  # Likewise.
ADRIFT = "vm-adrift"
RUNS_TWICE = "vm-runs-twice"
OF_SITES = OF_HOSTS | {
    ON_LOST_HOST,
    TOGETHER,
    ADRIFT,
    RUNS_TWICE,
    "agent-away",
    site_deaths.BRAKED,
    OF_GUARANTEES,
}
OF_CONTROLLERS = frozenset({"controller-cut-off", "controller-plane-lost"})  # Its own to end.
OF_LOSS = frozenset({"host-lost", "host-frozen", "host-panicked"})


def is_own(fault: FaultRaised | FaultCleared) -> bool:
    """Whether it is about this controller itself, and not about a host."""
    return fault.subject.kind is SubjectKind.HOLDFAST and not fault.boot


def own_key(world: SiteWorld, condition: str) -> str:
    return alarm_key(f"{world.controller}/controller", condition)


def key_of(fault: FaultRaised) -> str:
    return alarm_key(f"{fault.subject.id}/{fault.boot}", fault.condition)


def want_host(world: SiteWorld, record: HostRecord, over: str) -> list[str]:
    """Work out anew which alarms of a host should be open; `over` is why others should not.

    Returns the keys that may have changed, causes before what they cause.
    """
    before = record.keys
    for key in before:
        if world.wanted.pop(key, None) is not None:
            world.over[key] = over
    for alarm in _alarms_of(world, record):
        world.wanted[alarm.key] = alarm
        world.over.pop(alarm.key, None)
    now = [alarm.key for alarm in _alarms_of(world, record)]
    record.keys = tuple(now)
    is_kept = set(now)
    return [*now, *(key for key in before if key not in is_kept)]


def _alarms_of(world: SiteWorld, record: HostRecord) -> list[Alarm]:
    loss = loss_of(record)
    root = key_of(loss) if loss else ""
    found = []
    if loss is not None:
        loss_now = site_deaths.as_known(world, record, loss)
        found.append(_alarm(world, key_of(loss), loss_now, record.incident, record.together))
    found += [
        _alarm(world, key_of(fault), fault, record.incident, root)
        for fault in site_deaths.faults_of(world, record)
    ]
    below = root  # Of what was wrong before the loss; what is found since explains it.
    for fault in record.faults.values():
        if fault is loss:
            below = ""
        else:
            found.append(_alarm(world, key_of(fault), fault, record.incident, below))
    found += _vms_of(world, record, loss) if loss is not None else _still_down(world, record)
    return found


def _still_down(world: SiteWorld, record: HostRecord) -> list[Alarm]:
    """They stand by themselves, under the keys that they had below the loss of their host."""
    at = world.fenced_at.get(record.host, world.now)
    found = []
    for vm, proof in site_deaths.still_down(world, record):
        fault = FaultRaised(
            detector="policy",
            condition=ON_LOST_HOST,
            subject=vm_subject(vm.vm, vm.name),
            effect=Effect.GONE,
            certainty=Certainty.CERTAIN,
            fault_at=at,
            detected_at=at,
            reason=vm.text,
            boot=proof.boot,
            cause=f"{record.name} died",
            evidence={"host": record.name},
        )
        found.append(_alarm(world, key_of(fault), fault, "", ""))
    return found


def _vms_of(world: SiteWorld, record: HostRecord, loss: FaultRaised) -> list[Alarm]:
    found = []
    certainty = site_deaths.as_known(world, record, loss).certainty
    for vm in site_deaths.vms_of(world, record, loss):
        fault = msgspec.structs.replace(
            loss,
            condition=ON_LOST_HOST,
            subject=vm_subject(vm.vm, vm.name),
            certainty=certainty,
            reason=vm.text,
            evidence={"host": record.name},
        )
        found.append(_alarm(world, key_of(fault), fault, record.incident, key_of(loss)))
    return found


def want_loss(world: SiteWorld, loss: Loss, incident: str) -> str:
    """The one alarm on hosts that were lost together."""
    names = ", ".join(world.hosts[host].name for host in loss.hosts)
    fault = FaultRaised(
        detector="policy",
        condition=TOGETHER,
        subject=Subject(kind=SubjectKind.POOL, id=loss.shared, name=loss.name),
        effect=Effect.GONE,
        certainty=Certainty.SUSPECTED,
        fault_at=loss.fault_at,
        detected_at=loss.detected_at,
        reason=f"{len(loss.hosts)} hosts of {loss.name} fell silent together: {names}",
        cause=f"something that the hosts of {loss.name} share",
    )
    world.wanted[loss.key] = _alarm(world, loss.key, fault, incident, "")
    return loss.key


def want_own(world: SiteWorld, fault: FaultRaised) -> str:
    key = own_key(world, fault.condition)
    want(world, key, fault)
    return key


def want(world: SiteWorld, key: str, fault: FaultRaised) -> None:
    """One that belongs to no incident."""
    world.wanted[key] = _alarm(world, key, fault, "", "")


def unwant(world: SiteWorld, key: str, over: str) -> None:
    if world.wanted.pop(key, None) is not None:
        world.over[key] = over


def _alarm(world: SiteWorld, key: str, fault: FaultRaised, incident: str, root: str) -> Alarm:
    row = row_of(fault.condition, fault.subject)
    is_sure = fault.certainty is Certainty.CERTAIN
    is_milder = row.severity is Severity.CRITICAL and not is_sure
    return Alarm(
        key=key,
        condition=fault.condition,
        revision=0,
        state=AlarmState.RAISED,
        subject=fault.subject,
        host=world.controller,
        boot=world.boot,
        certainty=fault.certainty,
        severity=Severity.MAJOR if is_milder else row.severity,
        text=fault.reason,
        fault_at=fault.fault_at,
        detected_at=fault.detected_at,
        cause=fault.cause,
        root=root,
        incident=incident,
        not_before=fault.not_before,
        repair=row.repair,
        details=fault.evidence,
    )


def publish(world: SiteWorld, keys: Iterable[str], *, settled_by: str = "") -> list[Report]:
    """What is to be said of these alarms now."""
    said = (alarm for key in dict.fromkeys(keys) for alarm in _with_root(world, key, settled_by))
    return [Report(alarm=alarm) for alarm in said]


def _with_root(world: SiteWorld, key: str, settled_by: str) -> Iterator[Alarm]:
    """What is said now is said below its root, also if that could have waited longer."""
    alarm = _say(world, key, settled_by)
    if alarm is None:
        return
    root = alarm.root if alarm.state is not AlarmState.CLEARED else ""
    if root in world.wanted and not world.is_open(root):
        world.held[root] = world.now
        yield from _with_root(world, root, settled_by)
    yield alarm


def _say(world: SiteWorld, key: str, settled_by: str) -> Alarm | None:
    want, known = world.wanted.get(key), world.reported.get(key)
    is_open = world.is_open(key)
    if want is None:
        world.held.pop(key, None)
        world.said.pop(key, None)
        return _close(world, known, settled_by) if known is not None and is_open else None
    is_news = world.said.get(key) != want
    if is_open:
        may_change = known is not None and _may_change(world, known)
        return _put(world, want, AlarmState.CHANGED) if is_news and may_change else None
    if not key.startswith(own_key(world, "")):
        if not world.term and not is_news:
            world.held.pop(key, None)
            return None  # Whoever leads has cleared it: that is not ours to doubt.
        if not world.term:
            world.held.setdefault(key, after(world.now, SHARE_WAIT_MS))
        if world.held.get(key, world.now) > world.now:
            return None
    return _put(world, want, AlarmState.RAISED)


def _put(world: SiteWorld, want: Alarm, state: AlarmState) -> Alarm:
    known = world.reported.get(want.key)
    alarm = msgspec.structs.replace(
        want,
        revision=known.revision + 1 if known else 1,
        state=state,
        details=_signed(world, want.details),
    )
    world.held.pop(want.key, None)
    world.said[want.key] = want
    world.reported[want.key] = alarm
    return alarm


def _close(world: SiteWorld, known: Alarm, settled_by: str) -> Alarm | None:
    if not _may_change(world, known):
        return None
    reason = world.over.pop(known.key, "nothing of it is found any more")
    details = {"settled_by": settled_by} if settled_by else {}
    alarm = msgspec.structs.replace(
        known,
        revision=known.revision + 1,
        state=AlarmState.CLEARED,
        severity=Severity.CLEARED,
        host=world.controller,
        boot=world.boot,
        text=reason,
        repair="",
        details=_signed(world, details),
    )
    world.reported[known.key] = alarm
    return alarm


def _may_change(world: SiteWorld, known: Alarm) -> bool:
    return bool(world.term) or known.host == world.controller


def _signed(world: SiteWorld, details: dict[str, str]) -> dict[str, str]:
    """With the term of a leader: what it said is the next leader's to change."""
    return {**details, "term": str(world.term)} if world.term else details


def end_older_boots(world: SiteWorld, record: HostRecord) -> list[Report]:
    """Whoever said what of an earlier boot of a host: that boot is over."""
    mine, now = f"{record.host}/", f"{record.host}/{record.boot}:"
    over = [k for k in world.reported if k.startswith(mine) and not k.startswith(now)]
    below = [k for k, alarm in world.reported.items() if alarm.root in over and alarm.root]
    left = [k for k in (*over, *below) if k not in world.wanted and world.is_open(k)]
    for key in left:
        world.over[key] = f"{record.name} pulses in a new boot"
    return publish(world, left)


def adopt(world: SiteWorld, alarm: Alarm) -> list[str]:
    """Another controller said it, or this one before its memory was lost: it is not said twice.
    Returns what may be ours to say now."""
    known = world.reported.get(alarm.key)
    is_own = alarm.host == world.controller and alarm.condition in OF_CONTROLLERS
    is_heard = alarm.condition in OF_SITES and alarm.condition not in (OF_REHEARSALS, OF_GUARANTEES)
    if not is_heard and not is_own:
        return []
    if known and known.revision >= alarm.revision:
        return []
    world.reported[alarm.key] = alarm
    world.held.pop(alarm.key, None)
    want = world.wanted.get(alarm.key)
    if want is not None:
        world.said[alarm.key] = want
        if alarm.state is AlarmState.CLEARED:  # It may be a moment ahead of us.
            world.held[alarm.key] = after(world.now, SHARE_WAIT_MS)
    return [alarm.key]
