"""The commands of a story of a site, one function each: what breaks, and what people do."""

import re
import shlex
from typing import Any

from holdfast.adapters.simulated.network import Weather
from holdfast.facts.wire import VERSION
from tests.simulation.fence_commands import FENCE_COMMANDS, power_shown
from tests.simulation.lease_commands import LEASE_COMMANDS
from tests.simulation.move_commands import MOVE_COMMANDS
from tests.simulation.recovery_commands import RECOVERY_COMMANDS
from tests.simulation.site_stage import SiteStage
from tests.simulation.story_lines import UNITS_MS, BadStory, Command, Options, Words

ROLES = {"leader", "second", "third"}
WORD = re.compile(r"\w+")


def open_stage(line: str, **more: Any) -> SiteStage:
    """`site hosts=5 controllers=3 [racks=N]`: the first line of every story."""
    name, *rest = shlex.split(line)
    if name != "site":
        raise BadStory(f"{line!r}: a story of a site begins with its site")
    given = {key: int(value) for key, value in (word.split("=", 1) for word in rest)}
    return SiteStage(**given, **more)


def play(stage: SiteStage, line: str) -> list[str]:
    """Carry out one line; what was said meanwhile, and what the line itself asked for."""
    name, *rest = shlex.split(line)
    command = COMMANDS.get(name)
    if command is None:
        raise BadStory(f"{line!r}: there is no command {name}; there are {', '.join(COMMANDS)}")
    rest = [_named(stage, word) for word in rest]
    words = [word for word in rest if "=" not in word]
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    try:
        shown = command(stage, words, options) or []
    except (KeyError, IndexError, ValueError) as error:
        raise BadStory(f"{line!r}: {error!r}") from None
    said, stage.said = stage.said, []
    return [*said, *shown]


def _named(stage: SiteStage, word: str) -> str:
    """`leader` is whose controller leads; `second` and `third` are the others."""
    if not ROLES & set(word.replace("=", ",").split(",")):
        return word
    leads = [name for name, one in stage.site.controllers.items() if one.leads()]
    others = [name for name in stage.site.controllers if name not in leads]
    names = dict(zip(("leader", "second", "third"), [*leads[:1], *others], strict=False))
    return WORD.sub(lambda found: names.get(found[0], found[0]), word)


def _advance(stage: SiteStage, words: Words, _options: Options) -> None:
    number, unit = words
    stage.advance(float(number) * UNITS_MS[unit])


def _power_cut(stage: SiteStage, words: Words, _options: Options) -> None:
    for host in words:
        stage.laws.lost(host)
        stage.site.cut_power(host)


def _panic(stage: SiteStage, words: Words, options: Options) -> None:
    stage.laws.lost(words[0])
    stage.site.panic(words[0], gasps=options.get("gasps", "yes") == "yes")


def _freeze(stage: SiteStage, words: Words, options: Options) -> None:
    """Its programs stop; `kernel=dead`: nothing of it answers."""
    for host in words:
        stage.laws.lost(host)
        kernel_answers = options.get("kernel", "answers") == "answers"
        stage.site.hosts[host].machine.freeze(kernel_answers=kernel_answers)


def _shut_down(stage: SiteStage, words: Words, _options: Options) -> None:
    for host in words:
        stage.laws.vms_stopped(host)
        stage.site.shut_down(host)


def _on_machine(name: str) -> Command:
    def command(stage: SiteStage, words: Words, _options: Options) -> None:
        for host in words:
            getattr(stage.site.hosts[host].machine, name)()

    return command


def _on_site(name: str) -> Command:
    def command(stage: SiteStage, words: Words, _options: Options) -> None:
        for host in words:
            getattr(stage.site, name)(host)

    return command


def _starve(stage: SiteStage, words: Words, options: Options) -> None:
    for host in words:
        stage.site.hosts[host].machine.starve(float(options["lag"]))


def _kill_agent(stage: SiteStage, words: Words, _options: Options) -> None:
    for host in words:
        stage.laws.agent_lost(host)
        stage.site.hosts[host].agent.kill()


