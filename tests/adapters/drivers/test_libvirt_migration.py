"""What libvirt's words about a domain mean for a move of it.

covers: H2
"""

from typing import Any

import pytest

libvirt = pytest.importorskip("libvirt")

from holdfast.adapters.drivers import libvirt_migration  # noqa: E402  libvirt may be missing.


class Domain:
    """A domain in the state and with the job that a test gives it. `then` is its state once its
    job was read."""

    def __init__(
        self, state: tuple[int, int], operation: int = 0, then: tuple[int, int] | None = None
    ) -> None:
        self._state, self._operation, self._then = state, operation, then or state

    def state(self, _flags: int) -> tuple[int, int]:
        return self._state

    def jobStats(self, flags: int = 0) -> dict[str, Any]:  # noqa: N802  libvirt's name.
        if not flags:
            self._state = self._then
        return {libvirt.VIR_DOMAIN_JOB_OPERATION: self._operation}


RUNS = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_BOOTED)
WAITS = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)
PAUSED = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER)
GONE = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED)
OUT = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT


@pytest.mark.parametrize(
    ("state", "operation", "moves", "is_left"),
    [
        (RUNS, 0, False, False),
        (RUNS, OUT, True, False),
        (WAITS, OUT, True, False),
        (WAITS, 0, True, True),  # The libvirt that moved it was started anew in the middle.
        (PAUSED, 0, False, False),
    ],
)
def test_what_stands_still_for_a_move_without_a_job_is_left_by_it(
    state: tuple[int, int], operation: int, moves: bool, is_left: bool
) -> None:
    found = libvirt_migration.look(Domain(state, operation))
    assert (found["is_here"], found["moves"], found["is_left"]) == (True, moves, is_left)


def test_what_leaves_while_it_is_looked_at_does_not_run_here() -> None:
    """Its job is over by then, and it ran a moment ago: it looked as if it had never moved."""
    found = libvirt_migration.look(Domain(RUNS, then=GONE))
    assert (found["is_here"], found["moves"]) == (False, False)
