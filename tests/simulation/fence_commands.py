"""The commands of a story about power, disks, and what people say of them, one function each."""

from collections.abc import Callable
from functools import partial
from typing import Any

from holdfast.adapters.simulated.bmc import PLANE, Bmc
from holdfast.adapters.simulated.definitions import xml_of
from holdfast.adapters.simulated.vm import BOOT_MS, SimulatedVm
from holdfast.controller.disk_wishes import read_wish
from holdfast.controller.instance_wishes import InstanceWish
from holdfast.facts.fencing import HostMode
from holdfast.facts.observations import LifecycleSeen
from tests.simulation.people import NotDone, People
from tests.simulation.site_stage import SiteStage
from tests.simulation.story_lines import UNITS_MS, Command, Options, Words

IMAGES = {"vda": "/images/base"}
FLAGS = {
    "shares-power": "shares_power",
    "dead": "is_dead",
    "refuses": "refuses",
    "half": "is_half",
    "deaf": "is_deaf",
    "second-try": "ignores_every_other",
    "strict": "is_strict",
}


def _bmc(stage: SiteStage, words: Words, options: Options) -> None:
    """`bmc h4 [n=2] [shares-power] [dead] [refuses] [half] [deaf] [second-try] [strict]
    [on-for-ever] [lies=off] [late=3000] [wired-to=h3]`, or `bmc h4 well`: of one; without `n`, of
    all."""
    host, *said = words
    all_of = stage.site.bmcs.of(host)
    chosen = [all_of[int(options["n"]) - 1]] if "n" in options else all_of
    for bmc in chosen:
        _trouble(stage, bmc, said, options)


def _trouble(stage: SiteStage, bmc: Bmc, said: Words, options: Options) -> None:
    if said == ["well"]:
        bmc.be_well()
        return
    for word in said:
        if word == "on-for-ever":
            bmc.lies = "on"
        else:
            setattr(bmc, FLAGS[word], True)
    bmc.lies = options.get("lies", bmc.lies)
    bmc.late_ms = float(options.get("late", bmc.late_ms))
    if "wired-to" in options:
        bmc.wired_to = stage.site.hosts[options["wired-to"]].machine


def _management(*, is_cut: bool) -> Command:
    """`cut-management h1 h4`: between the controller on h1 and the BMCs of h4; without the second
    one, of all hosts."""

    def command(stage: SiteStage, words: Words, _options: Options) -> None:
        network = stage.site.bmcs.network
        if not words:
            network.mend_all()
            return
        controller, *hosts = words
        for host in hosts or list(stage.site.hosts):
            for bmc in stage.site.bmcs.of(host):
                change = network.cut if is_cut else network.mend
                change(PLANE, controller, bmc.name)
                change(PLANE, bmc.name, controller)

    return command


def asked_of_people(what: Callable[[People, Words, Options], None]) -> Command:
    """What they are told when it is not done is said; a story goes on."""

    def command(stage: SiteStage, words: Words, options: Options) -> list[str]:
        try:
            what(People(stage), words, options)
        except NotDone as not_done:
            return [f"people are told: {not_done}"]
        return []

    return command


def _set_mode(mode: HostMode, people: People, words: Words, options: Options) -> None:
    """`act h4 [dump=30]`: so many seconds a kernel that panicked has for its dump."""
    for host in words:
        people.act(host, mode, int(options.get("dump", "0")))


def _protect(people: People, words: Words, options: Options) -> None:
    """`protect web [group=] [answers=] [local-disk=rebuild] [image=/images/base]`."""
    image = options.get("image")
    images = {"vda": image} if image else None
    wish = read_wish({"local_disk": options.get("local-disk"), "images": images})
    for vm in words:
        people.protect(vm, options.get("group", ""), options.get("answers", ""), wish)


def _unprotect(people: People, words: Words, _options: Options) -> None:
    for vm in words:
        people.unprotect(vm)


def _group(people: People, words: Words, options: Options) -> None:
    """`group NAME [owner=nobody] [level=1] [restarts=2] [priority=1] [lease=on]
    [local-disk=rebuild] [image=/img/a]`."""
    known: dict[str, Callable[[str], Any]] = {
        "owner": str,
        "level": int,
        "restarts": int,
        "priority": int,
        "lease": lambda word: word == "on",
        "local_disk": str,
    }
    given = {key.replace("-", "_"): value for key, value in options.items()}
    image = given.pop("image", "")
    images = {"images": {"vda": image}} if image else {}
    people.set_group(words[0], **{key: known[key](given[key]) for key in given}, **images)


