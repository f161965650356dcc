"""Run inside a lab host by test_libvirt.py: what a real libvirt says and does about CPUs."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.adapters.hypervisors.libvirt import Libvirt
from holdfast.facts.cpus import HostCpu, missing_live
from tests.adapters.contract_hypervisor import BOOT
from tests.adapters.hypervisors.libvirt.inside_host import DISK, NAME, URI, UUID, XML, virsh

LIMIT_S = 60.0


@pytest.fixture(autouse=True)
def _disk() -> Iterator[None]:
    DISK.write_bytes(bytes(1 << 20))
    yield
    virsh("destroy", NAME)
    virsh("undefine", NAME)
    DISK.unlink()


def define(folder: Path, cpu: str) -> None:
    definition = folder / "web.xml"
    definition.write_text(XML.replace("<on_crash>", f"{cpu}<on_crash>"))
    virsh("define", str(definition))


def start_fails() -> str:
    """What libvirt says when it refuses the start; else nothing."""
    argv = ["virsh", "--quiet", "--connect", URI, "start", NAME]
    return subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S).stderr


async def offered_by(hypervisor: Libvirt) -> tuple[HostCpu, ...]:
    """Once libvirt has asked QEMU."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            known = (await hypervisor.size()).processors
            if known:
                return known
            await asyncio.sleep(0.2)


def here() -> Libvirt:
    """Whose disks other hosts have, too."""
    return Libvirt(LibvirtClient(URI), BOOT, shared_paths=(str(DISK.parent),))


def play(story: Callable[[Libvirt], Awaitable[None]]) -> None:
    async def run() -> None:
        hypervisor = here()
        try:
            await story(hypervisor)
        finally:
            await hypervisor.close()

    asyncio.run(run())


def test_a_model_that_libvirt_would_refuse_is_refused_before(tmp_path: Path) -> None:
    async def story(hypervisor: Libvirt) -> None:
        [offered] = [one for one in await offered_by(hypervisor) if one.kind == "qemu"]
        assert {"sse2", "nx"} <= set(offered.features)
        cannot = next(model for model, lacks in offered.models.items() if lacks)
        for model, can in (("qemu64", True), (cannot, False)):
            # Of a VM that is emulated libvirt does not look, if it is not told to.
            define(tmp_path, f"<cpu match='exact' check='partial'><model>{model}</model></cpu>")
            told = await hypervisor.judge(await hypervisor.definition(UUID))
            assert told.startswith("this host has no CPU that can do") is not can, told
            started = start_fails()
            assert ("CPU" in started) is not can, started
            virsh("destroy", NAME)

    play(story)


def test_what_cpu_it_was_given_is_known_while_it_runs(tmp_path: Path) -> None:
    define(tmp_path, "<cpu mode='host-model'/>")

    async def story(hypervisor: Libvirt) -> None:
        needs = (await hypervisor.definition(UUID)).needs
        assert needs.cpu is not None
        assert (needs.cpu.mode, needs.cpu.model, needs.live) == ("host-model", "", None)
        life = await hypervisor.start(UUID)
        live = (await hypervisor.definition(UUID)).needs.live
        assert live is not None
        assert live.mode == "custom"
        assert live.model
        assert live.requires
        offered = await offered_by(hypervisor)
        assert missing_live(live, offered, offered) == "", "it could come back to this host"
        await hypervisor.end(life)

    play(story)
