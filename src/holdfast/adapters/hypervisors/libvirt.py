"""VMs of the local libvirt and QEMU: started, ended, looked at, and proven gone."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast.adapters.drivers import qemu_proc
from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.adapters.drivers.local_proof import prove
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import LocalProof
from holdfast.ports.hypervisor import CallFailed, Domain, Hypervisor, TakenOver

LIFE_WAIT_S = 5.0
KILL_AFTER_S = 5.0


class Libvirt:
    """`cgroup_of` tells the cgroup that a life had for itself, as remembered while it ran."""

    def __init__(
        self,
        client: LibvirtClient,
        boot: str,
        *,
        cgroup_of: Callable[[Incarnation], str] = lambda _: "",
        rescan: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._boot = boot
        self._cgroup_of = cgroup_of
        self._rescan = rescan
        self._domains: dict[str, Domain] = {}

    async def domains(self, limit_ms: int = 5_000) -> list[Domain]:
        rows = await self._client.call("domains", limit_ms)
        found = [msgspec.convert(row, Domain) for row in rows]
        self._domains = {domain.vm: domain for domain in found}
        return found

    async def domain(self, vm: str, limit_ms: int = 2_000) -> Domain:
        domain = msgspec.convert(await self._client.call("domain", limit_ms, vm=vm), Domain)
        self._domains[vm] = domain
        return domain

    async def start(self, vm: str, limit_ms: int = 60_000) -> Incarnation:
        await self._client.call("start", limit_ms, vm=vm)
        self._rescan()
        deadline = time.monotonic() + LIFE_WAIT_S
        while time.monotonic() < deadline:
            for process in await asyncio.to_thread(lambda: list(qemu_proc.scan())):
                if process.vm == vm:
                    return process.life(self._boot)
            await asyncio.sleep(0.05)
        raise CallFailed("libvirt says that it started it, and there is no such process")

    async def end(self, life: Incarnation, limit_ms: int = 30_000) -> None:
        """Only this very life: a newer one of the same VM is left alone."""
        if not _is_alive(life):
            return
        try:
            await self._client.call("destroy", limit_ms, vm=life.vm)
        except CallFailed as error:
            await self._kill(life, str(error))

    async def _kill(self, life: Incarnation, why: str) -> None:
        """What libvirt could not end, the kernel can."""
        try:
            fd = os.pidfd_open(life.pid)
        except ProcessLookupError:
            return
        try:
            if not _is_alive(life):
                return
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)
        deadline = time.monotonic() + KILL_AFTER_S
        while time.monotonic() < deadline:
            if not _is_alive(life):
                return
            await asyncio.sleep(0.02)
        raise CallFailed(f"neither libvirt ({why}) nor SIGKILL could end process {life.pid}")

    async def prove_gone(self, life: Incarnation, name: str, limit_ms: int = 2_000) -> LocalProof:
        domain = self._domains.get(life.vm)
        try:
            async with asyncio.timeout(limit_ms / 1_000):
                return await asyncio.to_thread(
                    prove, life, self._boot, domain, self._cgroup_of(life)
                )
        except TimeoutError:
            raise CallFailed(f"looking for what is left of {name} took too long") from None

    async def screenshot(self, vm: str, path: str, limit_ms: int = 2_000) -> str:
        return str(await self._client.call("screenshot", limit_ms, vm=vm, path=path))

    async def dump(self, vm: str, path: str, limit_ms: int = 60_000) -> None:
        await self._client.call("dump", limit_ms, vm=vm, path=path)
        Path(path).chmod(0o600)

    async def ping_agent(self, vm: str, limit_ms: int = 1_000) -> bool:
        limit_s = max(1, limit_ms // 1_000)
        answer = await self._client.call("ping", limit_ms + 3_000, vm=vm, limit_s=limit_s)
        return bool(answer)

    async def addresses(self, vm: str, limit_ms: int = 2_000) -> list[str]:
        return [str(a) for a in await self._client.call("addresses", limit_ms, vm=vm)]

    async def take_over(self, vm: str, limit_ms: int = 5_000) -> TakenOver:
        was = await self._client.call("take_over", limit_ms, vm=vm)
        return TakenOver(vm=vm, autostart=was["autostart"], on_crash=was["on_crash"])

    async def give_back(self, taken: TakenOver, limit_ms: int = 5_000) -> None:
        await self._client.call("give_back", limit_ms, vm=taken.vm, on_crash=taken.on_crash)

    async def close(self) -> None:
        await self._client.close()


def _is_alive(life: Incarnation) -> bool:
    return qemu_proc.read_ticks(life.pid) == life.started_ticks and (
        qemu_proc.read_state(life.pid) not in ("", "Z", "X")
    )


PLUGIN: type[Hypervisor] = Libvirt
