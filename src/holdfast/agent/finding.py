"""After a gap (agent away, host booted), find the VMs that ran and have no process any more."""

from collections.abc import Callable

from holdfast.agent.recorder import Recorder
from holdfast.facts.instants import NS_PER_MS, Instant
from holdfast.facts.last_words import Sample
from holdfast.facts.observations import VmFoundGone
from holdfast.facts.subjects import Incarnation
from holdfast.policy.world import World
from holdfast.ports.clock import now, utc_ms

LONGEST_AWAY_MS = 7 * 24 * 3_600_000  # What wall clocks tell beyond that is not believed.


def found_gone(
    world: World,
    running: dict[str, Incarnation],
    boot: str,
    at: Instant,
    last_seen: Callable[[Incarnation], Instant],
) -> list[VmFoundGone]:
    """One for each life that policy believes to run and that does not.

    `last_seen` tells when a life was last known to run: after that it ended.
    """
    return [
        VmFoundGone(
            at=at,
            incarnation=record.life,
            name=record.name,
            last_seen=last_seen(record.life),
            same_boot=record.life.boot == boot,
        )
        for record in world.vms.values()
        if record.life is not None and not record.is_gone and running.get(record.vm) != record.life
    ]


def last_alive(recorder: Recorder, boot: str, left_at: Instant, life: Incarnation) -> Instant:
    """When it was last recorded alive, or policy last heard anything (`left_at`). Of an earlier
    boot, whose clock means nothing now, wall clocks tell how long ago that was."""
    if life.boot == boot:
        kept = recorder.since(life.vm, Instant(0))
        return max([left_at, *(one.at for one in kept if isinstance(one, Sample))])
    at, seen_utc_ms = now(), recorder.seen_utc_ms(life.vm)
    age_ms = max(0, utc_ms() - seen_utc_ms) if seen_utc_ms is not None else 0
    return Instant(at - min(age_ms, LONGEST_AWAY_MS) * NS_PER_MS)
