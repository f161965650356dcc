"""The commands of a story, one function each: what breaks, what people do, what is asked."""

import shlex
from collections.abc import Callable
from uuid import NAMESPACE_DNS, uuid5

from msgspec import structs

from holdfast.adapters.simulated.vm import SimulatedVm
from holdfast.facts import commands as told
from holdfast.facts.incidents import IncidentState
from holdfast.facts.instants import after
from holdfast.facts.promises import Disarm, Group, Owner, Protection, parse_answer
from holdfast.facts.tenure import Tenure, TenureState, Wanted
from holdfast.policy import ordered
from tests.detectors.cases import parse_seen
from tests.stories.hardware_commands import HARDWARE_COMMANDS
from tests.stories.process_commands import PROCESS_COMMANDS
from tests.stories.stage import HOST_ID, Stage

Words = list[str]
Options = dict[str, str]
UNITS_MS = {"ms": 1.0, "s": 1_000.0, "min": 60_000.0, "h": 3_600_000.0}


class BadStory(Exception):
    """A line of a story cannot be played; which, and why."""


def play(stage: Stage, line: str) -> list[str]:
    """Carry out one line; what was said meanwhile, and what the line itself asked for."""
    name, *rest = shlex.split(line)
    command = COMMANDS.get(name)
    if command is None:
        raise BadStory(f"{line!r}: there is no command {name}; there are {', '.join(COMMANDS)}")
    words = [word for word in rest if "=" not in word]
    options = dict(word.split("=", 1) for word in rest if "=" in word)
    try:
        shown = command(stage, words, options) or []
    except (KeyError, IndexError, ValueError) as error:
        raise BadStory(f"{line!r}: {error!r}") from None
    said, stage.said = stage.said, []
    return [*said, *shown]


def _host(stage: Stage, _words: Words, _options: Options) -> None:
    stage.advance(1_000)
    stage.begin_agent()


def _see(stage: Stage, words: Words, options: Options) -> None:
    """`see LinkSeen device=eth1 has_carrier=false`: what no simulated part of the host says."""
    if not stage.is_agent_up:
        return
    fields = [shlex.quote(f"{key}={value}") for key, value in options.items()]
    seen = parse_seen(" ".join(["0 ms", *words, *fields]))
    stage.see(structs.replace(seen, at=stage.host.now()))


def _vm(stage: Stage, words: Words, options: Options) -> None:
    """`vm NAME [protected] [mute] [off] [term]`, with group, answers, agent, memory, boot."""
    name, *flags = words
    vm = SimulatedVm(
        name=name,
        uuid=options.get("uuid") or str(uuid5(NAMESPACE_DNS, name)),
        has_agent=options.get("agent") != "no",
        memory_gb=float(options.get("memory", "1")),
        boot_ms=float(options.get("boot", "3000")),
        is_mute="mute" in flags,
        obeys_term="term" in flags,
    )
    stage.host.define(vm)
    if "off" not in flags:
        stage.host.begin(name)
    if "protected" in flags:
        _protect(stage, [name], options)
    if "off" not in flags:
        stage.advance(5_000)


def _group(stage: Stage, words: Words, options: Options) -> None:
    group = Group(
        name=words[0],
        owner=Owner(options.get("owner", "holdfast")),
        level=int(options.get("level", "3")),
        restarts=int(options.get("restarts", "5")),
        restarts_window_s=int(options.get("window", "600")),
        dump=options.get("dump") == "yes",
    )
    stage.hear(told.GroupSet(at=stage.at(), group=group))


def _protect(stage: Stage, words: Words, options: Options) -> None:
    """Also the grant after a boot: a grant is one thing."""
    name = words[0]
    vm = stage.host.vms[name]
    known = stage.world.vms.get(vm.uuid)
    held = known.protection if known else None
    tenure = Tenure(
        vm=vm.uuid,
        generation=int(options.get("generation", "1")),
        host=HOST_ID,
        boot=stage.host.boot,
        state=TenureState.HELD,
        wanted=Wanted(options.get("wanted", "running")),
    )
    answer = held.answer if held else parse_answer("default")
    protection = Protection(
        vm=vm.uuid,
        name=name,
        group=options.get("group") or (held.group if held else "default"),
        answer=parse_answer(options["answers"]) if "answers" in options else answer,
        tenure=tenure,
    )
    stage.hear(told.ProtectionGranted(at=stage.at(), protection=protection, by="ann"))


