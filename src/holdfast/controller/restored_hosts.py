"""A host that was booted since the backup of a restored store: it may have been dead meanwhile.

Its VMs may have been started on another host then, of which its own copy knows nothing. So it is
granted them only when every host that the backup knew has greeted, or was put out of the site.
"""

from msgspec import structs

from holdfast.controller.registry import Known, Registry
from holdfast.facts import wire
from holdfast.facts.promises import Protection
from holdfast.facts.tenure import RESTORED, TenureState


def as_restored(known: Known) -> Known:
    """What the store says of a host as a backup has it."""
    return structs.replace(known, is_restored=True, boot_then=known.boot)


def waits(registry: Registry, held: Protection, hello: wire.Hello) -> bool:
    """Whether the host that greets is not granted this VM of its own yet."""
    if held.tenure.boot != RESTORED or held.tenure.state is TenureState.MIGRATING:
        return False
    known = registry.known(hello.host)
    was_booted = known is None or known.boot_then != hello.boot
    return was_booted and any(one.host != hello.host for one in _awaited(registry))


def held_up(registry: Registry) -> set[str]:
    """Hosts that may be granted what they held, now that nobody is awaited any more."""
    if _awaited(registry):
        return set()
    tenures = (one.tenure for one in registry.protections().values())
    return {one.host for one in tenures if one.boot == RESTORED}


def _awaited(registry: Registry) -> list[Known]:
    return [one for one in registry.all_known() if one.is_restored]