def _template(people: People, words: Words, options: Options) -> None:
    """`template front [count=3] [memory=GB] [boot=MS] [remove=front-2]`: what its VMs are made of,
    if memory is named, and how many are promised."""
    name, xml = words[0], None
    if "memory" in options:
        memory_gb, boot_ms = float(options["memory"]), float(options.get("boot", BOOT_MS))
        made = SimulatedVm(
            name=name, uuid=name, memory_gb=memory_gb, boot_ms=boot_ms, is_local=True
        )
        xml = xml_of(made)
        people.set_group(name, local_disk="rebuild", images=IMAGES)
    wish = InstanceWish(
        xml=xml,
        images=IMAGES if xml else None,
        count=int(options["count"]) if "count" in options else None,
        remove=tuple(options["remove"].split(",")) if "remove" in options else (),
    )
    people.set_template(name, wish)


def _disarm(people: People, words: Words, _options: Options) -> None:
    """`disarm 1 h`."""
    number, unit = words
    people.disarm(float(number) * UNITS_MS[unit])


def _arm(people: People, _words: Words, _options: Options) -> None:
    people.arm()


def _confirm_dead(people: People, words: Words, _options: Options) -> None:
    """Whether it is true is seen by the laws."""
    people.confirm_dead(words[0])


def _settle(people: People, words: Words, options: Options) -> None:
    """`settle h3`, or `settle h3 leave=down`: the incident of that host."""
    people.settle(words[0], leave_down="leave" in options)


def _predict(people: People, words: Words, _options: Options) -> None:
    """`predict h3 its memory fails`; without words it is taken back."""
    host, *reason = words
    people.predict(host, " ".join(reason))


def _memory(stage: SiteStage, _words: Words, options: Options) -> None:
    """`memory h4=64000` (MiB, for VMs in all; 0: no limit)."""
    for host, mib in options.items():
        stage.site.hosts[host].machine.vms.memory_mib = int(mib)


def _cpu(stage: SiteStage, _words: Words, options: Options) -> None:
    """`cpu h4=sse2,avx2`: the features that its libvirt says that it offers."""
    for host, features in options.items():
        stage.site.hosts[host].machine.vms.cpu_features = tuple(features.split(","))


def _image(*, is_gone: bool) -> Command:
    """`image-gone h1 h2 image=/images/base`: it is missing there; `image-back`: it is not."""

    def command(stage: SiteStage, words: Words, options: Options) -> None:
        for host in words:
            missing = stage.site.hosts[host].machine.vms.missing
            (missing.add if is_gone else missing.discard)(options["image"])

    return command


def _disks(stage: SiteStage, _words: Words, _options: Options) -> list[str]:
    """What hosts have of VMs whose disk is on one host alone."""
    found = (
        (name, vm, host)
        for host, one in stage.site.hosts.items()
        for name, vm in sorted(one.machine.vms.vms.items())
        if vm.is_local and vm.has_disk
    )
    return [
        f"disk of {name} on {host}: {_made(vm.made_for, vm.rebuilds)}" for name, vm, host in found
    ]


def _made(generation: int, times: int) -> str:
    if not generation:
        return "the one that it began with"
    return f"made anew for generation {generation}" + (f", {times} times" if times > 1 else "")


def _vm(stage: SiteStage, words: Words, options: Options) -> None:
    """`vm web on=h1 [memory=GB] [boot=MS] [uuid=] [disk=] [local] [mute] [cpu=FEATURE]`: it
    runs there."""
    name, *flags = words
    memory_gb, boot_ms = options.get("memory"), options.get("boot")
    vm = stage.site.add_vm(options["on"], name, options.get("uuid", ""), options.get("disk", ""))
    vm.is_mute = "mute" in flags
    vm.cpu_feature = options.get("cpu", "")
    vm.is_local = "local" in flags
    vm.memory_gb = float(memory_gb) if memory_gb else vm.memory_gb
    vm.boot_ms = float(boot_ms) if boot_ms else vm.boot_ms


def _define(stage: SiteStage, words: Words, options: Options) -> None:
    """`define web on=h2`: by hand; it is not started."""
    stage.site.define(words[0], options["on"])


