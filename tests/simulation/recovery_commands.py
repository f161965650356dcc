"""The commands of a story about what becomes of a recovery: breakage, backups, incidents."""

import asyncio

from holdfast.adapters.simulated.vm import SimulatedVm
from holdfast.controller.restoring import restore
from holdfast.faces.pages.sentences import sentence
from holdfast.facts.actions import TellIncident
from holdfast.facts.incidents import Incident, IncidentState
from holdfast.facts.instants import NS_PER_MS
from tests.simulation.controllers import SimulatedController
from tests.simulation.fence_commands import asked_of_people
from tests.simulation.people import People
from tests.simulation.site_stage import SiteStage
from tests.simulation.story_lines import Command, Options, Words

BACKUP = "backup"  # On the disk of the controller that wrote it.


def _break_boot(stage: SiteStage, words: Words, options: Options) -> None:
    """`break-boot web on=h2 [times=1]`: it dies as it boots there."""
    name, host, times = words[0], stage.site.hosts[options["on"]], int(options.get("times", "1"))
    stage.site.define(name, options["on"])
    vms = host.machine.vms
    vms.vms[name].dies_at_boot = times
    begun_before = sum(1 for begun, _ in vms.starts if begun == name)

    def note(vm: SimulatedVm, _generation: int) -> None:
        begun = sum(1 for begun, _ in vms.starts if begun == name)
        if vm.name == name and begun - begun_before <= times:
            stage.laws.vm_may_end(host, name)

    vms.begun.append(note)


def _back_up(stage: SiteStage, words: Words, _options: Options) -> None:
    """`back-up h1`: what the store holds, as the controller there copies it."""
    held = stage.site.cluster.truth.contents
    stage.site.hosts[words[0]].machine.disk[BACKUP] = {k: one.value for k, one in held.items()}


def _restore(stage: SiteStage, words: Words, _options: Options) -> None:
    """`restore h1`: its store becomes that of the backup. No controller may run meanwhile."""
    site = stage.site
    if any(one.machine.runs("controller") for one in site.controllers.values()):
        raise ValueError("kill the controllers first")
    kept = site.hosts[words[0]].machine.disk[BACKUP]
    assert isinstance(kept, dict)
    truth, utc_ms = site.cluster.truth, site.clock.now // NS_PER_MS

    async def put_back() -> None:
        gone: dict[str, bytes | None] = dict.fromkeys(set(truth.contents) - set(kept))
        await truth.txn(holds={}, puts={**gone, **kept})
        await restore(truth, None, utc_ms)

    asyncio.run(put_back())


def _forget_definition(people: People, words: Words, _options: Options) -> None:
    """Of a VM that was protected by a version that kept none."""
    people.put({f"definitions/{people.uuid_of(words[0])}": None})


def _explain(stage: SiteStage, words: Words, _options: Options) -> list[str]:
    """`explain h4`: its newest incident, in short; the command line tells it at length."""
    leader = _leader(stage)
    found = _incidents(leader, words[0], only_open=False) if leader is not None else []
    if not found:
        return [f"no incident of {words[0]} is known"]
    newest = found[-1]
    is_open = newest.state is IncidentState.OPEN
    now = sentence(TellIncident(incident=newest), newest.name)
    return [
        f"incident of {newest.name} ({newest.state}): {newest.title}",
        f"{'now' if is_open else 'end'}: {now}",
        f"Needs you: {newest.needs_you}" if newest.needs_you else "Nothing to do.",
    ]


def _incidents(leader: SimulatedController, host: str, *, only_open: bool = True) -> list[Incident]:
    """Also those that several hosts share."""
    assert leader.decider is not None
    world = leader.decider.world
    record = world.hosts.get(host)
    mine = record.incident if record is not None else ""
    return [
        one
        for one in world.incidents.values()
        if (one.host == host or one.id == mine)
        and (not only_open or one.state is IncidentState.OPEN)
    ]


def _leader(stage: SiteStage) -> SimulatedController | None:
    return next((one for one in stage.site.controllers.values() if one.leads()), None)


RECOVERY_COMMANDS: dict[str, Command] = {
    "break-boot": _break_boot,
    "back-up": _back_up,
    "restore": _restore,
    "forget-definition": asked_of_people(_forget_definition),
    "explain": _explain,
}
