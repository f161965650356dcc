"""VMs of the local libvirt and QEMU: started, ended, looked at, and proven gone."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from holdfast.adapters.drivers import leftovers, qemu_proc
from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.adapters.drivers.life_watch import life_of
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import LocalProof
from holdfast.ports.hypervisor import CallFailed, Domain, Hypervisor, TakenOver

RUN_DIR = Path("/run/libvirt/qemu")
LIFE_WAIT_S = 5.0
LIBVIRT_ENDS_S = 3.0  # For as long libvirt may try to end a VM before the kernel is asked to.
PING_GRACE_MS = 2_000  # For libvirt itself, beside what the guest may take.
ENDED_STATES = {"shut off", "crashed"}


class _Remains(msgspec.Struct, kw_only=True):
    """What a VM had while it ran, since libvirt forgets it with the end."""

    cgroup: str = ""
    taps: set[str] = msgspec.field(default_factory=set)


class Libvirt:
    """`rescan` is called when a VM was started, for those who watch its process."""

    def __init__(
        self,
        client: LibvirtClient,
        boot: str,
        *,
        run_dir: Path = RUN_DIR,
        rescan: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._boot = boot
        self._run_dir = run_dir
        self._rescan = rescan
        self._disks: dict[str, set[str]] = {}
        self._remains: dict[str, _Remains] = {}

    def remember(self, life: Incarnation) -> None:
        """A VM runs: keep what a proof of its end will look at."""
        self._remains[life.vm] = _Remains(
            cgroup=leftovers.read_own_cgroup(life.pid), taps=set(leftovers.read_taps(life.pid))
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

    async def end(self, life: Incarnation, limit_ms: int = 30_000) -> None:
        """Only this very life: a newer one of the same VM is left alone."""
        try:
            fd = os.pidfd_open(life.pid)
        except ProcessLookupError:
            return
        try:
            if qemu_proc.read_ticks(life.pid) == life.started_ticks:
                await self._end(life, fd, limit_ms)
        finally:
            os.close(fd)

    async def prove_gone(self, life: Incarnation, name: str, limit_ms: int = 2_000) -> LocalProof:
        if life.boot != self._boot:
            raise CallFailed(f"{name} ran in another boot of this host", is_final=True)
        remains = self._remains.get(life.vm, _Remains())
        found = await self._client.call(
            "look_for_leftovers",
            limit_ms,
            vm=life.vm,
            pid=life.pid,
            started_ticks=life.started_ticks,
            cgroup=remains.cgroup,
            disks=sorted(self._disks.get(life.vm, ())),
            taps=sorted(remains.taps),
        )
        if "still" in found:
            raise CallFailed(f"{name}: {found['still']}")
        return LocalProof(
            vm=life.vm,
            boot=self._boot,
            incarnation=life.key,
            shown=(*found["shown"], "in this boot"),
            at=time.monotonic_ns(),
        )

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
            self._remains.setdefault(domain.vm, _Remains()).taps.update(domain.taps)

    async def _end(self, life: Incarnation, fd: int, limit_ms: int) -> None:
        """Ask libvirt first, so that it knows; what it cannot end (frozen QEMU), the kernel can."""
        deadline = time.monotonic() + limit_ms / 1_000
        destroy = asyncio.create_task(self._client.call("destroy", limit_ms, vm=life.vm))
        why = "is slow"
        try:
            if await _wait_ended(fd, min(LIBVIRT_ENDS_S, limit_ms / 2_000), unless=destroy):
                return
            if destroy.done() and destroy.exception() is not None:
                why = str(destroy.exception())
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
            if not await _wait_ended(fd, deadline - time.monotonic()):
                raise CallFailed(f"neither libvirt ({why}) nor SIGKILL ended process {life.pid}")
        finally:
            await _let_end(destroy, 0.5)


async def _wait_ended(fd: int, limit_s: float, unless: asyncio.Task[Any] | None = None) -> bool:
    """Whether the process of this pidfd ended in time, or before `unless` failed."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _settle, ended)
    try:
        async with asyncio.timeout(max(0.0, limit_s)):
            if unless is not None:
                await asyncio.wait({ended, unless}, return_when=asyncio.FIRST_COMPLETED)
                if unless.done() and unless.exception() is not None:
                    return ended.done()
            await ended
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(fd)
    return True


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


async def _let_end(task: asyncio.Task[Any], limit_s: float) -> None:
    """Give libvirt time: it should have seen the end before anybody starts the VM again."""
    await asyncio.wait({task}, timeout=limit_s)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, CallFailed):
        await task


PLUGIN: type[Hypervisor] = Libvirt
