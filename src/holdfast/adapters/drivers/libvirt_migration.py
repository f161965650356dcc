"""Migration, as libvirt speaks of it. Blocking calls, for the worker."""

import contextlib
import time
from typing import Any

import libvirt

# The memory goes through the control connection, which the tunnel protects; the definition moves
# with the VM. Whether its disks are shared was looked at before: libvirt cannot know every way.
FLAGS = (
    libvirt.VIR_MIGRATE_LIVE
    | libvirt.VIR_MIGRATE_PEER2PEER
    | libvirt.VIR_MIGRATE_TUNNELLED
    | libvirt.VIR_MIGRATE_PERSIST_DEST
    | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
    | libvirt.VIR_MIGRATE_AUTO_CONVERGE
    | libvirt.VIR_MIGRATE_UNSAFE
)
ENDED = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_CRASHED, libvirt.VIR_DOMAIN_NOSTATE)
WAITS = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)
MOVES = (
    libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN,
    libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT,
)

HALF_LIMIT_S = 2.0
LOOK_S = 0.05


def migrate(domain: Any, uri: str) -> Any:
    domain.migrateToURI3(uri, {}, FLAGS)


def abort(domain: Any) -> Any:
    """No job, or one that can no more be called off, is left as it is."""
    if domain.jobStats().get(libvirt.VIR_DOMAIN_JOB_OPERATION) in MOVES:
        domain.abortJob()


def look(domain: Any | None) -> dict[str, Any]:
    """`is_here`: there is a process of it; `moves`: a migration of it is under way."""
    if domain is None or domain.state(0)[0] in ENDED:
        return {"is_here": False, "moves": False}
    try:
        job = domain.jobStats()
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            raise
        return {"is_here": True, "moves": True}  # It comes in: statistics are the source's.
    # Read last: it may have left since its job was read.
    state = tuple(domain.state(0))
    if state[0] in ENDED:
        return {"is_here": False, "moves": False}
    waits, has_job = state == WAITS, job.get(libvirt.VIR_DOMAIN_JOB_OPERATION) in MOVES
    return {
        "is_here": True,
        "moves": waits or has_job,
        "is_left": waits and not has_job,
        "total_bytes": job.get(libvirt.VIR_DOMAIN_JOB_MEMORY_TOTAL, 0),
        "left_bytes": job.get(libvirt.VIR_DOMAIN_JOB_MEMORY_REMAINING, 0),
        "elapsed_ms": job.get(libvirt.VIR_DOMAIN_JOB_TIME_ELAPSED, 0),
        "pause_ms": _pause_ms(domain),
    }


def end_half(domain: Any) -> None:
    """Of a move whose connection broke off: libvirt ends what came in, but not always. What has
    not begun to run here by then never will."""
    deadline = time.monotonic() + HALF_LIMIT_S
    try:
        while _comes_in(domain):
            if time.monotonic() > deadline:
                domain.destroy()
                return
            time.sleep(LOOK_S)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
            raise  # Else it is gone by now, as it should.


def _comes_in(domain: Any) -> bool:
    """It waits, and is not the end that sends. Statistics are the sender's; of a move whose
    connection broke off there may be no job any more."""
    if not _waits(domain):
        return False
    try:
        operation = domain.jobStats().get(libvirt.VIR_DOMAIN_JOB_OPERATION)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            raise
        return True
    return bool(operation != libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT)


def _waits(domain: Any) -> bool:
    """For the rest of its memory, or for the other end to take over."""
    return tuple(domain.state(0)) == WAITS


def _pause_ms(domain: Any) -> int | None:
    """Of the migration that was completed last, if there was one."""
    flags = libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED
    with contextlib.suppress(libvirt.libvirtError):
        done = domain.jobStats(flags)
        pause = done.get(libvirt.VIR_DOMAIN_JOB_DOWNTIME)
        is_move = done.get(libvirt.VIR_DOMAIN_JOB_OPERATION) in MOVES
        return int(pause) if is_move and pause is not None else None
    return None
