"""What keeps VMs on this host: every call has a deadline, and may be refused or overrun."""

from typing import Protocol

from msgspec import Struct

from holdfast.facts.definitions import HostSize, Rebuild, RebuiltDisk, VmDefinition
from holdfast.facts.subjects import Incarnation
from holdfast.facts.tenure import LocalProof


class CallFailed(Exception):
    """The hypervisor refused; the text is a sentence. `is_final`: a repeat cannot help."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class CallOverran(CallFailed):
    """No answer in time: the worker was killed. Unknown is not failed: look again."""


class Domain(Struct, frozen=True, kw_only=True):
    """A VM as libvirt knows it. `state` and `reason` as in `virsh domstate --reason`."""

    vm: str
    name: str
    state: str
    reason: str
    is_persistent: bool
    has_agent_channel: bool = False
    is_agent_connected: bool = False
    console_log: str = ""
    taps: tuple[str, ...] = ()
    disks: tuple[str, ...] = ()
    autostart: bool = False
    on_crash: str = ""
    watchdog_action: str = ""
    has_panic_device: bool = False
    has_managed_save: bool = False
    memory_mib: int = 0  # The most that it may use.


class TakenOver(Struct, frozen=True, kw_only=True):
    """What protect changed in the VM's settings, so that unprotect can give it back."""

    vm: str
    autostart: bool
    on_crash: str


class Hypervisor(Protocol):
    """Every method raises CallFailed, or CallOverran past `limit_ms`. VMs are named by uuid."""

    async def domains(self, limit_ms: int = 5_000) -> list[Domain]: ...

    async def domain(self, vm: str, limit_ms: int = 2_000) -> Domain: ...

    async def start(self, vm: str, limit_ms: int = 60_000) -> Incarnation:
        """Start a defined VM from its initial state. One that runs already is a success."""
        ...

    async def end(
        self, life: Incarnation, limit_ms: int = 30_000, *, is_forced: bool = False
    ) -> None:
        """End this life and no other; returns when its process is gone. `is_forced`: without
        letting QEMU write back what it holds."""
        ...

    async def prove_gone(
        self, life: Incarnation, name: str, limit_ms: int = 2_000, *, is_copy: bool = False
    ) -> LocalProof:
        """A proof of this boot, also for a life of an earlier one. Raises CallFailed with the
        first thing of the VM that is still there, or could not be looked at. `is_copy`: another
        host uses its disks, which are left out."""
        ...

    async def definition(self, vm: str, limit_ms: int = 5_000) -> VmDefinition:
        """What would start it on another host, and what that host must offer."""
        ...

    async def judge(
        self,
        definition: VmDefinition,
        limit_ms: int = 5_000,
        *,
        rebuilds: tuple[RebuiltDisk, ...] = (),
    ) -> str:
        """Why this host could not run it (what it needs is not here, or is on local storage), or
        empty. `rebuilds` would be made anew here: why they could not be. Changes nothing."""
        ...

    async def rebuild(self, vm: str, rebuild: Rebuild, limit_ms: int = 60_000) -> None:
        """Make disks of a VM anew from their images. What was made for this generation stays as it
        is; a file that is not known to be made for this VM is never touched, and refused."""
        ...

    async def define(self, definition: VmDefinition, limit_ms: int = 5_000) -> None:
        """Have the VM defined as given, whether or not it was defined before. Never starts it."""
        ...

    async def size(self, limit_ms: int = 5_000) -> HostSize: ...

    async def screenshot(self, vm: str, path: str, limit_ms: int = 2_000) -> str:
        """Write the guest's screen to `path`; returns the MIME type."""
        ...

    async def dump(self, vm: str, path: str, limit_ms: int = 60_000) -> None:
        """Write the guest's memory to `path`, owner-only readable."""
        ...

    async def ping_agent(self, vm: str, limit_ms: int = 1_000) -> bool: ...

    async def addresses(self, vm: str, limit_ms: int = 2_000) -> list[str]:
        """IP addresses of the guest, best source first (agent, leases, neighbours)."""
        ...

    async def take_over(self, vm: str, limit_ms: int = 5_000) -> TakenOver: ...

    async def give_back(self, taken: TakenOver, limit_ms: int = 5_000) -> None: ...

    async def close(self) -> None: ...
