"""The lease of a host: VMs that rely on it are ended when no controller has granted it for long.

Opt-in, for VMs of hosts whose power nobody can switch off when they are cut off. The store keeps
one record per host that is armed, written only after its agent acknowledged all of it.
"""

from msgspec import Struct


class HostLease(Struct, frozen=True, kw_only=True):
    """What a host acknowledged in this boot: its watchdog is open, and these VMs rely on its lease.

    `epoch` rises with each arming. `vms` may be fewer than the host ends, never more: only those
    that it surely ends may start elsewhere without its power being switched off. With `is_over`
    the host was given up since: it is granted nothing until it has acknowledged anew.
    """

    host: str
    boot: str
    epoch: int
    vms: tuple[str, ...] = ()
    watchdog_ms: int = 0
    is_over: bool = False


class LeaseOrder(Struct, frozen=True, kw_only=True):
    """What the leader asks of an agent. Without `vms` its lease is endless: nothing is ended, and
    its watchdog is closed. `held` are all VMs that the host holds in this boot."""

    boot: str
    epoch: int
    vms: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


class LeaseWord(Struct, frozen=True, kw_only=True):
    """What the agent answers. It obeys `epoch`; without `is_taken`, `reason` says why not.
    `has_newer`: it has obeyed this epoch, or a later one, before."""

    epoch: int
    is_taken: bool
    watchdog_ms: int = 0
    reason: str = ""
    has_newer: bool = False
