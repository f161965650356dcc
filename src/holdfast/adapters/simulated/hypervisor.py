"""A hypervisor in memory: its VMs start, refuse, hang and die when a test says so."""

import itertools
from pathlib import Path

import msgspec

from holdfast.adapters.drivers.vm_disks import Place, Remade
from holdfast.adapters.drivers.vm_needs import NotXml, memory_mib, misfit, parse, read_needs
from holdfast.facts.definitions import HostSize, Rebuild, RebuiltDisk, VmDefinition
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import LocalProof
from holdfast.ports.hypervisor import CallFailed, CallOverran, Domain, TakenOver

FIRST_PID = 1_000


class Disks:
    """Where the files of VMs are, as a test says: what is not named is shared."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.below: dict[str, list[str]] = {}
        self.devices: set[str] = set()
        self.secrets: set[str] = set()
        self.sizes: dict[str, int] = {}
        self.made: dict[str, tuple[int, RebuiltDisk]] = {}  # By path: for which generation.

    def place(self, path: str) -> Place:
        return self.places.get(path, Place.SHARED)

    def backing(self, path: str) -> list[str]:
        return self.below.get(path, [])

    def size(self, path: str, *, is_qcow2: bool) -> int:  # noqa: ARG002
        return self.sizes.get(path, 1 << 30)

    def obstacle(self, disk: RebuiltDisk) -> str:
        """Why it could not be made here, or empty."""
        if self.places.get(disk.image) is Place.MISSING:
            return f"its image {disk.image} is missing on this host"
        is_foreign = disk.path in self.places and disk.path not in self.made
        if is_foreign and self.places[disk.path] is not Place.MISSING:
            return f"there is a file {disk.path} already"
        return ""

    def make(self, generation: int, disk: RebuiltDisk) -> None:
        if self.made.get(disk.path, (0, disk))[0] != generation:
            self.made[disk.path] = (generation, disk)
        self.places[disk.path] = Place.LOCAL

    def has_device(self, name: str) -> bool:
        return name in self.devices

    def has_secret(self, uuid: str, kind: str, usage: str) -> bool:
        return (uuid or f"{kind} {usage}") in self.secrets


class HypervisorInMemory:
    """Set `hangs` to have calls about a VM overrun, `refuses` to have its starts fail."""

    def __init__(self, boot: str = "boot") -> None:
        self.boot = boot
        self.hangs: set[str] = set()
        self.refuses: dict[str, CallFailed] = {}
        self.leftovers: dict[str, str] = {}  # What is still there of a VM that ended.
        self.answering: set[str] = set()  # VMs whose guest agent answers.
        self.calls: list[tuple[str, str]] = []
        self.disks = Disks()
        self.has = HostSize(memory_mib=65_536, cpus=16)
        self._domains: dict[str, Domain] = {}
        self._xml: dict[str, str] = {}
        self._lives: dict[str, Incarnation] = {}
        self._pids = itertools.count(FIRST_PID)

    def add(self, domain: Domain) -> None:
        """It is defined here, whoever did it."""
        self._domains[domain.vm] = domain
        self._xml.pop(domain.vm, None)

    def undefine(self, vm: str) -> None:
        del self._domains[vm]

    def kill(self, vm: str, reason: str = "crashed") -> None:
        """The VM's process dies, whoever did it."""
        self._lives.pop(vm, None)
        self.answering.discard(vm)
        self._change(vm, state="shut off", reason=reason)

    def life(self, vm: str) -> Incarnation | None:
        return self._lives.get(vm)

    async def domains(self, limit_ms: int = 5_000) -> list[Domain]:  # noqa: ARG002
        return list(self._domains.values())

    async def domain(self, vm: str, limit_ms: int = 2_000) -> Domain:
        return self._called("domain", vm, limit_ms)

    async def start(self, vm: str, limit_ms: int = 60_000) -> Incarnation:
        self._called("start", vm, limit_ms)
        if vm in self._lives:
            return self._lives[vm]
        if vm in self.refuses:
            raise self.refuses[vm]
        pid = next(self._pids)
        life = Incarnation(vm=vm, boot=self.boot, pid=pid, started_ticks=pid)
        self._lives[vm] = life
        self._change(vm, state="running", reason="booted")
        return life

    async def end(
        self, life: Incarnation, limit_ms: int = 30_000, *, is_forced: bool = False
    ) -> None:
        if self._lives.get(life.vm) == life:
            self._called("end by force" if is_forced else "end", life.vm, limit_ms)
            self.kill(life.vm, "shutdown")

    async def prove_gone(
        self, life: Incarnation, name: str, limit_ms: int = 2_000, *, is_copy: bool = False
    ) -> LocalProof:
        self.calls.append(("prove_gone", life.vm))
        if life.vm in self.hangs:
            raise CallOverran(f"nobody answered in {limit_ms} ms")
        runs = self._lives.get(life.vm)
        left = f"process {runs.pid} runs it" if runs else self.leftovers.get(life.vm, "")
        if left and (runs or not (is_copy and "disk" in left)):
            raise CallFailed(f"{name}: {left}")
        is_of_this_boot = life.boot == self.boot
        when = "in this boot" if is_of_this_boot else "the host was booted since it ran"
        shown = ("no process with its uuid", when)
        return LocalProof(
            vm=life.vm,
            boot=self.boot,
            incarnation=life.key,
            shown=shown,
            at=0,
            is_of_copy=is_copy,
        )

    async def definition(self, vm: str, limit_ms: int = 5_000) -> VmDefinition:
        domain = self._called("definition", vm, limit_ms)
        xml = self._xml.get(vm) or _xml_of(domain)
        needs = read_needs(xml, self.disks, xml if vm in self._lives else "")
        return VmDefinition(vm=vm, name=domain.name, xml=xml, needs=needs)

    async def judge(
        self,
        definition: VmDefinition,
        limit_ms: int = 5_000,
        *,
        rebuilds: tuple[RebuiltDisk, ...] = (),
    ) -> str:
        self._asked("judge", definition.vm, limit_ms)
        here = Remade(self.disks, {one.path for one in rebuilds})
        try:
            found = misfit(read_needs(definition.xml, here), self.has)
        except NotXml as error:
            raise CallFailed(str(error), is_final=True) from None
        obstacles = (self.disks.obstacle(one) for one in rebuilds)
        return found or next((text for text in obstacles if text), "")

    async def rebuild(self, vm: str, rebuild: Rebuild, limit_ms: int = 60_000) -> None:
        self._called("rebuild", vm, limit_ms)
        for disk in rebuild.disks:
            reason = self.disks.obstacle(disk)
            if reason:
                raise CallFailed(reason)
            self.disks.make(rebuild.generation, disk)

    async def define(self, definition: VmDefinition, limit_ms: int = 5_000) -> None:
        self._asked("define", definition.vm, limit_ms)
        try:
            root = parse(definition.xml)
        except NotXml as error:
            raise CallFailed(str(error), is_final=True) from None
        vm, name = root.findtext("uuid", ""), root.findtext("name", "")
        if any(one.name == name and one.vm != vm for one in self._domains.values()):
            raise CallFailed(f"domain {name!r} already exists with another uuid")
        known = self._domains.get(vm) or Domain(
            vm=vm, name=name, state="shut off", reason="unknown", is_persistent=True
        )
        self._domains[vm] = msgspec.structs.replace(
            known,
            name=name,
            on_crash=root.findtext("on_crash", "destroy"),
            memory_mib=memory_mib(root),
        )
        self._xml[vm] = definition.xml

    async def size(self, limit_ms: int = 5_000) -> HostSize:
        self._asked("size", "", limit_ms)
        return self.has

    async def screenshot(self, vm: str, path: str, limit_ms: int = 2_000) -> str:
        self._running("screenshot", vm, limit_ms)
        _write(path, b"\x89PNG\r\n\x1a\n")
        return "image/png"

    async def dump(self, vm: str, path: str, limit_ms: int = 60_000) -> None:
        self._running("dump", vm, limit_ms)
        _write(path, b"\x7fELF")

    async def ping_agent(self, vm: str, limit_ms: int = 1_000) -> bool:
        self._called("ping_agent", vm, limit_ms)
        return vm in self.answering

    async def addresses(self, vm: str, limit_ms: int = 2_000) -> list[str]:
        self._called("addresses", vm, limit_ms)
        return []

    async def take_over(self, vm: str, limit_ms: int = 5_000) -> TakenOver:
        was = self._called("take_over", vm, limit_ms)
        self._change(vm, on_crash="preserve")
        return TakenOver(vm=vm, autostart=was.autostart, on_crash=was.on_crash)

    async def give_back(self, taken: TakenOver, limit_ms: int = 5_000) -> None:
        self._called("give_back", taken.vm, limit_ms)
        self._change(taken.vm, on_crash=taken.on_crash)

    async def close(self) -> None:
        return

    def _asked(self, call: str, vm: str, limit_ms: int) -> None:
        self.calls.append((call, vm))
        if vm in self.hangs:
            raise CallOverran(f"libvirt did not answer {call} in {limit_ms} ms")

    def _called(self, call: str, vm: str, limit_ms: int) -> Domain:
        self._asked(call, vm, limit_ms)
        if vm not in self._domains:
            raise CallFailed(f"there is no domain with uuid {vm}", is_final=True)
        return self._domains[vm]

    def _running(self, call: str, vm: str, limit_ms: int) -> None:
        self._called(call, vm, limit_ms)
        if vm not in self._lives:
            raise CallFailed("domain is not running")

    def _change(self, vm: str, **what: str) -> None:
        if vm in self._domains:
            self._domains[vm] = msgspec.structs.replace(self._domains[vm], **what)


def _xml_of(domain: Domain) -> str:
    disks = "".join(
        f"<disk type='file' device='disk'><source file='{path}'/></disk>" for path in domain.disks
    )
    return (
        f"<domain type='kvm'><name>{domain.name}</name><uuid>{domain.vm}</uuid>"
        f"<memory unit='MiB'>{domain.memory_mib}</memory><vcpu>1</vcpu>"
        f"<on_crash>{domain.on_crash}</on_crash><devices>{disks}</devices></domain>"
    )


def _write(path: str, content: bytes) -> None:
    file = Path(path)
    file.touch(mode=0o600)
    file.write_bytes(content)