def _redefine(stage: SiteStage, words: Words, options: Options) -> None:
    """`redefine web memory=GB`: where it is, or was last. libvirt says so to who listens."""
    vms = stage.site.host_of(words[0]).machine.vms
    vm = vms.vms[words[0]]
    vm.memory_gb = float(options["memory"])
    if vms.see is not None and vms.libvirt == "answers":
        vms.see(LifecycleSeen(at=vms.now(), vm=vm.uuid, event="defined", detail="updated"))


def _undefine(stage: SiteStage, words: Words, options: Options) -> None:
    stage.site.hosts[options["on"]].machine.vms.vms[words[0]].is_defined = False


def _start(stage: SiteStage, words: Words, options: Options) -> None:
    """`start web [on=h2]`: by hand."""
    for name in words:
        if "on" in options:
            stage.site.define(name, options["on"])
        host = stage.site.hosts[options["on"]] if "on" in options else stage.site.host_of(name)
        host.machine.vms.begin(name)


def _stop(stage: SiteStage, words: Words, _options: Options) -> None:
    """`stop web`: by hand, on purpose."""
    for name in words:
        host = stage.site.host_of(name)
        stage.laws.vm_may_end(host, name)
        stage.fences.truth.note_stopped(host.machine.name, host.machine.vms.vms[name])
        host.machine.vms.destroy(name)


def _break_start(stage: SiteStage, words: Words, options: Options) -> None:
    """`break-start web on=h2 [times=1]`: the storage refuses."""
    stage.site.define(words[0], options["on"])
    vm = stage.site.hosts[options["on"]].machine.vms.vms[words[0]]
    vm.fails_to_start = int(options.get("times", "1"))


def _libvirt(name: str) -> Command:
    def command(stage: SiteStage, words: Words, _options: Options) -> None:
        for host in words:
            getattr(stage.site.hosts[host].machine.vms, name)()

    return command


def _storage(stage: SiteStage, words: Words, _options: Options) -> None:
    """`storage away`, `storage back`: what all hosts share."""
    for host in stage.site.hosts.values():
        for name, vm in host.machine.vms.vms.items():
            if vm.runs and words == ["away"]:
                host.machine.vms.fail_disk(name, halts=True)
            elif vm.runs:
                host.machine.vms.resume(name)


def power_shown(stage: SiteStage) -> list[str]:
    """Where each VM runs, and each host's power; of sites that have BMCs."""
    site = stage.site
    if not site.bmcs.by_name:
        return []
    names = sorted({name for host in site.hosts.values() for name in host.machine.vms.vms})
    lines = []
    for name in names:
        having = [(h.machine.name, h.machine.vms.vms.get(name)) for h in site.hosts.values()]
        runs = [host for host, vm in having if vm is not None and vm.runs]
        lines.append(f"{name}: {'runs on ' + ' and '.join(runs) if runs else 'runs nowhere'}")
    powers = (f"{n} {'on' if h.machine.has_power else 'off'}" for n, h in site.hosts.items())
    return [*lines, f"power: {', '.join(powers)}"]


FENCE_COMMANDS: dict[str, Command] = {
    "bmc": _bmc,
    "cut-management": _management(is_cut=True),
    "mend-management": _management(is_cut=False),
    "act": asked_of_people(partial(_set_mode, HostMode.ACT)),
    "report-only": asked_of_people(partial(_set_mode, HostMode.REPORT)),
    "protect": asked_of_people(_protect),
    "unprotect": asked_of_people(_unprotect),
    "group": asked_of_people(_group),
    "disarm": asked_of_people(_disarm),
    "arm": asked_of_people(_arm),
    "confirm-dead": asked_of_people(_confirm_dead),
    "settle": asked_of_people(_settle),
    "predict": asked_of_people(_predict),
    "memory": _memory,
    "cpu": _cpu,
    "template": asked_of_people(_template),
    "disks": _disks,
    "image-gone": _image(is_gone=True),
    "image-back": _image(is_gone=False),
    "vm": _vm,
    "define": _define,
    "redefine": _redefine,
    "undefine": _undefine,
    "start": _start,
    "stop": _stop,
    "break-start": _break_start,
    "freeze-libvirt": _libvirt("freeze_libvirt"),
    "kill-libvirt": _libvirt("kill_libvirt"),
    "thaw-libvirt": _libvirt("restore_libvirt"),
    "storage": _storage,
}
