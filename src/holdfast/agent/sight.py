"""All that the agent sees with: the sensors of this host, and what they know together."""

import asyncio

from holdfast.adapters.drivers import qemu_proc
from holdfast.adapters.drivers.libvirt_client import LibvirtClient
from holdfast.adapters.drivers.qemu_logs import QemuLogs
from holdfast.adapters.hypervisors.libvirt import Libvirt
from holdfast.adapters.sensors.guest_agent import GuestAgent
from holdfast.adapters.sensors.libvirt_events import LibvirtEvents
from holdfast.adapters.sensors.qemu_processes import QemuProcesses
from holdfast.adapters.sensors.vcpus import Vcpus
from holdfast.facts.observations import (
    DomainStateRead,
    LifecycleSeen,
    Observation,
    QemuProcessGone,
    VmAppeared,
    VmFoundGone,
    VmRenamed,
)
from holdfast.facts.subjects import Incarnation
from holdfast.ports.sensor import See, Sensor


class Sight:
    """`see` of the agent must pass every observation through `note`, which keeps names current."""

    def __init__(self, uri: str, boot: str, see: See, shared_paths: tuple[str, ...] = ()) -> None:
        self._see = see
        self._client = LibvirtClient(uri)
        self._client.see = see
        self.processes = QemuProcesses(boot)
        self.hypervisor = Libvirt(
            self._client,
            boot,
            rescan=self.processes.rescan,
            shared_paths=shared_paths,
        )
        self._agents = GuestAgent(self._client, self.running)
        self._events = LibvirtEvents(
            uri, hint=self.processes.rescan, agent=self._agents.channel_changed
        )
        self._vcpus = Vcpus(self._suspects, _vcpu_threads, self._is_paused)
        self._logs = QemuLogs()
        self._names: dict[str, str] = {}
        self._paused: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.sensors: tuple[Sensor, ...] = (
            self.processes,
            self._events,
            self._agents,
            self._vcpus,
        )

    def look(self, see: See) -> None:
        """What runs now, before any sensor runs."""
        self.processes.look(see)

    def running(self) -> dict[str, Incarnation]:
        return self.processes.running()

    def runs(self, life: Incarnation) -> bool:
        return self.processes.running().get(life.vm) == life

    def hears_agent(self, vm: str) -> bool:
        """Whether its guest agent has its channel open."""
        return self._agents.is_open(vm)

    def name(self, vm: str) -> str:
        return self._names.get(vm, vm)

    def watched_by(self, vm: str) -> str:
        return self.processes.watched_by(vm)

    def mechanism(self) -> str:
        return self.processes.mechanism

    def libvirt_state(self) -> str:
        return self._events.state

    def worker_pids(self) -> list[int]:
        return [pid for pid in (*self._client.pids, self._events.pid) if pid]

    def note(self, seen: Observation) -> None:
        """Keep what later observations are read with; read QEMU's log when a life ended."""
        match seen:
            case VmAppeared():
                self._names[seen.incarnation.vm] = seen.name
                self.hypervisor.remember(seen.incarnation)
                self._paused.discard(seen.incarnation.vm)
                self._logs.begun(seen.incarnation, seen.name, found=seen.found)
            case VmRenamed():
                self._names[seen.vm] = seen.name
            case LifecycleSeen() if seen.event in ("suspended", "resumed"):
                self._pause(seen.vm, is_paused=seen.event == "suspended")
            case DomainStateRead():
                self._pause(seen.vm, is_paused=seen.state in ("paused", "pmsuspended", "crashed"))
            case VmFoundGone():  # It never appeared to this run of the agent.
                self._names.setdefault(seen.incarnation.vm, seen.name)
                self._read_log(seen.incarnation)
            case QemuProcessGone():
                self._read_log(seen.incarnation)
            case _:
                pass

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        self.processes.close()
        await self.hypervisor.close()

    def _pause(self, vm: str, *, is_paused: bool) -> None:
        if is_paused:
            self._paused.add(vm)
        else:
            self._paused.discard(vm)

    def _is_paused(self, vm: str) -> bool:
        return vm in self._paused

    def _suspects(self) -> list[Incarnation]:
        running = self.running()
        return [running[vm] for vm in sorted(self._agents.silent) if vm in running]

    def _read_log(self, life: Incarnation) -> None:
        work = self._logs.read_end(life, self.name(life.vm), self._see)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _vcpu_threads(life: Incarnation) -> list[int]:
    """Read anew: vCPUs are plugged and unplugged."""
    tids = qemu_proc.list_threads(life.pid)
    return [t for t in tids if qemu_proc.is_vcpu(qemu_proc.read_thread_name(life.pid, t))]
