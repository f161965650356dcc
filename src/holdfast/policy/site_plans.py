"""A host that stops on purpose is waited for: its silence suspects nobody until it is overdue."""

import msgspec

from holdfast.facts.instants import Instant, after, spoken
from holdfast.facts.verdicts import Effect, FaultRaised
from holdfast.policy import timing
from holdfast.policy.host_states import HostState
from holdfast.policy.site_world import HostRecord, SiteWorld


def begin(world: SiteWorld, record: HostRecord) -> None:
    """It said that it stops: from now on it has its time."""
    if record.back_by is None:
        record.back_by = after(world.now, timing.HOST_BACK_LIMIT_MS)


def begin_anew(world: SiteWorld, record: HostRecord) -> None:
    """Instants of before mean nothing: it has its time from now on, and is found silent anew."""
    record.awaited = None
    if record.back_by is not None:
        record.back_by = after(world.now, timing.HOST_BACK_LIMIT_MS)


def look(record: HostRecord) -> None:
    """After each change of its state: whoever does not stop any more is not awaited."""
    if record.state is not HostState.STOPPING:
        record.awaited = record.back_by = None


def keeps(world: SiteWorld, record: HostRecord, loss: FaultRaised) -> bool:
    """Whether this silence is as planned; it is remembered until the host is back, or overdue."""
    begin(world, record)
    is_overdue = record.back_by is not None and record.back_by <= world.now
    record.awaited = None if is_overdue else loss
    return not is_overdue


def boots(world: SiteWorld, record: HostRecord, fault: FaultRaised) -> bool:
    """It was proven dead, and now its kernel answers: it is not frozen, it boots."""
    return fault.effect is Effect.STUCK and world.death_of(record) is not None


def due(record: HostRecord) -> Instant | None:
    return record.back_by if record.awaited is not None else None


def overdue(world: SiteWorld, record: HostRecord, loss: FaultRaised) -> FaultRaised:
    """The silence as it is told from now on; nothing is left of the plan."""
    for condition in [c for c, one in record.faults.items() if one.effect is Effect.DOOMED]:
        del record.faults[condition]
    limit = spoken(timing.HOST_BACK_LIMIT_MS)
    reason = f"{record.name} was stopped on purpose, and has not come back within {limit}"
    return msgspec.structs.replace(loss, reason=reason, detected_at=world.now)