def _start_agent(stage: SiteStage, words: Words, _options: Options) -> None:
    for host in words:
        stage.site.start_agent(stage.site.hosts[host])


def _kill_pulse(stage: SiteStage, words: Words, _options: Options) -> None:
    stage.site.hosts[words[0]].pulse.end()


def _start_pulse(stage: SiteStage, words: Words, _options: Options) -> None:
    stage.site.hosts[words[0]].pulse.begin()


def _kill_controller(stage: SiteStage, words: Words, _options: Options) -> None:
    for host in words:
        stage.site.controllers[host].kill()


def _wipe_controller(stage: SiteStage, words: Words, _options: Options) -> None:
    """It is killed; the next one there knows no more than its site's store does."""
    for host in words:
        stage.site.controllers[host].kill()
        disk = stage.site.hosts[host].machine.disk
        for name in [one for one in disk if one == "site" or one.startswith("controller ")]:
            del disk[name]


def _lose_journal(stage: SiteStage, words: Words, _options: Options) -> None:
    """It is killed; the next one there cannot read the journal of its site. All else it can."""
    for host in words:
        stage.site.controllers[host].kill()
        del stage.site.hosts[host].machine.disk["site"]


def _start_controller(stage: SiteStage, words: Words, _options: Options) -> None:
    for host in words:
        stage.site.start_controller(stage.site.hosts[host])


def _freeze_controller(stage: SiteStage, words: Words, _options: Options) -> None:
    for host in words:
        for process in ("controller", "ear"):
            stage.site.hosts[host].machine.loops[process].freeze()


def _resume_controller(stage: SiteStage, words: Words, _options: Options) -> None:
    for host in words:
        for process in ("controller", "ear"):
            stage.site.hosts[host].machine.loops[process].thaw()


def _kill_vm(stage: SiteStage, words: Words, _options: Options) -> None:
    for name in words:
        host = stage.site.host_of(name)
        stage.laws.vm_killed(host, name)
        host.machine.vms.kill(name)


def _cut(stage: SiteStage, _words: Words, options: Options) -> None:
    """One way: `cut plane=a from=h1 to=h2`."""
    stage.site.network.cut(options["plane"], options["from"], options["to"])


def _split(stage: SiteStage, words: Words, options: Options) -> None:
    """`split h1,h2 h3,h4,h5,vim [plane=a]`: who is not named is reached by all."""
    groups = [word.split(",") for word in words]
    planes = [options["plane"]] if "plane" in options else stage.site.network.planes
    stage.site.split(groups, planes)


def _isolate(stage: SiteStage, words: Words, options: Options) -> None:
    """From everybody: `isolate h4 [plane=a]`."""
    for host in words:
        others = [name for name in stage.site.everybody() if name != host]
        planes = [options["plane"]] if "plane" in options else stage.site.network.planes
        stage.site.split([[host], others], planes)


def _mend(stage: SiteStage, _words: Words, _options: Options) -> None:
    stage.site.network.mend_all()


def _weather(stage: SiteStage, words: Words, options: Options) -> None:
    """`weather plane=a loss=0.1 twice=0.1 delay=5 jitter=40` (milliseconds)."""
    planes = [options["plane"]] if "plane" in options else stage.site.network.planes
    for plane in planes:
        stage.site.network.set_weather(
            plane,
            Weather(
                loss=float(options.get("loss", "0")),
                twice=float(options.get("twice", "0")),
                delay_ms=float(options.get("delay", "0.2")),
                jitter_ms=float(options.get("jitter", "0")),
            ),
        )


def _store(stage: SiteStage, words: Words, _options: Options) -> None:
    """`store stall h1 h2`, `store kill h1`, `store lose-answers h1`, `store well`."""
    what, *members = words
    cluster = stage.site.cluster
    if what == "stall":
        cluster.stalled |= set(members)
    elif what == "kill":
        cluster.dead |= set(members)
    elif what == "lose-answers":
        for member in members:
            stage.site.controllers[member].store.loses_answers += 3
    elif what == "well":
        cluster.stalled.clear()
        cluster.dead.clear()
    else:
        raise ValueError(what)
    cluster.look()


