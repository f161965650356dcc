"""A process that must keep time: real-time priority, memory that stays, no collector.

What the kernel does not permit is returned in words, and the process goes on without it.
Standard library only: whoever keeps time imports little.
"""

import ctypes
import gc
import os
from collections.abc import Callable

PULSE_PRIORITY, EAR_PRIORITY = 40, 30  # Behind the kernel's own; a pulse costs almost nothing.

_MCL_CURRENT_AND_FUTURE = 3
_PR_SET_TIMERSLACK = 29
_SLACK_NS = 1
_LAST_OF_ALL = "-999"  # For the kernel when it ends processes because memory is short.

_libc = ctypes.CDLL(None, use_errno=True)


def keep_time(priority: int) -> list[str]:
    """Call it when everything is imported. Returns what is not permitted here, in words."""
    lacks = []
    for what, attempt in (
        ("real-time priority", lambda: _come_first(priority)),
        ("memory that is not paged out", _lock_memory),
        ("exact timers", _exact_timers),
        ("being spared when memory is short", _be_spared),
    ):
        problem = _try(attempt)
        if problem:
            lacks.append(f"{what}: {problem}")
    gc.collect()
    gc.freeze()
    gc.disable()  # Its loop makes no cycles, and a collection is a pause.
    return lacks


def _try(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _come_first(priority: int) -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))


def _lock_memory() -> None:
    _checked(_libc.mlockall(_MCL_CURRENT_AND_FUTURE))


def _exact_timers() -> None:
    _checked(_libc.prctl(_PR_SET_TIMERSLACK, _SLACK_NS, 0, 0, 0))


def _be_spared() -> None:
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write(_LAST_OF_ALL)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
