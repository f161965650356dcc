"""What must not be left of all the trouble of a site, when all is mended and has had its time."""

from collections.abc import Callable, Iterator

from holdfast.facts.alarms import Alarm
from holdfast.policy.host_states import HostState
from tests.simulation.controllers import SimulatedController
from tests.simulation.data_centre import DataCentre


def left_over(site: DataCentre, may_stay: Callable[[Alarm], bool]) -> Iterator[str]:
    """What is left, each as the law that it breaks."""
    receiver = site.receiver
    for alarm in receiver.open():
        if not may_stay(alarm):
            yield f"alarms end cleared, or with a person: {alarm.key} is open: {alarm.text}"
    for alarm in site.pager.open():
        if not may_stay(alarm):
            yield f"alarms end cleared, or with a person: who was paged has {alarm.key} open still"
    for host in site.hosts.values():
        if host.agent.uplink is not None and host.agent.waiting:
            yield f"no report is lost: {host.agent.waiting} wait on {host.machine.name}"
        for key, revision in host.agent.said.items():
            known = receiver.alarms.get(key)
            if known is None or known.revision < revision:
                yield f"no report is lost: {key} of revision {revision} never arrived"
    leaders = [name for name, one in site.controllers.items() if one.leads()]
    if len(leaders) != 1:
        yield f"one leads in the end, and not {leaders}"
    for name, controller in site.controllers.items():
        yield from _of_controller(name, controller)


def _of_controller(name: str, controller: SimulatedController) -> Iterator[str]:
    decider = controller.decider
    if decider is None:
        yield f"{name} does not run"
        return
    for record in decider.world.hosts.values():
        if record.state is not HostState.SERVING:
            yield f"no state without an exit: {name} believes {record.name} {record.state}"
    if controller.watch.defects.counts:
        yield f"{name} met defects: {controller.watch.defects.counts}"
    if waiting := sum(one.delivery().backlog for one in controller.couriers):
        yield f"no report is lost: {waiting} wait at {name}"