def _vim(stage: SiteStage, words: Words, options: Options) -> None:
    """`vim away`, `vim back`, `vim slow=300` (milliseconds)."""
    receiver = stage.site.receiver
    receiver.is_away = words == ["away"]
    receiver.is_slow_ms = float(options.get("slow", "0"))


def _pager(stage: SiteStage, words: Words, _options: Options) -> list[str]:
    """`pager`: what it was told since the last look, each time; `pager away`, `pager back`."""
    if words:
        stage.site.pager.is_away = words == ["away"]
        return []
    paged, stage.paged = stage.paged, []
    return [f"paged: {line.strip()}" for line in paged] or ["paged: nothing"]


def _clock(stage: SiteStage, words: Words, options: Options) -> None:
    """`clock h1 step=-3600` (seconds): the wall clock is set."""
    for host in words:
        stage.site.hosts[host].machine.own.step_utc(float(options["step"]) * 1_000)


def _swap_keys(stage: SiteStage, words: Words, _options: Options) -> None:
    stage.site.swap_keys(*words)


def _clone(stage: SiteStage, words: Words, options: Options) -> None:
    stage.site.clone(words[0], options["of"])


def _upgrade(stage: SiteStage, words: Words, options: Options) -> None:
    """`upgrade h4 to=older|present|newer`: its agent is restarted, on purpose, as that version."""
    steps = {"older": -1, "present": 0, "newer": 1}
    for host in words:
        one = stage.site.hosts[host]
        one.agent.version = VERSION + steps[options["to"]]
        if options["to"] == "older":
            one.pulse.end()
        elif options["to"] == "present":
            one.pulse.begin()
        stage.site.restart_agent(host, 500)


def _status(stage: SiteStage, _words: Words, _options: Options) -> list[str]:
    leaders = [name for name, one in stage.site.controllers.items() if one.leads()]
    alarms = sorted(f"{a.condition} of {a.subject.name}" for a in stage.site.receiver.open())
    running = [
        name
        for host in stage.site.hosts.values()
        for name, vm in host.machine.vms.vms.items()
        if vm.runs
    ]
    return [
        f"leads: {', '.join(leaders) or 'nobody'}",
        f"open alarms: {', '.join(alarms) or 'none'}",
        f"running VMs: {', '.join(running) or 'none'}",
        *power_shown(stage),
    ]


COMMANDS: dict[str, Command] = {
    "advance": _advance,
    "kill": _kill_vm,
    "power-cut": _power_cut,
    "boot": _on_site("boot"),
    "shut-down": _shut_down,
    "panic": _panic,
    "freeze": _freeze,
    "resume": _on_machine("resume"),
    "starve": _starve,
    "kill-agent": _kill_agent,
    "start-agent": _start_agent,
    "restart-agent": _on_site("restart_agent"),
    "kill-pulse": _kill_pulse,
    "start-pulse": _start_pulse,
    "restart-pulse": _on_site("restart_pulse"),
    "stop-services": _on_site("stop_services"),
    "start-services": _on_site("start_services"),
    "kill-controller": _kill_controller,
    "start-controller": _start_controller,
    "wipe-controller": _wipe_controller,
    "lose-journal": _lose_journal,
    "freeze-controller": _freeze_controller,
    "resume-controller": _resume_controller,
    "cut": _cut,
    "split": _split,
    "isolate": _isolate,
    "mend": _mend,
    "weather": _weather,
    "store": _store,
    "vim": _vim,
    "pager": _pager,
    "clock": _clock,
    "swap-keys": _swap_keys,
    "clone": _clone,
    "upgrade": _upgrade,
    "status": _status,
    **FENCE_COMMANDS,
    **LEASE_COMMANDS,
    **RECOVERY_COMMANDS,
    **MOVE_COMMANDS,
}
