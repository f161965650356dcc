"""The virtual infrastructure manager above: it is told of every fault, and owns what it says."""

from typing import Protocol

from msgspec import Struct

from holdfast.facts.alarms import AlarmRecord, AlarmReport


class VimAway(Exception):
    """The VIM does not answer: what it was told may or may not have arrived. Say it again."""


class VimRefused(Exception):
    """The VIM answers and will not have it; a repeat cannot help. The text says why."""


class Ownership(Struct, frozen=True, kw_only=True):
    """Whether the VM definitions are the VIM's, and whether it decides where VMs run.

    Where it does, tenure mirrors it. The built-in one owns neither: libvirt has the definitions,
    and tenure decides.
    """

    definitions: bool
    placement: bool


class VimAnswer(Struct, frozen=True, kw_only=True):
    """`arrived_utc_ms`: its receiver had read it whole. `was_new`: neither duplicate nor stale.

    `record` is the alarm as the VIM keeps it after this report.
    """

    arrived_utc_ms: int
    was_new: bool
    record: AlarmRecord


class VimVm(Struct, frozen=True, kw_only=True):
    """A VM as the VIM sees it. `task` names what the VIM itself is doing with it, or is empty."""

    vm: str
    name: str
    host: str
    state: str
    task: str = ""


class Vim(Protocol):
    owns: Ownership

    async def report(self, report: AlarmReport) -> VimAnswer:
        """Tell it. Duplicates and older revisions are accepted and change nothing.
        Raises VimAway, VimRefused."""
        ...

    async def alarms(self, *, include_cleared: bool = False) -> list[AlarmRecord]: ...

    async def acknowledge(self, key: str, by: str) -> AlarmRecord:
        """Raises KeyError for an alarm it does not have."""
        ...

    async def vms(self, host: str) -> list[VimVm]: ...

    async def task_in_flight(self, vm: str) -> str:
        """What the VIM is doing with the VM right now, or empty. Asked before a restart in place;
        with the VIM away (VimAway) the last known answer counts."""
        ...

    async def close(self) -> None: ...
