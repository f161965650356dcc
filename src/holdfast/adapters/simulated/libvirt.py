"""The libvirt of a simulated host, as an agent asks it: in virtual time, or frozen, or dead."""

import asyncio

from msgspec import structs

from holdfast.adapters.drivers.vm_needs import misfit
from holdfast.adapters.simulated.definitions import definition_of, size_of, vm_of
from holdfast.adapters.simulated.host import SimulatedHost
from holdfast.adapters.simulated.vm import NO_DISK, SimulatedVm
from holdfast.facts.definitions import HostSize, Rebuild, RebuiltDisk, VmDefinition
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import LocalProof
from holdfast.ports.hypervisor import CallFailed, CallOverran, Domain, TakenOver

CALL_MS, LOOK_MS = 3.0, 20.0


class SimulatedLibvirt:
    """See ports.hypervisor.Hypervisor. Its guests have no screen, and no memory to dump."""

    def __init__(self, host: SimulatedHost) -> None:
        self._host = host

    async def domains(self, limit_ms: int = 5_000) -> list[Domain]:
        await self._answer(limit_ms)
        return [_domain(vm) for vm in self._host.vms.values() if vm.is_defined or vm.runs]

    async def domain(self, vm: str, limit_ms: int = 2_000) -> Domain:
        return _domain(await self._find(vm, limit_ms))

    async def start(self, vm: str, limit_ms: int = 60_000) -> Incarnation:
        found = await self._find(vm, limit_ms)
        if found.is_local and not found.has_disk:
            raise CallFailed(NO_DISK)
        return self._host.begin(found.name)

    async def end(
        self, life: Incarnation, limit_ms: int = 30_000, *, is_forced: bool = False
    ) -> None:
        found = self._host.by_uuid(life.vm)
        if found is None or found.life != life:
            return
        if is_forced:
            self._host.kill(found.name)
        else:
            await self._answer(limit_ms)
            self._host.destroy(found.name)
        while found.life == life:  # noqa: ASYNC110  A process ends in its own time.
            await asyncio.sleep(LOOK_MS / 1_000)

    async def prove_gone(
        self, life: Incarnation, name: str, limit_ms: int = 2_000, *, is_copy: bool = False
    ) -> LocalProof:
        await self._answer(limit_ms)
        found = self._host.by_uuid(life.vm)
        if found is not None and found.life is not None:
            raise CallFailed(f"{name}: its process {found.life.pid} is still there")
        return LocalProof(
            vm=life.vm,
            boot=self._host.boot,
            incarnation=life.key,
            shown=("no process with its uuid", "its cgroup is empty"),
            at=self._host.now(),
            is_of_copy=is_copy,
        )

    async def definition(self, vm: str, limit_ms: int = 5_000) -> VmDefinition:
        return definition_of(await self._find(vm, limit_ms))

    async def judge(
        self,
        definition: VmDefinition,
        limit_ms: int = 5_000,
        *,
        rebuilds: tuple[RebuiltDisk, ...] = (),
    ) -> str:
        await self._answer(limit_ms)
        needs = definition.needs
        needs = structs.replace(needs, obstacle=needs.rest) if rebuilds else needs
        return misfit(needs, size_of(self._host)) or self._not_made(definition.vm, rebuilds)

    async def rebuild(self, vm: str, rebuild: Rebuild, limit_ms: int = 60_000) -> None:
        """What was in the disk of an earlier generation is put aside, and in no guest any more."""
        found = await self._find(vm, limit_ms)
        reason = self._not_made(vm, rebuild.disks)
        if reason:
            raise CallFailed(reason)
        found.rebuild(rebuild)

    def _not_made(self, vm: str, disks: tuple[RebuiltDisk, ...]) -> str:
        missing = [one.image for one in disks if one.image in self._host.missing]
        if missing:
            return f"its image {missing[0]} is missing on this host"
        found = self._host.by_uuid(vm)
        return found.in_the_way(disks) if found is not None else ""

    async def define(self, definition: VmDefinition, limit_ms: int = 5_000) -> None:
        """How the guest behaves here, once it is known, stays: a story may have said it."""
        await self._answer(limit_ms)
        try:
            made = vm_of(definition.xml)
        except ValueError as error:
            raise CallFailed(str(error), is_final=True) from None
        known = self._host.by_uuid(made.uuid)
        other = self._host.vms.get(made.name)
        if other is not None and other.uuid != made.uuid:
            raise CallFailed(f"domain {made.name!r} already exists with another uuid")
        if known is None:
            self._host.define(made)
        else:
            if not known.is_defined:
                known.reason = "unknown"  # libvirt forgot it with its definition.
            known.memory_gb, known.is_defined = made.memory_gb, True

    async def size(self, limit_ms: int = 5_000) -> HostSize:
        await self._answer(limit_ms)
        return size_of(self._host)

    async def screenshot(self, vm: str, path: str, limit_ms: int = 2_000) -> str:  # noqa: ARG002
        raise CallFailed("a simulated guest has no screen", is_final=True)

    async def dump(self, vm: str, path: str, limit_ms: int = 60_000) -> None:  # noqa: ARG002
        raise CallFailed("a simulated guest has no memory to dump", is_final=True)

    async def ping_agent(self, vm: str, limit_ms: int = 1_000) -> bool:
        found = await self._find(vm, limit_ms)
        return found.has_agent and found.serves(self._host.clock.now)

    async def addresses(self, vm: str, limit_ms: int = 2_000) -> list[str]:
        await self._find(vm, limit_ms)
        return []

    async def take_over(self, vm: str, limit_ms: int = 5_000) -> TakenOver:
        await self._find(vm, limit_ms)
        return TakenOver(vm=vm, autostart=False, on_crash="destroy")

    async def give_back(self, taken: TakenOver, limit_ms: int = 5_000) -> None:
        await self._find(taken.vm, limit_ms)

    async def close(self) -> None:
        return

    async def _answer(self, limit_ms: int) -> None:
        """Raises CallFailed, CallOverran."""
        await asyncio.sleep(CALL_MS / 1_000)
        if self._host.libvirt == "frozen":
            await asyncio.sleep(limit_ms / 1_000)
            raise CallOverran(f"libvirt did not answer in {limit_ms} ms")
        if self._host.libvirt == "dead":
            raise CallFailed("libvirt does not run")

    async def _find(self, vm: str, limit_ms: int) -> SimulatedVm:
        """Raises CallFailed, CallOverran."""
        await self._answer(limit_ms)
        found = self._host.by_uuid(vm)
        if found is None or not found.is_defined:
            raise CallFailed(f"there is no domain with uuid {vm}", is_final=True)
        return found


def _domain(vm: SimulatedVm) -> Domain:
    return Domain(
        vm=vm.uuid,
        name=vm.name,
        state="running" if vm.runs else vm.libvirt_thinks,
        reason=vm.reason,
        is_persistent=vm.is_defined,
        has_agent_channel=vm.has_agent,
        memory_mib=vm.memory_mib,
    )