def _unprotect(stage: Stage, words: Words, _options: Options) -> None:
    uuid = stage.host.vms[words[0]].uuid
    stage.hear(told.ProtectionEnded(at=stage.at(), vm=uuid, by="ann"))


def _order(stage: Stage, words: Words, options: Options) -> None:
    """`order NAME was=HOST [generation=] [age=SECONDS] [boot=]`: as the leader's order comes in."""
    name = words[0]
    vm = stage.host.vms[name]
    tenure = Tenure(
        vm=vm.uuid,
        generation=int(options.get("generation", "2")),
        host=HOST_ID,
        boot=options.get("boot", stage.host.boot),
        state=TenureState.HELD,
        wanted=Wanted.RUNNING,
    )
    protection = Protection(
        vm=vm.uuid,
        name=name,
        group=options.get("group", "default"),
        answer=parse_answer(options.get("answers", "default")),
        tenure=tenure,
    )
    reason = ordered.refusal(stage.world, protection)
    if reason and not ordered.is_taken(stage.world, protection):
        stage.hear(
            told.StartRefused(
                at=stage.at(),
                vm=vm.uuid,
                name=name,
                generation=tenure.generation,
                reason=reason,
            )
        )
        return
    stage.hear(
        told.StartOrdered(
            at=stage.at(),
            protection=protection,
            was=options["was"],
            fault_at=after(stage.at(), -1_000 * float(options.get("age", "0"))),
            incident=f"{options['was']}-1a2b",
        )
    )


def _outrank(stage: Stage, words: Words, options: Options) -> None:
    """Another host holds it by now; `take-back`: the leader wants it given back."""
    vm = stage.host.vms[words[0]].uuid
    generation = int(options["generation"])
    holder = options.get("holder", "")
    stage.hear(told.CopyOutranked(at=stage.at(), vm=vm, generation=generation, holder=holder))


def _start(stage: Stage, words: Words, _options: Options) -> None:
    stage.host.begin(words[0])


def _rename(stage: Stage, words: Words, options: Options) -> None:
    """Virsh renames only what is shut off; its uuid stays."""
    vm = stage.host.vms.pop(words[0])
    vm.name = options["to"]
    stage.host.vms[vm.name] = vm


def _redefine(stage: Stage, words: Words, _options: Options) -> None:
    """Undefined, and defined anew under the same name: to libvirt it is another VM."""
    old = stage.host.vms[words[0]]
    old.is_defined = False
    stage.host.vms[f"{words[0]} of before"] = old
    new_uuid = str(uuid5(NAMESPACE_DNS, f"{words[0]} anew"))
    stage.host.define(SimulatedVm(name=words[0], uuid=new_uuid))


def _break_start(stage: Stage, words: Words, options: Options) -> None:
    stage.host.vms[words[0]].fails_to_start = int(options.get("times", "1"))


def _break_boot(stage: Stage, words: Words, options: Options) -> None:
    stage.host.vms[words[0]].dies_at_boot = int(options.get("times", "1"))


def _mute(stage: Stage, words: Words, _options: Options) -> None:
    stage.host.vms[words[0]].is_mute = True


def _unmute(stage: Stage, words: Words, _options: Options) -> None:
    stage.host.vms[words[0]].is_mute = False


def _undefine(stage: Stage, words: Words, _options: Options) -> None:
    stage.host.vms[words[0]].is_defined = False


def _io_error(stage: Stage, words: Words, _options: Options) -> None:
    stage.host.fail_disk(words[0], halts="halts" in words)


def _watchdog(stage: Stage, words: Words, options: Options) -> None:
    stage.host.fire_watchdog(words[0], options["action"])


def _crash_dump(stage: Stage, words: Words, options: Options) -> None:
    stage.host.dump_crash(words[0], float(options["takes"]))


def _on_vm(name: str) -> Callable[[Stage, Words, Options], None]:
    return lambda stage, words, _options: getattr(stage.host, name)(words[0])


def _on_host(name: str) -> Callable[[Stage, Words, Options], None]:
    return lambda stage, _words, _options: getattr(stage.host, name)()


def _kill_agent(stage: Stage, _words: Words, _options: Options) -> None:
    stage.kill_agent()


def _start_agent(stage: Stage, _words: Words, options: Options) -> None:
    stage.begin_agent(forgets=options.get("memory") == "lost")


def _power_cut(stage: Stage, _words: Words, _options: Options) -> None:
    stage.kill_agent()
    stage.host.cut_power()


def _boot(stage: Stage, _words: Words, options: Options) -> None:
    stage.host.boot_again()
    stage.advance(2_000)
    stage.begin_agent(forgets=options.get("memory") == "lost")


