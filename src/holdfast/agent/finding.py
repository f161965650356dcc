"""After a gap (agent away, host booted), find the VMs that ran and have no process any more."""

from collections.abc import Callable

from holdfast.facts.instants import Instant
from holdfast.facts.observations import VmFoundGone
from holdfast.facts.subjects import Incarnation
from holdfast.policy.world import World


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
