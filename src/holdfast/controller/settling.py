"""A person says that the incident of a host is dealt with; not while VMs would stay down of it."""

from holdfast.controller.watch import Watch
from holdfast.policy.site_deaths import left_down
from holdfast.ports.answers import REFUSED, Unanswerable

NAMED = 5


def settle(watch: Watch, incident: str, by: str, *, leave_down: bool = False) -> None:
    """Raises Unanswerable where a silent host of it holds VMs, unless they are to stay down:
    settled, nothing would be open that says so."""
    if not leave_down:
        _refuse_to_leave_down(left_down(watch.decider.world, incident))
    watch.settle(incident, by)


def _refuse_to_leave_down(held: dict[str, tuple[str, ...]]) -> None:
    for host, vms in held.items():
        names = ", ".join(vms[:NAMED]) + (f" and {len(vms) - NAMED} more" if vms[NAMED:] else "")
        raise Unanswerable(
            f"{host} holds {names}: settled, nobody would miss what is down with it",
            f"see that {host} is off, then: holdfast host confirm-dead {host} --because WHY;"
            " to leave its VMs down: holdfast settle INCIDENT --leave-down",
            REFUSED,
        )