def _disarm(stage: Stage, _words: Words, options: Options) -> None:
    for_ms = float(options.get("minutes", "60")) * 60_000
    reason = options["reason"]
    disarm = Disarm(owner="ann", reason=reason, since_utc_ms=0, until_utc_ms=int(for_ms))
    until = after(stage.at(), for_ms)
    stage.hear(told.Disarmed(at=stage.at(), disarm=disarm, until=until))


def _arm(stage: Stage, _words: Words, _options: Options) -> None:
    stage.hear(told.Armed(at=stage.at(), by="ann"))


def _recover(stage: Stage, words: Words, _options: Options) -> None:
    uuid = stage.host.vms[words[0]].uuid
    stage.hear(told.RecoveryAsked(at=stage.at(), vm=uuid, by="ann"))


def _settle(stage: Stage, words: Words, _options: Options) -> None:
    incident = stage.record(words[0]).incident
    stage.hear(told.IncidentSettled(at=stage.at(), incident=incident, by="ann"))


def _advance(stage: Stage, words: Words, _options: Options) -> None:
    number, unit = words
    stage.advance(float(number) * UNITS_MS[unit])


def _status(stage: Stage, _words: Words, _options: Options) -> list[str]:
    lines = []
    for vm in stage.host.vms.values():
        record = stage.world.vms.get(vm.uuid)
        believed = record.state.value if record else "not known"
        wanted = record.protection.tenure.wanted if record and record.protection else "-"
        truth = "process" if vm.runs else "no process"
        starts = sum(1 for _, life in stage.host.starts if life.vm == vm.uuid)
        lines.append(f"{vm.name}: {believed}; wanted {wanted}; {truth}; started {starts} times")
    for alarm in stage.world.alarms.values():
        root = " (caused by another)" if alarm.root else ""
        severity = f"{alarm.severity}, {alarm.certainty}"
        lines.append(f"open alarm: {alarm.condition} of {alarm.subject.name}, {severity}{root}")
    return lines or ["nothing"]


def _explain(stage: Stage, _words: Words, _options: Options) -> list[str]:
    """The newest incident in short; the command line tells it at length."""
    incident = list(stage.world.incidents.values())[-1]
    cause = f"; cause: {incident.cause}" if incident.cause else ""
    is_open = incident.state is IncidentState.OPEN
    end = "Nothing to do." if not incident.needs_you else f"Needs you: {incident.needs_you}"
    return [
        f"incident of {incident.name} ({incident.state}, {', '.join(incident.conditions)})",
        f"{incident.title}{cause}",
        f"{'now' if is_open else 'end'}: {incident.step}",
        end,
    ]


COMMANDS: dict[str, Callable[[Stage, Words, Options], list[str] | None]] = {
    **PROCESS_COMMANDS,
    **HARDWARE_COMMANDS,
    "host": _host,
    "vm": _vm,
    "group": _group,
    "protect": _protect,
    "grant": _protect,
    "unprotect": _unprotect,
    "order": _order,
    "outrank": _outrank,
    "take-back": _outrank,
    "start": _start,
    "rename": _rename,
    "redefine": _redefine,
    "undefine": _undefine,
    "break-start": _break_start,
    "break-boot": _break_boot,
    "mute": _mute,
    "unmute": _unmute,
    "kill": _on_vm("kill"),
    "segv": _on_vm("segv"),
    "terminate": _on_vm("terminate"),
    "poweroff-inside": _on_vm("power_off_inside"),
    "destroy": _on_vm("destroy"),
    "suspend": _on_vm("suspend"),
    "resume": _on_vm("resume"),
    "save": _on_vm("save"),
    "migrate-away": _on_vm("migrate_away"),
    "reset-inside": _on_vm("reset_inside"),
    "panic": _on_vm("panic"),
    "hang": _on_vm("hang"),
    "come-back": _on_vm("come_back"),
    "watchdog": _watchdog,
    "crash-dump": _crash_dump,
    "io-error": _io_error,
    "freeze-libvirt": _on_host("freeze_libvirt"),
    "kill-libvirt": _on_host("kill_libvirt"),
    "thaw-libvirt": _on_host("restore_libvirt"),
    "see": _see,
    "kill-agent": _kill_agent,
    "start-agent": _start_agent,
    "power-cut": _power_cut,
    "boot": _boot,
    "disarm": _disarm,
    "arm": _arm,
    "recover": _recover,
    "settle": _settle,
    "advance": _advance,
    "status": _status,
    "explain": _explain,
}
