"""The commands of a story about leases: watchdogs, agents that freeze, what hosts acknowledged."""

from collections.abc import Callable

from holdfast.adapters.simulated.machine import Machine
from tests.simulation.site_stage import SiteStage
from tests.simulation.story_lines import Command, Options, Words


def _watchdog(stage: SiteStage, words: Words, _options: Options) -> None:
    """`watchdog h4 missing`, `watchdog h4 broken` (it says that it runs, and never bites), or
    `watchdog h4 well`."""
    host, said = words
    watchdog = stage.site.hosts[host].machine.watchdog
    watchdog.is_missing, watchdog.is_broken = said == "missing", said == "broken"


def _agent(change: Callable[[Machine], None]) -> Command:
    def command(stage: SiteStage, words: Words, _options: Options) -> None:
        for host in words:
            stage.laws.agent_lost(host)
            change(stage.site.hosts[host].machine)

    return command


def _leases(stage: SiteStage, _words: Words, _options: Options) -> list[str]:
    """What the store says of each host, whether its watchdog runs, and where each VM runs."""
    site, lines = stage.site, []
    names = {vm.uuid: n for h in site.hosts.values() for n, vm in h.machine.vms.vms.items()}
    for lease in stage.fences.truth.leases():
        watchdog = "open" if site.hosts[lease.host].machine.watchdog.is_open else "closed"
        relying = ", ".join(sorted(names[vm] for vm in lease.vms)) or "nothing"
        text = f"lease of {lease.host}: {relying} relies on it, epoch {lease.epoch}"
        lines.append(f"{text}, watchdog {watchdog}")
    for name in sorted(set(names.values())):
        having = [(h.machine.name, h.machine.vms.vms.get(name)) for h in site.hosts.values()]
        runs = [host for host, vm in having if vm is not None and vm.runs]
        lines.append(f"{name}: {'runs on ' + ' and '.join(runs) if runs else 'runs nowhere'}")
    bitten = [f"{n} {h.machine.watchdog.bites}" for n, h in site.hosts.items()]
    bitten = [one for one in bitten if not one.endswith(" 0")]
    return [*lines, f"watchdogs that bit: {', '.join(bitten) or 'none'}"]


LEASE_COMMANDS: dict[str, Command] = {
    "watchdog": _watchdog,
    "freeze-agent": _agent(lambda machine: machine.loops["agent"].freeze()),
    "resume-agent": _agent(lambda machine: machine.loops["agent"].thaw()),
    "leases": _leases,
}
