"""The watch put together: its memory, its journal, and whom it asks and tells."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

from holdfast.controller.agents import Agents
from holdfast.controller.entries import Entries
from holdfast.controller.hearing import Hearing
from holdfast.controller.site_memory import open_journal, remember
from holdfast.controller.watch import Watch
from holdfast.controller.witnesses import Witnesses
from holdfast.facts.alarms import AlarmRecord
from holdfast.facts.hearing import WitnessSpoke
from holdfast.facts.incidents import Incident
from holdfast.facts.settings import Settings
from holdfast.facts.site import ActingSet
from holdfast.policy.site import SiteDecider
from holdfast.ports import clock

FOLDER = "site-journal"


def make_watch(
    *,
    state: Path,
    controller: str,
    boot: str,
    agents: Agents,
    entries: Entries,
    hearing: Hearing,
    term: Callable[[], int | None],
) -> tuple[Watch, Witnesses]:
    """Raises JournalTaken, OSError."""
    folder = state / FOLDER
    decider = SiteDecider(remember(folder))

    def see(spoke: WitnessSpoke) -> None:
        watch.see(spoke)

    stream, numbers = f"site-{clock.utc_ms()}", itertools.count(1)

    def keep(incident: Incident) -> None:
        entries.keep_incident(incident.host, incident, (stream, next(numbers)))

    witnesses = Witnesses(hearing, agents, see)
    watch = Watch(
        decider=decider,
        journal=open_journal(folder, decider),
        folder=folder,
        controller=controller,
        boot=boot,
        report=entries.report,
        keep=keep,
        ask=witnesses.ask,
        term=term,
        is_reliable=hearing.is_reliable,
    )
    agents.on_greeted = watch.greeted
    agents.on_left = watch.left
    agents.silence_of = watch.silence_of
    agents.on_forgotten = witnesses.forget
    agents.on_vms = watch.told
    return watch, witnesses


def forget(host: str, agents: Agents, hearing: Hearing, watch: Watch) -> None:
    """It left the site: its silence says nothing from now on."""
    hearing.forget_host(host)
    watch.forget(host)
    agents.forget(host)


def _numbers(fact: ActingSet) -> tuple[int, int, str]:
    return fact.fence_after_ms, fact.brake_percent, fact.hand_over


def acting_of(settings: Settings) -> ActingSet:
    return ActingSet(
        at=clock.now(),
        fence_after_ms=round(settings.fence_after_s * 1_000),
        brake_percent=settings.brake_percent,
        hand_over=settings.hand_over,
    )


def begin(
    watch: Watch,
    agents: Agents,
    hearing: Hearing,
    told: Iterable[AlarmRecord] = (),
    settings: Settings | None = None,
) -> None:
    """Say who this is, and expect everybody who was heard here before it began.

    `told` is what the VIM has: it may know more than the journal, of which the end, or all, can be
    lost. What nobody remembers, nobody would end, nor tell once more when it comes back.
    """
    watch.begin()
    if settings is not None:
        wanted, world = acting_of(settings), watch.decider.world
        has = (world.fence_after_ms, world.brake_percent, world.hand_over)
        if has != _numbers(wanted):
            watch.take(wanted)
    for one in told:
        watch.remember(one)
    for host, known in hearing.known_hosts().items():
        agent = agents.by_host.get(host)
        record = watch.decider.world.hosts.get(host)
        name = agent.host_name if agent else record.name if record else host
        boot = next(reversed(known.boots), "")
        tell = watch.expect if known.should_pulse_here else watch.know
        tell(host, name, boot, tuple(sorted(known.addresses)))
        if agent is not None:
            watch.set_vms(host, boot, agent.vms, agent.parts)
