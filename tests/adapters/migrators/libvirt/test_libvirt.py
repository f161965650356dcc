"""The real migrator keeps the contract of all migrators, between two libvirts of a lab.

covers: H2
"""

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from holdfast.adapters.drivers.authority import Authority
from holdfast.facts.migrations import End
from holdfast.lab.hosts import Host, Lab
from holdfast.ports.hypervisor import CallFailed
from holdfast.ports.migrator import Looked, Place
from tests.adapters.contract_migrator import CONTRACT, Bench, wait_end
from tests.adapters.drivers.test_certificates import host as certify

PROGRAM = Path(__file__).with_name("migrator_program.py")
PORT, RUN_DIR = 7314, "/run/holdfast"  # A socket's path must be short.
NAME, UUID = "web", "5a1c7a5e-0000-4000-8000-000000000031"
FILLED_MIB = 48  # Random: QEMU sends it whole, which takes as long as `hold` says.
SLOW_MIB_S, FAST_MIB_S = 1, 1_000
FILLING = "/var/lib/libvirt/holdfast-filling"  # On each host's own disk.
XML = f"""<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{NAME}</name><uuid>{UUID}</uuid>
  <memory unit='MiB'>128</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/></devices>
  <qemu:commandline>
    <qemu:arg value='-device'/>
    <qemu:arg value='loader,file={FILLING},addr=0x2000000,force-raw=on'/>
  </qemu:commandline>
</domain>"""


def virsh(on: Host, *words: str) -> None:
    on.run(["virsh", "--quiet", "--connect", "qemu:///system", *words])


class Asked:
    """The migrator of one lab host, as if it were here."""

    def __init__(self, on: Host, tls_dir: Path) -> None:
        argv = [sys.executable, str(PROGRAM), str(tls_dir), RUN_DIR, str(PORT)]
        self._address = on.address
        self._process = on.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        out = self._process.stdout
        assert out is not None
        while line := await asyncio.to_thread(out.readline):
            said = json.loads(line)
            self._waiting.pop(said["id"]).set_result(said)
        for waiting in self._waiting.values():
            waiting.set_exception(AssertionError("the migrator's program ended"))

    async def _call(self, call: str, **args: Any) -> Any:
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": number, "call": call, "args": args})
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(f"{line}\n")
        stdin.flush()
        said = await waiting
        if "failed" in said:
            raise CallFailed(said["failed"])
        return said["gave"]

    def why_not(self) -> str:
        raise NotImplementedError("asked of the one in its own host")

    async def receive(self, vm: str, source: str, address: str) -> int:  # noqa: ARG002
        """At the address that this host has in its lab."""
        port = await self._call("receive", vm=vm, source=f"id-{source}", address=self._address)
        return int(port)

    async def send(self, vm: str, place: Place, limit_s: float) -> None:
        await self._call("send", vm=vm, place=msgspec.to_builtins(place), limit_s=limit_s)

    async def look(self, vm: str) -> Looked:
        return msgspec.convert(await self._call("look", vm=vm), Looked)

    async def cancel(self, vm: str) -> None:
        await self._call("cancel", vm=vm)

    async def leave(self, vm: str) -> None:
        await self._call("leave", vm=vm)

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.to_thread(self._process.wait, 30)
        await self._reading
        assert self._process.stdout is not None
        self._process.stdout.close()


class LabBench:
    vm = UUID

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._hosts = lab.hosts
        tls = folder / "tls"
        site = Authority.make("a site")
        for name in ("a", "b"):
            certify(tls, site, name)
        self.a = Asked(lab.hosts[0], tls / "a")
        self.b = Asked(lab.hosts[1], tls / "b")

    def place(self, port: int) -> Place:
        return Place(host="id-b", address=self._hosts[1].address, port=port)

    def hold(self) -> None:
        virsh(self._hosts[0], "migrate-setspeed", NAME, str(SLOW_MIB_S))

    def let_go(self) -> None:
        virsh(self._hosts[0], "migrate-setspeed", NAME, str(FAST_MIB_S))


@contextlib.asynccontextmanager
async def bench_of(lab: Lab, folder: Path) -> AsyncIterator[LabBench]:
    """With the VM running on the first host; nothing of it is left afterwards."""
    filling, definition = os.urandom(FILLED_MIB << 20), folder / "web.xml"
    for on in lab.hosts:
        on.path(FILLING).write_bytes(filling)
        on.path(FILLING).chmod(0o644)  # QEMU has a user of its own.
    definition.write_text(XML)
    virsh(lab.hosts[0], "define", str(definition))
    virsh(lab.hosts[0], "start", NAME)
    bench = LabBench(lab, folder)
    try:
        yield bench
    finally:
        for migrator in (bench.a, bench.b):
            await migrator.close()
        for on in lab.hosts:
            for what in ("destroy", "undefine"):
                argv = ["virsh", "--quiet", "--connect", "qemu:///system", what, NAME]
                on.run(argv, check=False)
            on.path(FILLING).unlink()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    found = Lab.up(2, name=f"migrator-{os.getpid()}")
    try:
        yield found
    finally:
        found.down()


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.__name__)
def test_it_keeps_the_contract(
    rule: Callable[[Bench], Awaitable[Any]], lab: Lab, tmp_path: Path
) -> None:
    async def story() -> None:
        async with bench_of(lab, tmp_path) as bench:
            await rule(bench)

    asyncio.run(story())


@pytest.mark.lab
@pytest.mark.slow
def test_what_virsh_moves_is_seen_to_move_and_to_stay(lab: Lab, tmp_path: Path) -> None:
    """By libvirt's job: nobody has told the migrator of it."""
    source, target = lab.hosts
    argv = ["virsh", "--connect", "qemu:///system", "migrate", "--live", NAME]

    async def story() -> None:
        async with bench_of(lab, tmp_path) as bench:
            assert (await bench.a.look(UUID)).end is End.RUNS
            bench.hold()
            to = f"qemu+tcp://{target.address}/system"
            with source.popen([*argv, to], stderr=subprocess.PIPE, text=True) as virsh_moves:
                try:
                    await wait_end(bench.a, UUID, End.MOVING)
                    virsh(source, "domjobabort", NAME)
                    await wait_end(bench.a, UUID, End.RUNS)
                finally:
                    virsh_moves.kill()
            assert (await bench.b.look(UUID)).end is End.NOTHING

    asyncio.run(story())
