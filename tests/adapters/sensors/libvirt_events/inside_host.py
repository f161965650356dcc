"""Run inside a lab host by test_libvirt_events.py: it breaks that host's libvirtd."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest

from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.adapters.sensors.libvirt_events import LibvirtEvents
from holdfast.facts.instants import Instant, elapsed_ms
from holdfast.facts.observations import (
    CallTimedOut,
    DomainStateRead,
    LibvirtAnswered,
    LibvirtGone,
    LibvirtSilent,
    LifecycleSeen,
    Observation,
    QmpEventSeen,
)
from holdfast.lab.host_init import START_LIBVIRT
from holdfast.lab.namespaces import Holder, wait_until_dead
from holdfast.ports.hypervisor import CallFailed, CallOverran

URI = "qemu:///system"
NAME, UUID = "web", "5a1c7a5e-0000-4000-8000-000000000002"
XML = f"""<domain type='qemu'><name>{NAME}</name><uuid>{UUID}</uuid><memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><controller type='usb' model='none'/><memballoon model='none'/></devices>
</domain>"""
LIMIT_S = 15.0
Seen = TypeVar("Seen", bound=Observation)


class Ears:
    """A sensor at work, and what it heard."""

    def __init__(self) -> None:
        self.heard: list[Observation] = []
        self.hints = 0
        self.sensor = LibvirtEvents(URI, hint=self._hint)

    def _hint(self) -> None:
        self.hints += 1

    async def wait_for(self, kind: type[Seen], **fields: object) -> Seen:
        deadline = time.monotonic() + LIMIT_S
        while True:
            for seen in self.heard:
                if isinstance(seen, kind) and fields.items() <= _fields(seen).items():
                    return seen
            assert time.monotonic() < deadline, f"no {kind} {fields} in {self.heard}"
            await asyncio.sleep(0.005)


def _fields(seen: Observation) -> dict[str, object]:
    return {name: getattr(seen, name) for name in seen.__struct_fields__}


@asynccontextmanager
async def listening() -> AsyncIterator[Ears]:
    ears = Ears()
    task = asyncio.create_task(ears.sensor.run(ears.heard.append))
    try:
        await ears.wait_for(LibvirtAnswered, after_gap=False)
        yield ears
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def virsh(*words: str) -> str:
    argv = ["virsh", "--quiet", "--connect", URI, *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout.strip()


def libvirtd_pid() -> int:
    return int(Path("/run/libvirtd.pid").read_text())


async def start_libvirt() -> None:
    for step in START_LIBVIRT[1:]:
        await asyncio.to_thread(subprocess.run, step, timeout=60)


@contextmanager
def frozen_libvirtd() -> Iterator[Instant]:
    pid = libvirtd_pid()
    at = Instant(time.monotonic_ns())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield at
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture(autouse=True)
def vm(tmp_path: Path) -> Iterator[None]:
    definition = tmp_path / "web.xml"
    definition.write_text(XML)
    virsh("define", str(definition))
    yield
    virsh("destroy", NAME)
    virsh("undefine", NAME)


def test_events_of_libvirt_and_of_qemu_are_heard() -> None:
    async def story() -> None:
        async with listening() as ears:
            await asyncio.to_thread(virsh, "start", NAME)
            await ears.wait_for(LifecycleSeen, vm=UUID, event="started", detail="booted")
            assert ears.hints > 0
            await ears.wait_for(QmpEventSeen, vm=UUID, event="RESUME")
            await asyncio.to_thread(virsh, "suspend", NAME)
            await ears.wait_for(LifecycleSeen, vm=UUID, event="suspended", detail="paused")
            await asyncio.to_thread(virsh, "destroy", NAME)
            await ears.wait_for(LifecycleSeen, vm=UUID, event="stopped", detail="destroyed")

    asyncio.run(story())


def test_a_frozen_libvirt_is_silent_within_a_second_and_read_anew_when_it_answers() -> None:
    async def story() -> None:
        async with listening() as ears:
            await ears.wait_for(DomainStateRead, vm=UUID)
            await asyncio.sleep(0.5)
            with frozen_libvirtd() as at:
                silent = await ears.wait_for(LibvirtSilent)
                # A tenth of a second of the second is left for reporting it.
                assert elapsed_ms(at, silent.at) < 900
                assert silent.since <= at + 50_000_000
                assert (silent.daemon, silent.is_stopped) == ("its process is stopped", True)
                ears.heard.clear()
                await asyncio.sleep(5)  # By now we have hung up for want of a keepalive.
                assert not any(isinstance(seen, LibvirtGone) for seen in ears.heard)
            await ears.wait_for(LibvirtAnswered, after_gap=True)
            state = await ears.wait_for(DomainStateRead, vm=UUID)
            assert state.state == "shut off"

    asyncio.run(story())


def test_a_killed_libvirt_is_gone_at_once_and_heard_again_when_it_is_back() -> None:
    async def story() -> None:
        async with listening() as ears:
            pid, at = libvirtd_pid(), Instant(time.monotonic_ns())
            os.kill(pid, signal.SIGKILL)
            gone = await ears.wait_for(LibvirtGone)
            assert gone.reason == f"its process {pid} killed by SIGKILL"
            assert not gone.is_orderly
            assert elapsed_ms(at, gone.at) < 50
            await start_libvirt()
            await ears.wait_for(LibvirtAnswered, after_gap=True)
            await ears.wait_for(DomainStateRead, vm=UUID, state="shut off")

    asyncio.run(story())


def test_a_libvirt_that_somebody_restarts_is_gone_in_order() -> None:
    async def story() -> None:
        async with listening() as ears:
            daemon = Holder.of_pid(libvirtd_pid())
            os.kill(daemon.pid, signal.SIGTERM)
            assert (await ears.wait_for(LibvirtGone)).is_orderly
            await asyncio.to_thread(wait_until_dead, [daemon])
            await start_libvirt()
            await ears.wait_for(LibvirtAnswered, after_gap=True)
            assert all(seen.is_orderly for seen in ears.heard if isinstance(seen, LibvirtGone))

    asyncio.run(story())


def test_a_libvirt_that_is_killed_while_it_is_frozen_is_gone() -> None:
    async def story() -> None:
        async with listening() as ears:
            pid = libvirtd_pid()
            os.kill(pid, signal.SIGSTOP)
            await ears.wait_for(LibvirtSilent)
            os.kill(pid, signal.SIGKILL)
            gone = await ears.wait_for(LibvirtGone)
            assert (gone.reason, gone.is_orderly) == (f"its process {pid} killed by SIGKILL", False)
            await start_libvirt()
            await ears.wait_for(LibvirtAnswered, after_gap=True)

    asyncio.run(story())


def test_a_worker_that_hangs_is_replaced_and_all_is_read_anew() -> None:
    async def story() -> None:
        async with listening() as ears:
            hung = ears.sensor.pid
            os.kill(hung, signal.SIGSTOP)
            await ears.wait_for(LibvirtAnswered, after_gap=True)
            assert ears.sensor.pid != hung
            assert not Path(f"/proc/{hung}").exists()

    asyncio.run(story())


def test_a_call_to_a_frozen_libvirt_overruns_and_the_next_has_a_worker_of_its_own() -> None:
    async def story() -> None:
        client = LibvirtClient(URI)
        seen: list[Observation] = []
        client.see = seen.append
        try:
            assert (await client.call("domain", 5_000, vm=UUID))["name"] == NAME
            first = client.pids
            with frozen_libvirtd():
                with pytest.raises(CallOverran):
                    await client.call("domain", 300, vm=UUID)
                assert [type(s) for s in seen] == [CallTimedOut]
            assert (await client.call("domain", 10_000, vm=UUID))["name"] == NAME
            assert client.pids != first
            assert not Path(f"/proc/{first[0]}").exists()
        finally:
            await client.close()
        assert client.pids == []

    asyncio.run(story())


def test_workers_end_with_the_program_that_started_them() -> None:
    """It is killed, so it can tell nobody."""
    program = (
        "import asyncio\n"
        "from holdfast.adapters.drivers.libvirt_client import LibvirtClient\n"
        "async def main():\n"
        f"    client = LibvirtClient('{URI}')\n"
        "    await client.call('domains', 20_000)\n"
        "    print(client.pids[0], flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + LIMIT_S
    while Path(f"/proc/{worker}/cmdline").exists() and _runs(worker):
        assert time.monotonic() < deadline, "the worker outlives its agent"
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    return False


def test_a_libvirt_that_is_not_there_is_said_once() -> None:
    async def story() -> None:
        heard: list[Observation] = []
        sensor = LibvirtEvents("qemu:///system?socket=/nowhere")
        task = asyncio.create_task(sensor.run(heard.append))
        await asyncio.sleep(2.0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert [type(seen) for seen in heard] == [LibvirtGone]
        client = LibvirtClient("qemu:///system?socket=/nowhere")
        with pytest.raises(CallFailed, match="/nowhere"):
            await client.call("domains", 10_000)
        await client.close()

    asyncio.run(story())
