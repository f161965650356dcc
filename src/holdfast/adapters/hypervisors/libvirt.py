"""VMs of the local libvirt and QEMU: started, ended, looked at, and proven gone."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast.adapters.drivers import leftovers, qemu_proc
from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.adapters.drivers.life_watch import life_of
from holdfast.facts.definitions import HostSize, Rebuild, RebuiltDisk, VmDefinition
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import LocalProof
from holdfast.ports.hypervisor import CallFailed, Domain, Hypervisor, TakenOver

RUN_DIR = Path("/run/libvirt/qemu")
LIFE_WAIT_S = 5.0
TERM_S = 3.0  # For as long QEMU may end by itself when told to; then it is killed.
LIBVIRT_SEES_S = 1.0
PING_GRACE_MS = 2_000  # For libvirt itself, beside what the guest may take.
AFTER_BOOT = "the host was booted since it ran"
ENDED_STATES = {"shut off", "crashed"}


class _Remains(msgspec.Struct, kw_only=True):
    """What a VM had while it ran, since libvirt forgets it with the end; None: nobody saw it."""

    cgroup: str | None = None
    taps: set[str] | None = None


class Libvirt:
    """`rescan` is called when a VM was started, for those who watch its process. `shared_paths`
    are folders that other hosts have too, whatever file system they are on."""

    def __init__(
        self,
        client: LibvirtClient,
        boot: str,
        *,
        run_dir: Path = RUN_DIR,
        rescan: Callable[[], None] = lambda: None,
        shared_paths: tuple[str, ...] = (),
    ) -> None:
        self._client = client
        self._boot = boot
        self._run_dir = run_dir
        self._rescan = rescan
        self._shared_paths = list(shared_paths)
        self._disks: dict[str, set[str]] = {}
        self._remains: dict[str, _Remains] = {}

    def remember(self, life: Incarnation) -> None:
        """A VM runs: keep what a proof of its end will look at."""
        taps = leftovers.read_taps(life.pid)
        self._remains[life.vm] = _Remains(
            cgroup=leftovers.read_own_cgroup(life.pid), taps=None if taps is None else set(taps)
        )

    async def domains(self, limit_ms: int = 5_000) -> list[Domain]:
        rows = await self._client.call("domains", limit_ms)
        found = [msgspec.convert(row, Domain) for row in rows]
        known = {domain.vm for domain in found} | self._remains.keys()
        self._disks = {vm: disks for vm, disks in self._disks.items() if vm in known}
        for domain in found:
            self._keep(domain)
        return found

    async def domain(self, vm: str, limit_ms: int = 2_000) -> Domain:
        domain = msgspec.convert(await self._client.call("domain", limit_ms, vm=vm), Domain)
        self._keep(domain)
        return domain

    async def start(self, vm: str, limit_ms: int = 60_000) -> Incarnation:
        name = str(await self._client.call("start", limit_ms, vm=vm))
        deadline = time.monotonic() + LIFE_WAIT_S
        while time.monotonic() < deadline:
            pid = qemu_proc.read_pid_file(self._run_dir / f"{name}.pid")
            process = qemu_proc.read_process(pid) if pid else None
            if process is not None and process.vm == vm:
                life = life_of(process, self._boot)
                self.remember(life)
                self._rescan()
                return life
            await asyncio.sleep(0.01)
        raise CallFailed("libvirt says that it started it, and there is no such process")

    async def end(
        self, life: Incarnation, limit_ms: int = 30_000, *, is_forced: bool = False
    ) -> None:
        """By its pidfd alone: a `destroy` names the VM, and one that libvirt runs late would hit
        the next life."""
        try:
            fd = os.pidfd_open(life.pid)
        except ProcessLookupError:
            return
        try:
            if life.boot != self._boot or qemu_proc.read_ticks(life.pid) != life.started_ticks:
                return
            await _end(fd, limit_ms, is_forced=is_forced)
        finally:
            os.close(fd)
        await self._until_libvirt_saw(life.vm)

    async def prove_gone(
        self, life: Incarnation, name: str, limit_ms: int = 2_000, *, is_copy: bool = False
    ) -> LocalProof:
        """For a life of an earlier boot all but its pid is looked at: that means nothing now."""
        is_of_this_boot = life.boot == self._boot
        remains = self._remains.get(life.vm, _Remains())
        found = await self._client.call(
            "look_for_leftovers",
            limit_ms,
            vm=life.vm,
            name=name,
            pid=life.pid if is_of_this_boot else 0,
            started_ticks=life.started_ticks,
            cgroup=remains.cgroup,
            disks=[] if is_copy else await self._known_disks(life.vm, limit_ms),
            is_copy=is_copy,
            taps=None if remains.taps is None else sorted(remains.taps),
        )
        if "still" in found:
            raise CallFailed(f"{name}: {found['still']}")
        return LocalProof(
            vm=life.vm,
            boot=self._boot,
            incarnation=life.key,
            shown=(*found["shown"], "in this boot" if is_of_this_boot else AFTER_BOOT),
            at=time.monotonic_ns(),
            is_of_copy=is_copy,
        )

    async def definition(self, vm: str, limit_ms: int = 5_000) -> VmDefinition:
        call = self._client.call("definition", limit_ms, vm=vm, shared_paths=self._shared_paths)
        return msgspec.convert(await call, VmDefinition)

    async def judge(
        self,
        definition: VmDefinition,
        limit_ms: int = 5_000,
        *,
        rebuilds: tuple[RebuiltDisk, ...] = (),
    ) -> str:
        args = {
            "vm": definition.vm,
            "xml": definition.xml,
            "shared_paths": self._shared_paths,
            "rebuilds": msgspec.to_builtins(rebuilds),
        }
        return str(await self._client.call("judge", limit_ms, **args))

    async def rebuild(self, vm: str, rebuild: Rebuild, limit_ms: int = 60_000) -> None:
        args = {"vm": vm, "rebuild": msgspec.to_builtins(rebuild)}
        reason = str(await self._client.call("rebuild", limit_ms, **args))
        if reason:
            raise CallFailed(reason)

    async def define(self, definition: VmDefinition, limit_ms: int = 5_000) -> None:
        await self._client.call("define", limit_ms, xml=definition.xml)

    async def size(self, limit_ms: int = 5_000) -> HostSize:
        return msgspec.convert(await self._client.call("size", limit_ms), HostSize)

    async def screenshot(self, vm: str, path: str, limit_ms: int = 2_000) -> str:
        return str(await self._client.call("screenshot", limit_ms, vm=vm, path=path))

    async def dump(self, vm: str, path: str, limit_ms: int = 60_000) -> None:
        await self._client.call("dump", limit_ms, vm=vm, path=path)

    async def ping_agent(self, vm: str, limit_ms: int = 1_000) -> bool:
        """A silent agent is not libvirt's fault: it costs no worker."""
        answers = await self._client.call(
            "ping_all", limit_ms + PING_GRACE_MS, vms=[vm], wait_ms=limit_ms
        )
        return bool(answers[vm])

    async def addresses(self, vm: str, limit_ms: int = 2_000) -> list[str]:
        return [str(a) for a in await self._client.call("addresses", limit_ms, vm=vm)]

    async def take_over(self, vm: str, limit_ms: int = 5_000) -> TakenOver:
        was = await self._client.call("take_over", limit_ms, vm=vm)
        return TakenOver(vm=vm, autostart=was["autostart"], on_crash=was["on_crash"])

    async def give_back(self, taken: TakenOver, limit_ms: int = 5_000) -> None:
        await self._client.call("give_back", limit_ms, vm=taken.vm, on_crash=taken.on_crash)

    async def close(self) -> None:
        await self._client.close()

    def _keep(self, domain: Domain) -> None:
        self._disks[domain.vm] = set(domain.disks)
        if domain.state not in ENDED_STATES:
            remains = self._remains.setdefault(domain.vm, _Remains())
            remains.taps = (remains.taps or set()) | set(domain.taps)

    async def _known_disks(self, vm: str, limit_ms: int) -> list[str] | None:
        """None for a VM that libvirt knows no more. While libvirt is silent there is no proof."""
        if vm not in self._disks:
            try:
                await self.domain(vm, limit_ms)
            except CallFailed as failure:
                if not failure.is_final:
                    raise
        disks = self._disks.get(vm)
        return None if disks is None else sorted(disks)

    async def _until_libvirt_saw(self, vm: str) -> None:
        """It should have seen the end before anybody starts the VM again; it may be away."""
        deadline = time.monotonic() + LIBVIRT_SEES_S
        with contextlib.suppress(CallFailed):
            while (left_ms := int((deadline - time.monotonic()) * 1_000)) > 0:
                if (await self.domain(vm, left_ms)).state in ENDED_STATES:
                    return
                await asyncio.sleep(0.02)


async def _end(fd: int, limit_ms: int, *, is_forced: bool) -> None:
    """First as libvirt would (QEMU writes back what it holds), then without asking."""
    deadline = time.monotonic() + limit_ms / 1_000
    ways = ((signal.SIGTERM, TERM_S), (signal.SIGKILL, limit_ms / 1_000))
    for number, wait_s in ways[1:] if is_forced else ways:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, number)
        if await _wait_ended(fd, min(wait_s, deadline - time.monotonic())):
            return
    raise CallFailed("neither SIGTERM nor SIGKILL ended its process")


async def _wait_ended(fd: int, limit_s: float) -> bool:
    """Whether the process of this pidfd ended in time, to its last thread."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _settle, ended)
    try:
        async with asyncio.timeout(max(0.0, limit_s)):
            await ended
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
    return True


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


PLUGIN: type[Hypervisor] = Libvirt
