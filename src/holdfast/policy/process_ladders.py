"""The repair of a guarded process is to begin it again: first in order, then once more."""

from holdfast.facts.guards import LIBVIRT, ProcessGuard
from holdfast.facts.mending import RepairLadder, RepairStep
from holdfast.facts.verdicts import Effect
from holdfast.policy.vswitch_ladders import kept_by_switch

FIRST_BUDGET_MS = 20_000
VERIFY_MS = 5_000
TRIES = 2


def ladders_of(guards: tuple[ProcessGuard, ...], marks: str) -> tuple[RepairLadder, ...]:
    """`marks` is the folder of end marks of processes that name none of their own."""
    made = (_ladder(guard, guard.end_mark or f"{marks}/{guard.name}") for guard in guards)
    return tuple(one for one in made if one is not None)


def _ladder(guard: ProcessGuard, mark: str) -> RepairLadder | None:
    if not guard.repair:
        return None
    if guard.restart:
        mender, args = "process", (mark, guard.pid_file, *guard.restart)
        says = f"restart it: {' '.join(guard.restart)}"
    elif guard.units:
        mender, args = "unit", guard.units
        says = f"have systemd restart {' or '.join(guard.units)}"
    else:
        return None  # Nothing says how to begin it: it is only reported.
    mender, args, also = kept_by_switch(guard.name, mender, args)
    total_ms = round(guard.hand_over_s * 1_000)
    probed = "it runs for a second, and its probe is answered"
    verify_ms = VERIFY_MS + round(1_000 * (guard.probe_every_s + guard.probe_limit_s))
    step = RepairStep(
        name="restart",
        says=says + also,
        mender=mender,
        args=args,
        budget_ms=min(FIRST_BUDGET_MS, max(1_000, total_ms // 2)),
        verify_ms=verify_ms if guard.has_probe else VERIFY_MS,
        verified=probed if guard.has_probe else "it runs for a second",
    )
    is_libvirt = guard.name == LIBVIRT
    return RepairLadder(
        condition="libvirt-silent" if is_libvirt else "process-failed",
        subject=guard.name,
        effects=(Effect.GONE, Effect.STUCK),
        steps=(step,) * TRIES,
        total_ms=total_ms,
        runs_an_hour=guard.repairs_an_hour,
        needs=guard.needs,
    )
